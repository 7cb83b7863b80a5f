"""``ShardedOptimizer``: synchronization and step in one.  Each rank sums its span of every bucket and steps just that.

An all-reduce is a reduce-scatter and an all-gather.  Here the optimizer's step lies between the two: gradients are
scattered, each rank updates its 1/N of all elements, and parameters are gathered instead of gradients.  The same bytes,
1/N of the optimizer's work and state, and no Tensor is too large to be dealt out evenly.

Rajbhandari et al.: ZeRO: memory optimizations toward training trillion parameter models, 2019 (stages 1 and 2).
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from allgrad.autograd.modes import enable_grad
from allgrad.autograd.record import wrap
from allgrad.comm.reduction import spans
from allgrad.distributed.objects import gather_object
from allgrad.distributed.sharded_state import merged, pack, part_of
from allgrad.distributed.taking import (
    Taken,
    Taker,
    as_tensor,
    check_can_take,
    check_same_parameters,
    check_unchanged,
    span_view,
    taken,
)
from allgrad.errors import ArgumentError, DistributedError, GradientError, UnsupportedError
from allgrad.optim.elementwise import Elementwise
from allgrad.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from allgrad.distributed.ddp import DistributedDataParallel

__all__ = ["ShardedOptimizer"]

Array = np.ndarray[Any, Any]


class Piece(NamedTuple):
    """Elements ``start`` to ``stop`` of parameter ``param``: those at ``lo`` to ``hi`` of bucket ``bucket``, this rank's."""

    param: int
    start: int
    stop: int
    bucket: int
    lo: int
    hi: int


