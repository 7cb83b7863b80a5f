"""``create_graph=True``: the mean over the ranks as part of the graph.

The mean is linear and its own adjoint: in backward the gradients of all ranks are averaged in the same way.  One node
holds all parameters, so that every rank meets the others once, whichever of the gradients its own loss uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.function import Function
from allgrad.autograd.record import wrap
from allgrad.comm import Communicator
from allgrad.distributed.weights import scaled

Array = np.ndarray[Any, Any]


class _Mean(Function):
    """Sum over the ranks of share * x, for each of several Tensors."""

    @staticmethod
    def forward(ctx: Any, comm: Communicator, share: float, *xs: Any) -> Any:
        ctx.comm, ctx.share = comm, share
        found: list[Any] = [None] * len(xs)
        for dtype in sorted({x._a.dtype.name for x in xs}):
            mine = [i for i, x in enumerate(xs) if x._a.dtype.name == dtype]
            flat = scaled(np.concatenate([xs[i]._a.reshape(-1) for i in mine]), share)
            comm.all_reduce(flat, label="gradients of gradients")
            start = 0
            for i in mine:
                stop = start + xs[i]._a.size
                found[i] = wrap(flat[start:stop].reshape(xs[i]._a.shape).copy())
                start = stop
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gs: Any) -> Any:
        return (None, None, *_Mean.apply(ctx.comm, ctx.share, *gs))


class _Known(Function):
    """The same mean where its value is known already."""

    @staticmethod
    def forward(ctx: Any, comm: Communicator, share: float, values: Sequence[Array], *xs: Any) -> Any:
        ctx.comm, ctx.share = comm, share
        return tuple(wrap(v.copy()) for v in values)

    @staticmethod
    def backward(ctx: Any, *gs: Any) -> Any:
        return (None, None, None, *_Mean.apply(ctx.comm, ctx.share, *gs))


def with_graph(comm: Communicator, share: float, values: Sequence[Array], local: Sequence[Any]) -> Sequence[Any]:
    """Tensors of ``values`` that come, in the graph, from this rank's ``local`` gradients (None: it had none)."""
    sources = []
    for value, x in zip(values, local):
        if x is None:
            x = wrap(np.zeros_like(value))
            x._rg = True  # this rank meets the others in the backward of the mean all the same
        sources.append(x)
    found: Sequence[Any] = _Known.apply(comm, share, list(values), *sources)
    return found
