"""A graph that passes through an exchange between ranks.

Backward is an exchange too, so either all ranks have it in their graphs or none may: before each one they say
in one short message whether they record it, and of which shape and dtype it is.  Where one rank needs a gradient all record.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.function import Function
from allgrad.autograd.record import wrap
from allgrad.context import ctx
from allgrad.distributed.nn.exchanges import Exchange
from allgrad.errors import MismatchError


class _Passing(Function):
    """One exchange in the graph; ``anchor`` makes it recorded where no input asks for it."""

    @staticmethod
    def forward(call: Any, exchange: Exchange, anchor: Any, *xs: Any) -> Any:
        call.exchange = exchange
        return tuple(wrap(a) for a in exchange.run([x._a for x in xs]))

    @staticmethod
    def backward(call: Any, *gs: Any) -> Any:
        return (None, None, *passed(call.exchange.adjoint(), gs))


def passed(exchange: Exchange, xs: Sequence[Any]) -> tuple[Any, ...]:
    """The Tensors that the exchange makes of ``xs``, recorded on all ranks if it is on one.

    MismatchError on every rank if what they give does not fit together.
    """
    mine = any(x._rg or x._node is not None for x in xs)
    anchor = None
    if meet(exchange, mine, exchange.alike([x._a for x in xs])) and not mine:
        anchor = wrap(np.zeros(()))
        anchor._rg = True
    found: tuple[Any, ...] = _Passing.apply(exchange, anchor, *xs)
    return found


def meet(exchange: Exchange, mine: bool, alike: list[Any]) -> bool:
    """Whether any rank records this exchange."""
    comm = exchange.comm
    state = "off" if not ctx.grad_enabled or ctx.inference else "yes" if mine else "no"
    if comm.size == 1:
        return state == "yes"
    said = [json.loads(t) for t in comm.all_gather_bytes(json.dumps([state, alike]).encode(), exchange.label)]
    states = [s for s, _ in said]
    given = [", ".join(map(str, what)) for _, what in said]
    for rank, other in enumerate(given):
        if other != given[0]:
            raise MismatchError(
                f"{exchange.label}: rank {rank} gives {other}, expected {given[0]} as on rank 0; "
                "this collective wants the same on every rank"
            )
    if "yes" in states and "off" in states:
        raise MismatchError(
            f"{exchange.label}: rank {states.index('yes')} records a graph and rank {states.index('off')} runs without one "
            "(no_grad), so only some would come to its backward; use the same mode on every rank"
        )
    return "yes" in states
