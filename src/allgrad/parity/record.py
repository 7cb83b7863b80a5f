"""Watches a training program: batches, activations and gradients of each rank, step by step.

The run of N ranks is written down; the run of one is then fed with it: its loaders give the N batches of a step as one,
its dropout the N masks, and each step starts from the weights of the N ranks, so that rounding does not add up.
"""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.context import ctx
from allgrad.nn.functional.dropout import dropout
from allgrad.nn.modules import hooks as module_hooks
from allgrad.nn.utils import clip_grad
from allgrad.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from allgrad.random import default_generator
from allgrad.utils.data import dataloader
from allgrad.utils.data.distributed import DistributedSampler

Array = np.ndarray[Any, Any]


class Call:
    """One forward of the outermost module in training."""

    def __init__(self, inputs: Array | None) -> None:
        self.inputs = inputs
        self.outputs: list[tuple[str, str, bool, Array]] = []  # module, its type, whether it drew numbers, what it gave
        self.masks: list[Array] = []
        # In the run of one: the forwards of the N ranks that hold its rows, and where among all their rows each row is.
        self.pool: list[Call] = []
        self.rows: Array | None = None


class Step:
    """What one rank did up to one ``optimizer.step()``."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.weights: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.taken: set[tuple[tuple[int, ...], int]] = set()  # rows of the N ranks that this step has used
        self.clipped: list[bytes] = []  # the gradients that were given to a clipping function


class Rank:
    """What one rank did."""

    def __init__(self) -> None:
        self.steps = [Step()]
        self.done = 0
        self.roots: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.params: dict[int, tuple[str, Any]] = {}
        self.inside: list[tuple[Any, Any]] = []  # modules whose forward runs, and the generator's state before
        self.loaders: dict[int, int] = {}
        self.kept: list[Any] = []  # keeps the ids above from being given twice
        self.passes: dict[tuple[int, int], list[Any]] = {}  # (loader, pass): its batches
        self.counts: dict[int, int] = defaultdict(int)
        self.pads: dict[tuple[int, int], tuple[int, bool]] = {}  # samples in a pass, and whether the last is a repeat


class Recorder:
    """Stops the program after ``limit`` steps; ``fed``: the ranks whose batches, masks and weights a run of one takes."""

    def __init__(self, limit: int, fed: list[Rank] | None = None, replay: bool = True) -> None:
        self.limit, self.fed, self.replay = limit, fed, replay
        self.ranks: dict[int, Rank] = defaultdict(Rank)

    @property
    def mine(self) -> Rank:
        """Of the rank that runs."""
        return self.ranks[ctx.launched.rank if ctx.launched is not None else 0]

    @contextlib.contextmanager
    def watching(self) -> Iterator[Recorder]:
        """Within, every module, optimizer, loader and clipping function is watched."""
        handles = [
            module_hooks.register_module_forward_pre_hook(self._before),
            module_hooks.register_module_forward_hook(self._after),
            register_optimizer_step_pre_hook(self._stepping),
            register_optimizer_step_post_hook(self._stepped),
        ]
        patches: list[tuple[Any, str, Callable[..., Any]]] = [
            (sys.modules[dropout.__module__], "_kept", self._kept),
            (clip_grad, "_listed", self._clip),
            (dataloader.DataLoader, "__iter__", self._iterate),
        ]
        before = [getattr(place, name) for place, name, _ in patches]
        for (place, name, new), old in zip(patches, before):
            setattr(place, name, _bound(new, old))
        try:
            yield self
        finally:
            for (place, name, _), old in zip(patches, before):
                setattr(place, name, old)
            for handle in handles:
                handle.remove()

    # -- modules ------------------------------------------------------------------------------------------------------

    def _before(self, module: Any, args: Any) -> None:
        me = self.mine
        if not me.inside:
            if not (module.training and ctx.grad_enabled and any(True for _ in module.parameters())):
                return
            self._begin_call(me, module, args)
        me.inside.append((module, default_generator().get_state().tobytes()))

    def _begin_call(self, me: Rank, module: Any, args: Any) -> None:
        if id(module) not in me.roots:
            k = me.roots[id(module)] = len(me.roots)
            me.kept.append(module)
            which = f"model {k + 1}, " if k else ""
            me.names.update({id(m): which + _plain(name) for name, m in module.named_modules()})
            me.params.update({id(p): (which + _plain(name), p) for name, p in module.named_parameters()})
        step, number = me.steps[-1], len(me.steps) - 1
        if not step.calls:
            if self.fed is not None and number > 0 and len(self.fed[0].steps) > number:
                for name, p in me.params.values():
                    then = self.fed[0].steps[number].weights.get(name)
                    if then is not None and then.shape == p._a.shape:
                        np.copyto(p._a, then)
                        p._cell[0] += 1
            step.weights = {name: p._a.copy() for name, p in me.params.values()}
        given = next((a._a for a in args if isinstance(a, Variable) and a._a.ndim), None)
        call = Call(None if given is None else given.copy())
        if self.fed is not None and call.inputs is not None:
            call.pool = pool_of(self.fed, number, call.inputs.shape[1:])
            call.rows = match_rows(call.inputs, [c.inputs for c in call.pool if c.inputs is not None], step.taken)
        step.calls.append(call)

    def _after(self, module: Any, args: Any, output: Any) -> None:
        me = self.mine
        if not me.inside or me.inside[-1][0] is not module:
            return
        _, state = me.inside.pop()
        drew = state != default_generator().get_state().tobytes()
        if isinstance(output, Variable):
            name = me.names.get(id(module), type(module).__name__)
            me.steps[-1].calls[-1].outputs.append((name, type(module).__name__, drew, output._a.copy()))

    def _kept(self, real: Callable[..., Any], shape: Any, p: float, dtype: Any) -> Any:
        me = self.mine
        mask = real(shape, p, dtype)
        if not me.inside:
            return mask
        call = me.steps[-1].calls[-1]
        k = len(call.masks)
        call.masks.append(mask.copy())
        if self.fed is None or not self.replay or call.rows is None:
            return mask
        others = call.pool
        if all(len(c.masks) > k and c.masks[k].shape[1:] == mask.shape[1:] for c in others):
            whole = np.concatenate([c.masks[k] for c in others])
            if call.rows.size == len(mask) and len(whole) > call.rows.max(initial=-1):
                return whole[call.rows].copy()
        return mask

    # -- steps --------------------------------------------------------------------------------------------------------

    def _stepping(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        me = self.mine
        for group in optimizer.param_groups:
            for p in group["params"]:
                if id(p) in me.params and p._grad is not None:
                    me.steps[-1].grads[me.params[id(p)][0]] = p._grad._a.copy()

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        me = self.mine
        if not me.steps[-1].calls:
            return
        me.done += 1
        if me.done >= self.limit:
            raise SystemExit(0)
        me.steps.append(Step())

    def _clip(self, real: Callable[..., Any], parameters: Any) -> Any:
        found = real(parameters)
        grads = [t._grad._a for t in found if isinstance(t, Variable) and t._grad is not None]
        if grads:
            self.mine.steps[-1].clipped.append(b"".join(g.tobytes() for g in grads))
        return found

    # -- data ---------------------------------------------------------------------------------------------------------

    def _iterate(self, real: Callable[..., Any], loader: Any) -> Iterator[Any]:
        me = self.mine
        if id(loader) not in me.loaders:
            me.loaders[id(loader)] = len(me.loaders)
            me.kept.append(loader)
        number = me.loaders[id(loader)]
        key = number, me.counts[number]
        me.counts[number] += 1
        if self.fed is not None and all(key in rank.passes for rank in self.fed):
            passes = [without_padding(rank.passes[key], *rank.pads[key]) for rank in self.fed]
            return iter([joined([p[k] for p in passes if k < len(p)]) for k in range(max(map(len, passes)))])
        me.passes[key] = []
        me.pads[key] = 0, False
        if isinstance(loader.sampler, DistributedSampler):
            extra = loader.sampler.total_size - len(loader.sampler.dataset)
            repeats = (
                0 < extra < loader.sampler.num_replicas and loader.sampler.rank >= loader.sampler.num_replicas - extra
            )
            me.pads[key] = loader.sampler.num_samples, repeats
        return self._noting(real(loader), me.passes[key])

    @staticmethod
    def _noting(batches: Iterator[Any], into: list[Any]) -> Iterator[Any]:
        for batch in batches:
            into.append(copied(batch))
            yield batch


def _bound(new: Callable[..., Any], old: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: new(old, *args, **kwargs)


def _plain(name: str) -> str:
    return "" if name == "module" else name.removeprefix("module.")


def pool_of(ranks: list[Rank], step: int, shape: tuple[int, ...]) -> list[Call]:
    """The forwards of all ranks in that step whose rows have that shape."""
    steps = [rank.steps[step] for rank in ranks if step < len(rank.steps)]
    return [c for s in steps for c in s.calls if c.inputs is not None and c.inputs.shape[1:] == shape]


def match_rows(mine: Array, theirs: list[Array], taken: set[tuple[tuple[int, ...], int]]) -> Array | None:
    """For each row of ``mine`` the place of an equal one, not yet ``taken``, among all rows of ``theirs``; None: not there."""
    if not theirs:
        return None
    shape = mine.shape[1:]
    places: dict[bytes, list[int]] = defaultdict(list)
    for k, row in enumerate(np.concatenate(theirs)):
        if (shape, k) not in taken:
            places[row.tobytes()].append(k)
    found = []
    for row in mine:
        left = places.get(row.tobytes())
        if not left:
            return None
        found.append(left.pop(0))
    taken.update((shape, k) for k in found)
    return np.array(found, np.int64)


def copied(batch: Any) -> Any:
    """The batch with memory of its own: the program may change it."""
    if isinstance(batch, Variable):
        return wrap(batch._a.copy())
    if isinstance(batch, dict):
        return {k: copied(v) for k, v in batch.items()}
    if isinstance(batch, (list, tuple)):
        return [copied(v) for v in batch]
    return batch


def joined(batches: list[Any]) -> Any:
    """The ranks' batches as one, rank after rank; one that all ranks have alike, once.  A row is not taken twice."""
    if all(_same(batches[0], b) for b in batches[1:]):
        return copied(batches[0])
    return _concatenated(batches)


