"""The step word: before it communicates, each rank says in one small message what it is about to do.

The ranks that still have batches say "a step of model m"; a rank that has left its loop comes to something else (a
collective of the user's, another model, the end of the program) and says so.  It then stands in for the step: zeros, which
count for nothing in the mean.  It asks again until all ranks say "something else"; then the ranks that stood in
take over the model and the optimizers of one that took all steps (``late_join.py``), and go on together.

One word per backward, whatever number of models it goes through.  It is under way while backward begins.  Groups without a
wrapped model have no gate and send no words.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from allgrad.comm import Communicator, Work
from allgrad.comm.agreement import name_ranks
from allgrad.context import ctx
from allgrad.distributed.late_join import catch_up
from allgrad.distributed.weights import Weights
from allgrad.errors import MismatchError

if TYPE_CHECKING:
    from allgrad.distributed.ddp import DistributedDataParallel
    from allgrad.distributed.reducer import Reducer

Array = np.ndarray[Any, Any]

OTHER, STEP, SKIP, BUFFERS = 1, 2, 3, 4  # what a rank is about to do; 0: it said nothing
KIND, MODELS, WEIGHTED, SITE, WEIGHT = range(5)  # the columns of a word
COLUMNS = 5
_LABEL = "step word"
MOST_MODELS = 48  # bits of a float64 that count exactly; further models send no words
_FRAMES = 16


class Gate:
    """The words of one process group.  Made by its first wrapped model, on all ranks at once."""

    def __init__(self, comm: Communicator) -> None:
        self.comm = comm
        self._memory = comm.allocate(8 * COLUMNS * comm.size)
        self._flat: Array = self._memory.array(np.float64)
        self._other = np.zeros_like(self._flat)  # the word of a rank that is about to do something else
        self._other[COLUMNS * comm.rank] = OTHER
        # Held here, because the others may go on with a model that this rank's program has thrown away.
        self._models: dict[int, DistributedDataParallel] = {}
        self._work: Work | None = None  # the word of the backward that is running
        self._named: int = 0  # the models that it names
        self._owed = 0  # models of the others' backward that this rank has still to skip
        self.stood: set[int] = set()  # ranks that stood in since all were last at the same place
        self.touched: set[int] = set()  # models they stood in for
        self._active, self._total, self._several = comm.size, 0.0, False  # what the last word of a step said
        self.steps = 0  # words of steps so far, the same on every rank
        self.standing = False
        self.broken = False  # ranks disagreed, and somebody caught the error: their words do not fit together any more
        ctx.endings.append(self._end_of_program)

    # -- models ---------------------------------------------------------------------------------------------------

    def enter(self, model: DistributedDataParallel) -> int | None:
        """The number of a new model in the words; None if there are too many.  The same on every rank."""
        free = [k for k in range(MOST_MODELS) if k not in self._models]
        if not free:
            return None
        self._models[free[0]] = model
        return free[0]

    def leave(self, k: int) -> None:
        """All ranks have thrown model ``k`` away (``leases.py``)."""
        self._models.pop(k, None)

    def holds(self, k: int) -> bool:
        """Whether there are words of model ``k``."""
        return k in self._models

    def in_use(self, k: int) -> bool:
        """Whether this rank's program still has model ``k``."""
        return sys.getrefcount(self._models[k]) > 2

    def living(self, mask: int) -> Iterator[DistributedDataParallel]:
        """The models that the bits of ``mask`` name, in order."""
        for k in sorted(self._models):
            if mask >> k & 1:
                yield self._models[k]

    # -- a step ---------------------------------------------------------------------------------------------------

    def begin(self, reducer: Reducer, skip: bool = False) -> None:
        """``reducer`` begins its part of a backward: the first of a backward sends the word for all models in it."""
        bit = 1 << reducer.slot
        if self._named & bit:  # the word of this backward is out
            return
        if self._owed & bit:
            self._owed &= ~bit
            self._named |= bit
            return
        together = [reducer]
        if ctx.walk is not None and not skip and len(self._models) > 1:
            together += [r for r in self._reducers() if r is not reducer and r.reached(ctx.walk)]
        self._named = sum(1 << r.slot for r in together)
        weighted = sum(1 << r.slot for r in together if r.weights is not None)
        weight = reducer.weights.total if reducer.weights is not None else 0.0
        self._work = self._say(SKIP if skip else STEP, self._named, weighted, weight=weight)
        for other in together[1:]:
            other.begin()

    def _reducers(self) -> Iterator[Reducer]:
        return (model.reducer for model in self._models.values())

    def settle(self) -> int:
        """How many ranks have data in this step.  MismatchError on every rank if the words do not fit together."""
        if self._work is not None:
            self.broken = True
            self._work.wait()
            self._work = None
            rows = self._flat.reshape(-1, COLUMNS)
            self._judge(rows)
            self._active, self._total = int(np.count_nonzero(rows[:, KIND] != OTHER)), sum(rows[:, WEIGHT].tolist())
            self._several = self._mask(rows).bit_count() > 1
            if int(rows[self.comm.rank, KIND]) == SKIP:
                self._owed |= self._mask(rows) & ~self._named
            self.broken = False
        return self._active

    def total_weight(self) -> float | None:
        """After ``settle``: the sum of all ranks' weights; None if the word was for several models."""
        return None if self._several else self._total

    def over(self, reducer: Reducer) -> None:
        """The round of ``reducer`` is over."""
        self._named &= ~(1 << reducer.slot)
        if self._work is not None and not self._named:  # nobody asked for it: backward failed between word and answer
            self._work.wait()
            self._work = None

    def buffers(self, model: DistributedDataParallel) -> int:
        """Before buffers are broadcast: the rank whose buffers count, the first that has data."""
        self.broken = True
        rows = self._ask(BUFFERS, 1 << model.reducer.slot)
        self._judge(rows)
        self.broken = False
        return next(r for r in range(self.comm.size) if rows[r, KIND] == BUFFERS)

    # -- something else -------------------------------------------------------------------------------------------

    def reduced(self, flat: Array, op: str, scale: float | None, label: str) -> bool:
        """``meet`` before ``comm.all_reduce(flat, op, …)``, and mostly that as well, in one meeting; whether that as well."""
        if self.broken or self.standing or self.stood:
            self.meet("all_reduce")
            return False
        self.broken = True
        done = self.comm.all_reduce_behind(self._other, self._flat, flat, op, scale, label, _LABEL)
        self.broken = False
        if not done:
            self.meet("all_reduce", told=True)
        return done

    def meet(self, what: str, site: tuple[int, str] | None = None, told: bool = False) -> None:
        """Return once all ranks are about to do something else than a step; until then stand in for the others' steps.

        ``told``: this rank's first word is out, the answer is there.
        """
        if self.broken or self.standing:  # a hook, run in a step for which this rank stands in, is part of that step
            return
        here = site
        self.broken = True
        while True:
            if self.stood and here is None:  # before, nobody needs to know where this is
                here = _call_site(what)
            rows = self._flat.reshape(-1, COLUMNS).copy() if told else self._ask(OTHER, 0, here[0] if here else 0)
            told = False
            if (rows[:, KIND] == OTHER).all():
                break
            here = here or _call_site(what)
            self._judge(rows, here[1])
            self.standing = True
            try:
                self._stand_in(rows)
            finally:
                self.standing = False
        if not self.stood:
            self.broken = False
            return
        if len(set(rows[:, SITE])) > 1:
            text = here[1] if here else what
            texts = [t.decode() for t in self.comm.all_gather_bytes(text.encode(), label="where the ranks are")]
            places = "; ".join(f"rank {r} is about to call {t}" for r, t in enumerate(texts))
            raise MismatchError(
                f"after step {self.steps}, {name_ranks(self.stood)} had no more batches and stood in for the others' steps; "
                f"now the ranks are at different places: {places}. A loop that makes collective calls of its own cannot have "
                "uneven numbers of batches; a dist.barrier() after the loop, at one line for all ranks, tells where it ends"
            )
        taken_all = next(r for r in range(self.comm.size) if r not in self.stood)
        strict = site is None and any(self.in_use(k) for k in self.touched)  # else nothing follows here
        models = list(self.living(sum(1 << k for k in self.touched)))
        catch_up(self.comm, taken_all, models, self.comm.rank in self.stood, strict)
        self.stood.clear()
        self.touched.clear()
        self.broken = False

    def _stand_in(self, rows: Array) -> None:
        """What the others do, with nothing of this rank's own."""
        models, weighted = self._mask(rows), int(rows[:, WEIGHTED].max())
        kinds = rows[:, KIND].copy()
        if BUFFERS in kinds:
            source = int(np.argmax(kinds == BUFFERS))
            for model in self.living(models):
                model.meet_buffers(source, asked=True)
            return
        reducers = [model.reducer for model in self.living(models)]
        self._named, self._active = models, int(np.count_nonzero(kinds != OTHER))
        self._total, self._several = sum(rows[:, WEIGHT].tolist()), models.bit_count() > 1
        for reducer in reducers:
            if reducer.accumulated:
                warnings.warn(
                    f"rank {self.comm.rank} left its loop with gradients accumulated under no_sync() that no step has used: they "
                    "are dropped; synchronize the last batch of a loop, sync(when=last) does",
                    stacklevel=2,
                )
            for p in reducer.params:
                p._grad = None
            reducer.weights = None
            if weighted >> reducer.slot & 1:
                reducer.weights = Weights()
                reducer.weights.add(0, reducer.params)
            reducer.begin(alone=True)
        for reducer in reducers:
            reducer.start_rest()
        for reducer in reducers:
            # The verdict is for the ranks whose step it was: they raise it, and may catch it and go on.
            reducer._finish()
            if reducer.sentinel is not None:
                reducer.sentinel.away = True

    def _end_of_program(self) -> None:
        if self._models and not self.broken:
            what = "the end of the program"
            self.meet(what, (crc32(what.encode()), what))

    def close(self) -> None:
        """The group is no more: no further words.  Collective."""
        self._models.clear()
        if self._end_of_program in ctx.endings:
            ctx.endings.remove(self._end_of_program)
        self._flat = np.empty(0)
        self._memory.free()

    # -- words ----------------------------------------------------------------------------------------------------

    def _say(self, kind: int, models: int, weighted: int = 0, site: int = 0, weight: float = 0.0) -> Work:
        self._flat.fill(0)
        at = COLUMNS * self.comm.rank
        self._flat[at : at + COLUMNS] = kind, models, weighted, site, weight
        return self.comm.start_all_reduce(self._flat, label=_LABEL)

    def _ask(self, kind: int, models: int, site: int = 0) -> Array:
        self._flat.fill(0)
        at = COLUMNS * self.comm.rank
        self._flat[at : at + COLUMNS] = kind, models, 0, site, 0
        self.comm.all_reduce(self._flat, label=_LABEL)
        return self._flat.reshape(-1, COLUMNS).copy()

    @staticmethod
    def _mask(rows: Array) -> int:
        """The models of the step: those that the ranks name which have data."""
        return int(max(row[MODELS] for row in rows if row[KIND] != OTHER))

    def _judge(self, rows: Array, here: str = "") -> None:
        """Do the words of the ranks that are in a step fit together?  All ranks see the same rows, and raise alike."""
        said = [(int(row[KIND]), int(row[MODELS]), int(row[WEIGHTED])) for row in rows]
        full = [s for s in said if s[0] in (STEP, BUFFERS)] or [s for s in said if s[0] == SKIP]
        kind, models, weighted = full[0]
        wrong = any(s != full[0] for s in full)
        skips = [s for s in said if s[0] == SKIP]
        wrong = wrong or any(kind == BUFFERS or m & ~models or w != weighted & m for _, m, w in skips)
        if kind != BUFFERS:
            self.steps += 1
        if wrong:
            lines = "; ".join(f"rank {r} is about to {self._words(*s)}" for r, s in enumerate(said))
            raise MismatchError(
                f"the ranks do not fit together at step {self.steps} (seen on rank {self.comm.rank}"
                f"{', about to call ' + here if here else ''}): {lines}. Every rank must run the same models in the same order, "
                "with sync(weight=) on all ranks or on none"
            )
        for r, s in enumerate(said):
            if s[0] == OTHER:
                self.stood.add(r)
                self.touched.update(k for k in range(MOST_MODELS) if models >> k & 1)

    def _words(self, kind: int, models: int, weighted: int) -> str:
        if kind == OTHER:
            return "do something else"
        named = []
        for k in sorted(self._models):
            model = self._models[k]
            if models >> k & 1:
                named.append(
                    f"model {k} ({type(model.module).__name__})" + (" with weights" if weighted >> k & 1 else "")
                )
        verb = {STEP: "step", SKIP: "skip a step of", BUFFERS: "run the forward of"}[kind]
        return f"{verb} {', '.join(named) or 'a model'}"


def _call_site(what: str) -> tuple[int, str]:
    """A number and a text for the lines of the user's program that lead to this call."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "allgrad":
        frame = frame.f_back
    text, number, seen = what, crc32(what.encode()), 0
    while frame is not None and seen < _FRAMES:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "allgrad":
            break  # what lies further out runs the program, and differs between virtual ranks
        name = frame.f_code.co_filename.rpartition("/")[2]
        if not seen:
            text = f"{what} at {name}:{frame.f_lineno}"
        number = crc32(f"{name}:{frame.f_lineno}".encode(), number)
        frame, seen = frame.f_back, seen + 1
    return number, text
