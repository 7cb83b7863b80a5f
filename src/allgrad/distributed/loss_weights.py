"""``DistributedDataParallel(..., exact_mean=True)``: the loss says itself how many samples or tokens it is the mean of.

Losses of ``nn.functional`` with ``reduction="mean"`` note what they divided by (``ctx.mean_losses``).  When backward begins,
the graph is read from the loss down to these notes: what lies between (``loss / k``, a scale, a regularizer that
uses parameters only) does not change the weight.  All losses of one backward must have the same weight, for one weight
per rank makes only then the mean of each exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allgrad.autograd.node import Node
from allgrad.autograd.walk import queue_callback
from allgrad.context import ctx
from allgrad.distributed.outputs import tensors_in
from allgrad.distributed.weights import Weights
from allgrad.errors import GradientError

if TYPE_CHECKING:
    from allgrad.distributed.reducer import Reducer

_KEPT = 1000  # notes of the latest losses and outputs
_INSTEAD = "; give the number yourself: with model.sync(weight=n): forward and backward, without exact_mean=True"


class Weigher:
    """Takes the weight of a model's backward from the losses in it, once per backward."""

    def __init__(self) -> None:
        self._outputs: set[int] = set()  # numbers of the nodes that forwards returned
        self._seen: Any = None  # the backward that has its weight

    def before_forward(self) -> None:
        """From now on this thread's losses note their weights."""
        if ctx.mean_losses is None:
            ctx.mean_losses = {}

    def after_forward(self, output: Any, reducer: Reducer) -> None:
        """A backward from ``output`` is weighed before its first gradient."""
        for t in tensors_in(output):
            if t._node is not None:
                self._outputs.add(t._node.seq)
                t._node.register_prehook(lambda _: self.weigh(reducer))

    def weigh(self, reducer: Reducer) -> None:
        """GradientError if the backward that runs has no one weight; the other ranks learn of it as of any failure."""
        walk = ctx.walk
        if walk is None or not walk.accumulate or self._seen is walk:
            return
        self._seen = walk
        queue_callback(self._forget, lambda error: self._forget())
        reducer.weights = reducer.weights or Weights()
        try:
            weight = self._weight_of(walk)
        except GradientError:
            reducer.weights.add(0, reducer.params)
            raise
        reducer.weights.add(weight, reducer.params)
        if weight == 0 and not reducer.enabled:
            weights = reducer.weights
            queue_callback(lambda: weights.restore(reducer.params), lambda error: weights.restore(reducer.params))

    def _forget(self) -> None:
        self._seen = None
        for notes in (self._outputs, ctx.mean_losses or {}):  # losses that nobody differentiates leave their notes
            for number in sorted(notes)[:-_KEPT]:
                notes.remove(number) if isinstance(notes, set) else notes.pop(number)

    def _weight_of(self, walk: Any) -> float:
        notes: dict[int, float] = ctx.mean_losses or {}
        inner = {p for node in walk.reached for p in node.parents if type(p) is Node}
        stack = [node for node in walk.reached if node not in inner]
        seen = set(stack)
        found: list[float] = []
        while stack:
            node = stack.pop()
            if node.seq in notes:
                found.append(notes[node.seq])
                continue
            if node.seq in self._outputs:
                raise GradientError(
                    "exact_mean=True: a part of the loss is computed from the model's output without a loss of nn.functional "
                    'with reduction="mean", so nobody knows what it is the mean of' + _INSTEAD
                )
            for parent in node.parents:
                if type(parent) is Node and parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
        if not found:
            raise GradientError(
                'exact_mean=True: backward meets no loss of nn.functional with reduction="mean" that a forward after the '
                "model's first one made" + _INSTEAD
            )
        if any(w != found[0] for w in found):
            raise GradientError(
                f"exact_mean=True: the losses of one backward are means of different numbers, {sorted(set(found))}; the mean of "
                "each over all ranks cannot be had with one weight. Call backward() for each of them (all but the last "
                "under model.no_sync()), or bring them to one number" + _INSTEAD
            )
        return found[0]