def without_padding(batches: list[Any], samples: int, repeats: bool) -> list[Any]:
    """The batches of a pass without its last sample, if that is one that the sampler repeats to fill up."""
    if not repeats or not batches or sum(map(_length, batches)) < samples:
        return batches
    return [*batches[:-1], _shortened(batches[-1], _length(batches[-1]) - 1)]


def _length(batch: Any) -> int:
    if isinstance(batch, Variable):
        return len(batch._a) if batch._a.ndim else 0
    values = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (list, tuple)) else ()
    return max(map(_length, values), default=0)


def _shortened(batch: Any, n: int) -> Any:
    if isinstance(batch, Variable):
        return wrap(batch._a[:n].copy()) if batch._a.ndim else batch
    if isinstance(batch, dict):
        return {k: _shortened(v, n) for k, v in batch.items()}
    return [_shortened(v, n) for v in batch] if isinstance(batch, (list, tuple)) else batch


def _concatenated(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Variable):
        return wrap(np.concatenate([p._a for p in parts])) if first._a.ndim else copied(first)
    if isinstance(first, dict):
        return {k: _concatenated([p[k] for p in parts]) for k in first}
    if isinstance(first, (list, tuple)) and any(isinstance(v, (Variable, dict, list, tuple)) for v in first):
        return [_concatenated([p[i] for p in parts]) for i in range(len(first))]
    return [v for p in parts for v in p] if isinstance(first, (list, tuple)) else first


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Variable):
        return isinstance(b, Variable) and a._a.shape == b._a.shape and a._a.tobytes() == b._a.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
