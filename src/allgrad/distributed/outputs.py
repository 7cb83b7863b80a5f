"""What a wrapped model's forward returns tells the reducer when backward begins.

So a rank takes part although its loss uses no parameter: its output may come from its input alone, or be a constant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.autograd.function import Function
from allgrad.autograd.record import Variable, wrap

if TYPE_CHECKING:
    from allgrad.distributed.reducer import Reducer


class _Anchored(Function):
    """The first input, made to depend on the second, which gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any, anchor: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g, None


def tensors_in(thing: Any) -> Iterator[Variable]:
    """The Tensors in an output of any make."""
    if isinstance(thing, Variable):
        yield thing
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from tensors_in(value)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            yield from tensors_in(value)
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        for field in dataclasses.fields(thing):
            yield from tensors_in(getattr(thing, field.name))


def begins_round(output: Any, reducer: Reducer) -> Any:
    """``output``, whose backward calls ``reducer.begin()``; a lone Tensor without a graph is given one."""
    recorded = False
    for t in tensors_in(output):
        if t._node is not None:
            recorded = True
            t._node.register_prehook(lambda _: reducer.begin())
            reducer.forward_made(t._node.seq)
    if recorded or not isinstance(output, Variable) or output._rg or output._a.dtype.kind in "iub":
        return output
    anchor = wrap(np.zeros(()))
    anchor._rg = True
    anchored = _Anchored.apply(output, anchor)
    anchored._node.register_prehook(lambda _: reducer.begin())
    reducer.forward_made(anchored._node.seq)
    return anchored
