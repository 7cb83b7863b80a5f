"""Training whose bits do not depend on the number of ranks: ``DistributedDataParallel(model, shards=V)``.

The global batch is V shards.  A rank computes its consecutive ones, one after the other, and the gradients of all
meet in one fixed tree over the shards' numbers (``shards_tree.py``), in one exchange when a rank's last shard is through.
What else would depend on the world is the shard's own: its random numbers come from (seed, step, shard), its buffers are
those that the step began with (those that shard 0 leaves are kept), and BLAS uses one thread, because sums differ with it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.comm.reduction import accumulator
from allgrad.context import ctx
from allgrad.distributed.shards_tree import Node, add_into, add_shard, cover, run_of, sum_over_ranks
from allgrad.distributed.shards_word import Word, bits_of, digest_of, judge
from allgrad.distributed.votes import FAILED, first_bad
from allgrad.errors import ArgumentError, DistributedError, GradientError, UnsupportedError
from allgrad.nn.modules.sync_batchnorm import SyncBatchNorm
from allgrad.random import initial_seed, stream
from allgrad.threads import blas_threads, set_blas_threads

if TYPE_CHECKING:
    from allgrad.distributed.ddp import DistributedDataParallel

Array = np.ndarray[Any, Any]


class Sharding:
    """The shards of one wrapped model: ``count`` in all, ``run`` those of this rank, ``step`` how many steps are through.

    ``state_dict()`` is all that a resumed run needs beside the model, the optimizer and the loader.
    """

    def __init__(self, model: DistributedDataParallel, count: int) -> None:
        comm = model.process_group.comm
        if isinstance(count, bool) or not isinstance(count, int) or count < comm.size:
            raise ArgumentError(
                f"shards={count!r} for {comm.size} ranks: each rank needs at least one shard; give a whole number of at "
                f"least {comm.size}, and the same one whenever the bits are to be the same"
            )
        if not model.broadcast_buffers:
            raise ArgumentError(
                "broadcast_buffers=False with shards: buffers of its own on each rank would depend on their number"
            )
        for name, module in model.module.named_modules():
            if isinstance(module, SyncBatchNorm):
                raise UnsupportedError(
                    f"{name!r} is a SyncBatchNorm, which joins all ranks' batches, but ranks compute their shards one after "
                    "the other; use BatchNorm (statistics of one shard), GroupNorm or LayerNorm with shards"
                )
        self.model, self.count = model, count
        self.run = run_of(count, comm.size, comm.rank)
        self.seed = int(comm.broadcast_bytes(str(initial_seed()).encode(), label="seed of the shards"))
        self.step = 0
        self.inside: int | None = None  # the shard that is being computed
        self._left = ""  # how the last step was left before its end, without the others knowing
        self._spare: list[list[Array]] = []  # sets of flat arrays, one array per bucket, to be used again
        self._reset()
        model.require_backward_grad_sync = False  # backward only gathers; see _take

    def _reset(self) -> None:
        """The next shard begins a step."""
        self.inside = None
        self.done: list[int] = []
        self._have: dict[Node, list[Array]] = {}
        self._weights: list[float | None] = []
        self._bad: int | None = None
        self._buffers: list[Array] = []  # as they were when the step began
        self._kept: list[Array] | None = None  # as shard 0 left them
        self._before: dict[int, Array] = {}  # gradients that this step's are added to

    # -- one shard --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def shard(self, k: int, weight: float | None = None) -> Iterator[int]:
        """Within: forward and backward of shard ``k``; see ``DistributedDataParallel.shard``."""
        self._enter(k, weight)
        try:
            with self.stream("compute", k):
                yield k
            self._take(k)
        except BaseException as error:
            self.fail(error)
            raise
        if len(self.done) == len(self.run):
            self._end_step(None)

    @contextlib.contextmanager
    def stream(self, purpose: str, k: int) -> Iterator[None]:
        """Random numbers of shard ``k`` of this step take the place of this rank's."""
        before, ctx.generator = ctx.generator, stream("shard", self.seed, self.step, k, purpose)
        try:
            yield
        finally:
            ctx.generator = before

    def _enter(self, k: int, weight: float | None) -> None:
        if self.inside is not None:
            raise ArgumentError(f"shard {k} was entered inside shard {self.inside}; leave that one first")
        complaint = self._complaint(k, weight)
        if complaint:
            error = ArgumentError(complaint)
            self.fail(error)
            raise error
        if not self.done:
            self._begin()
        self._put_back(self._buffers)
        if blas_threads() != 1:
            set_blas_threads(1)  # and left so: virtual ranks share the library
        self._weights.append(None if weight is None else float(weight))
        self.inside = k

    def _complaint(self, k: int, weight: float | None) -> str:
        """Why shard ``k`` cannot begin now, if it cannot."""
        if self._left:
            said, self._left = self._left, ""
            return said
        if k in self.done or k not in self.run:
            missing = [i for i in self.run if i not in self.done]
            what = "was computed already" if k in self.done else "is another rank's"
            return (
                f"shard {k} {what} in step {self.step}; rank {self.model.reducer.comm.rank} computes each of "
                f"{list(self.run)} once in a step, and {missing} are still missing; loop over model.sharding.run"
            )
        if weight is not None and not 0 <= float(weight) < math.inf:
            return f"weight must be a finite number of samples or tokens, at least 0, found {weight}"
        return ""

    def _begin(self) -> None:
        """A step begins: remember the buffers, and gradients that are to be added to."""
        model = self.model
        if model._wanting != [p._rg for _, p in model._all_params]:
            model._replan()
            self._spare = []
        reducer = model.reducer
        self._buffers = [b._a.copy() for b in model.module.buffers()]
        self._before = {i: p._grad._a.copy() for i, p in enumerate(reducer.params) if p._grad is not None}
        reducer.used.fill(0)
        for p in reducer.params:
            p._grad = None

    def _take(self, k: int) -> None:
        """Shard ``k`` is computed: add its gradients to what there is of the tree."""
        reducer, weight = self.model.reducer, self._weights[-1]
        for i, p in enumerate(reducer.params):
            grad, (_, view) = p._grad, reducer.home[i]
            if grad is None:
                view.fill(0)
                continue
            if grad._node is not None or grad._rg:
                raise GradientError(
                    f"the gradient of {reducer.names[i]!r} has a graph (create_graph=True), which cannot pass through the "
                    "tree of the shards; penalties on the global gradient need DistributedDataParallel without shards"
                )
            reducer.used[i] = 1
            if grad._a.__array_interface__["data"] != view.__array_interface__["data"]:
                np.copyto(view, grad._a)
            p._grad = None
        flats = self._spare.pop() if self._spare else [
            np.empty(b.flat.size, accumulator(b.flat.dtype)) for b in reducer.buckets
        ]  # fmt: skip
        for flat, bucket in zip(flats, reducer.buckets):
            if weight == 0:
                flat.fill(0)  # whatever was computed, NaN too, counts for nothing
                continue
            bad = first_bad(bucket.flat, bucket.plan.spans) if reducer.votes.limit is not None else None
            if bad is not None and (self._bad is None or bad < self._bad):
                self._bad = bad
            np.multiply(bucket.flat, flat.dtype.type(1 if weight is None else weight), out=flat)
        self._have[(k, k + 1)] = flats
        add_shard((0, self.count), k, self._have, self._add)
        if k == 0:
            self._kept = [b._a.copy() for b in self.model.module.buffers()]
        self.done.append(k)
        self.inside = None

    def _add(self, left: list[Array], right: list[Array]) -> list[Array]:
        self._spare.append(right)
        return [add_into(a, b) for a, b in zip(left, right)]

    # -- one step ---------------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """This rank cannot finish its step: tell the others, unless the ranks are out of step already."""
        if not isinstance(error, Exception):
            self._left = f"the loop over the shards of step {self.step} was left at shard {self.inside}; all ranks drop that step"
        elif not isinstance(error, DistributedError):
            self._end_step(error)
        self._reset()

    def _end_step(self, error: BaseException | None) -> None:
        """This rank's shards are through, or failed by ``error``: one word to all, then the gradients, then the buffers."""
        reducer = self.model.reducer
        comm, votes = reducer.comm, reducer.votes
        weighted = any(w is not None for w in self._weights)
        word = Word(
            self.count, self.step, self.done, [w or 0.0 for w in self._weights] if weighted else None, self._bad,
            error is not None, digest_of(reducer.specs), bits_of(reducer.used),
        )  # fmt: skip
        words = [Word.unpack(raw) for raw in comm.all_gather_bytes(word.pack(), label="shards of a step")]
        ballot = np.array([FAILED if w.failed else 0 if w.bad is None else w.bad + 1 for w in words], np.float64)
        try:
            if FAILED not in ballot:
                judge(words)
            verdict, valid = votes.count(ballot, error)
            weights = {k: w for each in words for k, w in zip(each.done, each.weights or [])}
            total = sum(weights[k] for k in sorted(weights)) if weights else float(self.count)
            if valid and total > 0:
                self._hand_out(1.0 / total, words)
            else:
                for p in reducer.params:
                    p._grad = None
                self._put_back(self._buffers)
            if reducer.sentinel is not None and verdict is None:
                reducer.sentinel.synchronizing()
                verdict = reducer.sentinel.round_ended(comm, valid)
            self.step += 1
        finally:
            self._reset()
            reducer.forget()
        if verdict is not None and error is None:
            raise verdict

    def _hand_out(self, factor: float, words: list[Word]) -> None:
        reducer = self.model.reducer
        nodes = cover((0, self.count), self.run)
        for b, bucket in enumerate(reducer.buckets):
            mine = [(node, self._have[node][b]) for node in nodes]
            label = f"shards of bucket {b} ({reducer.names[bucket.plan.spans[0].param]}, …)"
            sum_over_ranks(reducer.comm, self.count, mine, bucket.flat, factor, label)
        self._spare += [self._have[node] for node in nodes]
        del self._spare[self.count.bit_length() + 1 :]
        reducer.used[...] = sum(w.used_flags(len(reducer.params)) for w in words)
        reducer._hand_out()
        for i, before in self._before.items():
            p = reducer.params[i]
            p._grad = wrap(before) if p._grad is None else wrap(np.add(before, p._grad._a, out=reducer.home[i][1]))
        if self._kept is not None:
            self._put_back(self._kept)
        self.model._broadcast(list(self.model.module.buffers()))  # those of shard 0, which is rank 0's

    def _put_back(self, arrays: list[Array]) -> None:
        for buffer, array in zip(self.model.module.buffers(), arrays):
            np.copyto(buffer._a, array)
            buffer._cell[0] += 1

    # -- misuse, state ----------------------------------------------------------------------------------------------

    def check_forward(self) -> None:
        """A forward for training belongs to a shard, or its gradients would be this rank's alone."""
        if self.inside is None and self.model.training and ctx.grad_enabled:
            raise ArgumentError(
                "a forward for training outside of a shard; write: with model.shard(k): loss(model(x), y).backward(), or loop "
                "over model.steps(loader). For evaluation call model.eval() or use torch.no_grad()"
            )

    def check_complete(self) -> None:
        """The step must be over; if it is not, all ranks learn of it, and drop it."""
        missing = [i for i in self.run if i not in self.done]
        complaint, self._left = self._left, ""
        if not complaint and self.done and missing:
            complaint = f"step {self.step} ended without shards {missing} of rank {self.model.reducer.comm.rank}"
        if complaint:
            error = ArgumentError(complaint)
            self.fail(error)
            raise error

    def state_dict(self) -> dict[str, int]:
        """Numbers only, the same on every rank; taken between two steps."""
        return {"shards": self.count, "seed": self.seed, "step": self.step}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on as the run that ``state`` was taken from, at any number of ranks."""
        if state["shards"] != self.count:
            raise ArgumentError(
                f"the state belongs to shards={state['shards']}, this model has shards={self.count}; the bits depend on it"
            )
        self._reset()
        self.seed, self.step = int(state["seed"]), int(state["step"])