class ShardedOptimizer(Optimizer, Taker):
    """``optimizer_class`` for the parameters of a DistributedDataParallel model, each rank stepping 1/N of their elements.

    ``params``: groups with settings of their own, together all trained parameters; by default those in one group.  Bit for
    bit the plain optimizer.  After ``backward()`` no rank holds a whole gradient: reading ``.grad`` is an error, and
    clipping is ``optimizer.clip_grad_norm_(max_norm)``.
    """

    halves = True

    def __init__(self, model: Any, optimizer_class: type[Elementwise], params: Any = None, **defaults: Any) -> None:
        check_can_take(model, optimizer_class, "ShardedOptimizer")
        self._model, self._reducer = weakref.ref(model), model.reducer  # no cycle: a model dropped is gone at once
        self._comm = model.reducer.comm
        self.optim: Elementwise | None = None
        self._whole: dict[str, Any] | None = None
        self._spent = False  # the gradients have been stepped with
        super().__init__([p for p in model.parameters() if p._rg] if params is None else params, defaults)
        check_same_parameters(model, [p for g in self.param_groups for p in g["params"]], "ShardedOptimizer")
        self.pieces = list(self._cut())
        self._parts = {piece: as_tensor(self._of_param(piece)) for piece in self.pieces}  # this rank's elements
        shares = [{**g, "params": self._of_group(g)} for g in self.param_groups]
        self.optim = optimizer_class(shares, **defaults)
        self._settings_back()
        self.defaults = self.optim.defaults
        model.reducer.taker = self

    @property
    def model(self) -> DistributedDataParallel:
        """The model whose gradients are taken; DistributedError if the program has thrown it away."""
        found = self._model()
        if found is None:
            raise DistributedError("the model of this ShardedOptimizer was thrown away; make both anew")
        return found

    def _cut(self) -> Any:
        """This rank's pieces of all parameters."""
        for b, bucket in enumerate(self._reducer.buckets):
            mine = spans(bucket.flat.size, self._comm.size, bucket.flat.itemsize)[self._comm.rank]
            for span in bucket.plan.spans:
                lo, hi = max(span.start, mine[0]), min(span.stop, mine[1])
                if lo < hi:
                    yield Piece(span.param, lo - span.start, hi - span.start, b, lo, hi)

    def _of_param(self, piece: Piece) -> Array:
        return span_view(self._reducer.params[piece.param]._a, piece.start, piece.stop)

    def _of_group(self, group: dict[str, Any]) -> list[Any]:
        places = {id(p): k for k, p in enumerate(group["params"])}
        mine = [p for p in self.pieces if id(self._reducer.params[p.param]) in places]
        mine.sort(key=lambda p: (places[id(self._reducer.params[p.param])], p.start))
        return [self._parts[p] for p in mine]

    def _settings_back(self) -> None:
        for group, share in zip(self.param_groups, self._inner().param_groups):
            group.update({k: v for k, v in share.items() if k != "params"})

    def _inner(self) -> Elementwise:
        if self.optim is None:
            raise DistributedError("the optimizer is not made yet")
        return self.optim

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Only while it is made: the buckets are dealt out once."""
        if self.optim is not None:
            raise UnsupportedError("ShardedOptimizer takes all parameter groups when it is made: params=[{...}, {...}]")
        super().add_param_group(param_group)

    # -- gradients --------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Nothing is done before the ranks have voted."""
        return

    def take(self, valid: bool) -> None:
        """The means are there, each rank's in its span."""
        reducer, self._spent = self._reducer, False
        results = [bucket.work.result for bucket in reducer.buckets if bucket.work is not None]
        for name, p in zip(reducer.names, reducer.params):
            if p._grad is not None:
                if p._grad._node is not None or p._grad._rg:
                    p._grad = None
                    raise GradientError(
                        "create_graph=True cannot be combined with ShardedOptimizer: no rank has a whole gradient"
                    )
                p._grad = taken(
                    f"the gradient of {name!r} is dealt out over the ranks by ShardedOptimizer; clip with "
                    "optimizer.clip_grad_norm_(max_norm), call zero_grad() before the next backward()"
                )
        for piece, part in self._parts.items():
            used = valid and reducer.params[piece.param]._grad is not None
            part._grad = wrap(results[piece.bucket][piece.lo : piece.hi]) if used else None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients; with ``set_to_none=False`` too, because no rank holds whole ones that could be zero."""
        super().zero_grad(True)

    def _present(self) -> list[Any]:
        """The parameters that have a gradient; the same on every rank."""
        found = [p for p in self._reducer.params if p._grad is not None]
        for p in found:
            if not isinstance(p._grad, Taken):
                raise GradientError(
                    "ShardedOptimizer found a gradient that did not come from a synchronized backward() of the model; "
                    "leave no_sync() with the last micro-batch, and set no .grad by hand"
                )
        if found and self._spent:
            raise GradientError("these gradients were used up by the last step(); call backward() before the next one")
        for piece, part in self._parts.items():
            if self._reducer.params[piece.param]._grad is None:
                part._grad = None
        return found

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Any:
        """Scale the gradients so that their common norm is at most ``max_norm``; the norm before: -> ().  Collective.

        The sum runs over the ranks' spans: the last bits of the norm are not those of ``clip_grad_norm_``.
        """
        self._present()
        p = float(norm_type)
        mine = [part._grad._a.astype(np.float64) for part in self._parts.values() if part._grad is not None]
        if math.isinf(p):
            own, fold = max((float(np.abs(g).max()) for g in mine), default=0.0), max
            if p < 0:
                own, fold = min((float(np.abs(g).min()) for g in mine), default=math.inf), min
        else:
            own = sum(float(np.count_nonzero(g) if p == 0 else (np.abs(g) ** p).sum()) for g in mine)
            fold = sum  # type: ignore[assignment]
        rows = self._comm.all_gather_bytes(np.float64(own).tobytes(), label="norm of the gradients")
        total = float(fold([float(np.frombuffer(row, np.float64)[0]) for row in rows]))
        total = total if p == 0 or math.isinf(p) else total ** (1 / p)
        if error_if_nonfinite and not math.isfinite(total):
            raise GradientError(f"The total norm of order {p} for gradients is non-finite, so it cannot be clipped")
        factor = float(max_norm) / (total + 1e-6)
        if not factor >= 1.0:
            for part in self._parts.values():
                if part._grad is not None:
                    g = part._grad._a
                    part._grad = wrap(np.multiply(g, g.dtype.type(factor)))
        return wrap(np.array(total, self._reducer.params[0]._a.dtype))

    # -- the step ---------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step this rank's elements, then take over those of the others.  Collective."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        check_unchanged(self.model, self._reducer, "ShardedOptimizer")
        inner, present = self._inner(), self._present()
        for group, share in zip(self.param_groups, inner.param_groups):
            share.update({k: v for k, v in group.items() if k != "params"})
        self._whole = None
        if present:
            for piece, part in self._parts.items():
                now = self._of_param(piece)
                if now.__array_interface__["data"] != part._a.__array_interface__["data"]:  # p.data was replaced
                    part._a = now
            inner.step()
            self._spent = True
            for part in self._parts.values():
                part._grad = None  # its memory is used again
            self._gather({id(p) for p in present})
        self._settings_back()
        return loss

    def _gather(self, present: set[int]) -> None:
        """Every rank's new values to every rank: all buckets are started, then copied out one by one."""
        comm, params = self._comm, self._reducer.params
        works = [self._start_gather(b) for b in range(len(self._reducer.buckets))] if comm.size > 1 else []
        for b, bucket in enumerate(self._reducer.buckets):
            values = works[b]() if works else bucket.flat
            mine = spans(bucket.flat.size, comm.size, bucket.flat.itemsize)[comm.rank]
            for span in bucket.plan.spans:
                p = params[span.param]
                for lo, hi in ((span.start, min(span.stop, mine[0])), (max(span.start, mine[1]), span.stop)):
                    if lo < hi:
                        span_view(p._a, lo - span.start, hi - span.start)[...] = values[lo:hi]
                if id(p) in present:
                    p._cell[0] += 1

    def _start_gather(self, b: int) -> Callable[[], Array]:
        """What waits for the new values of bucket ``b``: -> (elements,)."""
        comm, bucket = self._comm, self._reducer.buckets[b]
        cuts = spans(bucket.flat.size, comm.size, bucket.flat.itemsize)
        start, stop = cuts[comm.rank]
        label = f"parameters of bucket {b}"
        if bucket.memory.shared and comm.local_size == comm.size and comm.algorithm == "auto":
            # Gradients are used up, so their window carries the values: bits of one rank, OR zeros of the others.
            flat = bucket.flat
            flat[:start] = 0
            flat[stop:] = 0
            self._write(b, flat, 0)
            work = comm.start_all_reduce(flat.view(f"i{flat.itemsize}"), "bor", shared_result=True, label=label)
            return lambda: work.wait().view(flat.dtype)
        block = np.zeros(cuts[0][1], bucket.flat.dtype)
        self._write(b, block, start)
        values = comm.all_gather(block, label).reshape(-1)
        return lambda: values

    def _write(self, b: int, into: Array, first: int) -> None:
        for piece, part in self._parts.items():
            if piece.bucket == b:
                into[piece.lo - first : piece.hi - first] = part._a

    # -- state ------------------------------------------------------------------------------------------------------

    def _numbers(self) -> dict[int, int]:
        """id of a parameter -> its number in the plain optimizer's layout."""
        return {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Gather the states of all ranks on rank ``to``, whose ``state_dict()`` is then whole.  Collective."""
        numbers, params, inner = self._numbers(), self._reducer.params, self._inner()
        mine = [
            [numbers[id(params[piece.param])], piece.start, piece.stop, pack(inner.state[part])]
            for piece, part in self._parts.items()
            if inner.state.get(part)
        ]
        rows: list[Any] | None = [None] * self._comm.size if self._comm.rank == to else None
        gather_object(mine, rows, group=self.model.process_group, group_dst=to)
        self._whole = None
        if rows is not None:
            shapes = {i: p._a.shape for p in params for i in [numbers[id(p)]]}
            moments = {
                numbers[id(p)]: inner._moments(group) for group in self.param_groups for p in group["params"]
            }  # fmt: skip
            state = merged([entry for row in rows for entry in row], shapes, moments)
            self._whole = {**super().state_dict(), "state": state}

    def state_dict(self) -> dict[str, Any]:
        """The whole state in the plain optimizer's layout, on the rank that ``consolidate_state_dict`` named."""
        if self._whole is None:
            raise DistributedError(
                f"Optimizer state has not been consolidated on this rank ({self._comm.rank}). Call "
                "consolidate_state_dict(to=rank) on all ranks beforehand if you meant to save the global state."
            )
        return self._whole

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a whole state, of the plain optimizer or of any number of ranks: each rank keeps its elements."""
        inner = self._inner()
        if len(state_dict["param_groups"]) != len(self.param_groups):
            raise ArgumentError(
                f"loaded state dict has {len(state_dict['param_groups'])} parameter groups, expected {len(self.param_groups)}"
            )
        owners = {id(part): piece for piece, part in self._parts.items()}
        state: dict[int, Any] = {}
        groups, k = [], 0
        for saved, group, share in zip(state_dict["param_groups"], self.param_groups, inner.param_groups):
            if len(saved["params"]) != len(group["params"]):
                raise ArgumentError(
                    f"loaded state dict has a group of {len(saved['params'])} parameters, expected {len(group['params'])}"
                )
            number = {id(p): i for p, i in zip(group["params"], saved["params"])}
            kept = list(range(k, k + len(share["params"])))
            for i, part in zip(kept, share["params"]):
                piece = owners[id(part)]
                entry = state_dict["state"].get(number[id(self._reducer.params[piece.param])])
                if entry is not None:
                    state[i] = part_of(entry, piece.start, piece.stop, inner._moments({**group, **saved}))
            groups.append({**saved, "params": kept})
            k += len(kept)
        inner.load_state_dict({"state": state, "param_groups": groups})
        self._settings_back()
        self._whole = None
