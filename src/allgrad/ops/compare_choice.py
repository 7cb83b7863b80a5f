"""Choices between numbers: maximum, minimum, clamp.  Where two are equal their gradient is shared as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.arithmetic import gate, where
from allgrad.ops.blocks import bounded
from allgrad.ops.compare import isnan
from allgrad.ops.op import op

Array = Any


def _share(g: Array, mine: Array, other: Array, wins: Array) -> Array:
    """All of g where mine wins, half of it where both are equal, nothing else; all of it to both where one is nan."""
    return where(mine == other, g * 0.5, gate(g, wins))


@op(ufunc=np.maximum)
def maximum(a: Array, b: Array) -> Array:
    """The larger one; nan if one is nan."""
    return np.maximum(a, b)


maximum.pull(
    a=lambda g, a, b: _share(g, a, b, (a < b) == False),  # noqa: E712
    b=lambda g, a, b: _share(g, a, b, (a > b) == False),  # noqa: E712
)


@op(ufunc=np.minimum)
def minimum(a: Array, b: Array) -> Array:
    """The smaller one; nan if one is nan."""
    return np.minimum(a, b)


minimum.pull(
    a=lambda g, a, b: _share(g, a, b, (a > b) == False),  # noqa: E712
    b=lambda g, a, b: _share(g, a, b, (a < b) == False),  # noqa: E712
)


@op(ufunc=np.fmax)
def fmax(a: Array, b: Array) -> Array:
    """The larger one; a number wins over nan, ``a`` over an equal ``b``."""
    return np.fmax(a, b)


fmax.pull(
    a=lambda g, a, b: gate(g, (a >= b) | isnan(b)),
    b=lambda g, a, b: gate(g, ((a >= b) | isnan(b)) == False),  # noqa: E712
)


@op(ufunc=np.fmin)
def fmin(a: Array, b: Array) -> Array:
    """The smaller one; a number wins over nan, ``a`` over an equal ``b``."""
    return np.fmin(a, b)


fmin.pull(
    a=lambda g, a, b: gate(g, (a <= b) | isnan(b)),
    b=lambda g, a, b: gate(g, ((a <= b) | isnan(b)) == False),  # noqa: E712
)


@op
def clamp(x: Array, *, min: Any = None, max: Any = None) -> Array:
    """x limited to [min, max], numbers or None; the gradient passes at both ends.  ``max`` wins over a larger min."""
    return bounded(x, min, max)


def _clamp(g: Array, x: Array, *, min: Any, max: Any) -> Array:
    if min is None:
        return gate(g, x <= max)
    if max is None:
        return gate(g, x >= min)
    return gate(g, (x >= min) & (x <= max))


clamp.pull(x=_clamp)


@op
def clamp_below(x: Array, low: Array) -> Array:
    """The larger of x and the limit ``low``; the gradient at equality goes to x."""
    return np.maximum(x, low)


clamp_below.pull(x=lambda g, x, low: gate(g, x >= low), low=lambda g, x, low: gate(g, x < low))


@op
def clamp_above(x: Array, high: Array) -> Array:
    """The smaller of x and the limit ``high``; the gradient at equality goes to x."""
    return np.minimum(x, high)


clamp_above.pull(x=lambda g, x, high: gate(g, x <= high), high=lambda g, x, high: gate(g, x > high))


@op
def clamp_between(x: Array, low: Array, high: Array) -> Array:
    """x limited to [low, high], arrays; ``high`` wins over a larger ``low``."""
    return np.minimum(np.maximum(x, low), high)


clamp_between.pull(
    x=lambda g, x, low, high: gate(g, (x >= low) & (x <= high)),
    low=lambda g, x, low, high: gate(g, (x < low) & (low < high)),
    high=lambda g, x, low, high: gate(g, (x > high) | (high < low)),
)
