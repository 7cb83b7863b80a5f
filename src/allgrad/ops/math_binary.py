"""Elementary functions of two arrays or more."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.arithmetic import gate, log, sigmoid, where, zero_slope
from allgrad.ops.math import sign
from allgrad.ops.op import op

Array = Any


@op(ufunc=np.arctan2)
def atan2(a: Array, b: Array) -> Array:
    """Angle of the point (b, a), in (-pi, pi]."""
    return np.arctan2(a, b)


# At the origin the angle has no derivative; 0 keeps nan out.
def _over_square(x: Array, a: Array, b: Array) -> Array:
    square = a * a + b * b
    origin = square == 0
    return gate(x / where(origin, 1.0, square), origin == False)  # noqa: E712 - a Tensor has no "not"


atan2.pull(a=lambda g, a, b: g * _over_square(b, a, b), b=lambda g, a, b: g * _over_square(-a, a, b))


@op(ufunc=np.hypot)
def hypot(a: Array, b: Array) -> Array:
    """``sqrt(a*a + b*b)`` without overflow."""
    return np.hypot(a, b)


hypot.pull(a=lambda g, a, out: g * (a / out), b=lambda g, b, out: g * (b / out))


@op(ufunc=np.logaddexp)
def logaddexp(a: Array, b: Array) -> Array:
    """``log(exp(a) + exp(b))`` without overflow."""
    return np.logaddexp(a, b)


logaddexp.pull(a=lambda g, a, b: g * sigmoid(a - b), b=lambda g, a, b: g * sigmoid(b - a))

_LN2 = math.log(2.0)


@op(ufunc=np.logaddexp2)
def logaddexp2(a: Array, b: Array) -> Array:
    """``log2(2**a + 2**b)`` without overflow."""
    return np.logaddexp2(a, b)


logaddexp2.pull(
    a=lambda g, a, b: g * sigmoid((a - b) * _LN2),
    b=lambda g, a, b: g * sigmoid((b - a) * _LN2),
)


@op(ufunc=np.copysign)
def copysign(a: Array, b: Array) -> Array:
    """The size of ``a`` with the sign of ``b``; derivative 0 where a is 0."""
    return np.copysign(a, b)


copysign.pull(a=lambda g, a, out: g * where(a == a, sign(a) * sign(out), a), b=lambda g: zero_slope(g))


@op
def ldexp(a: Array, b: Array) -> Array:
    """``a * 2**b`` for whole numbers b."""
    if a.dtype.kind != "f":
        return np.ldexp(a.astype(np.float32), b).astype(a.dtype)
    return np.ldexp(a, b)


ldexp.pull(a=lambda g, b: ldexp(g, b))


@op
def xlogy(a: Array, b: Array) -> Array:
    """``a * log(b)``; 0 where a is 0, unless b is nan."""
    y = np.log(b)
    y = np.multiply(a, y)
    return np.where((a == 0) & ~np.isnan(b), y.dtype.type(0), y)


xlogy.pull(
    a=lambda g, a, b: gate(g * log(b), ((a == 0) & (b <= 0)) == False),  # noqa: E712
    b=lambda g, a, b: g * (a / b),
)


@op
def xlog1py(a: Array, b: Array) -> Array:
    """``a * log(1 + b)``; 0 where a is 0, unless b is nan."""
    y = np.log1p(b)
    y = np.multiply(a, y)
    return np.where((a == 0) & ~np.isnan(b), y.dtype.type(0), y)


xlog1py.pull(
    a=lambda g, a, b: gate(g * log(b + 1), ((a == 0) & (b <= -1)) == False),  # noqa: E712
    b=lambda g, a, b: g * (a / (b + 1)),
)


@op
def nextafter(a: Array, b: Array) -> Array:
    """The next representable number from ``a`` towards ``b``."""
    return np.nextafter(a, b)


@op
def heaviside(a: Array, b: Array) -> Array:
    """0 below 0, 1 above, ``b`` at 0."""
    return np.where(a == 0, b, (a > 0).astype(b.dtype))


@op
def lerp(start: Array, end: Array, weight: Array) -> Array:
    """``start + weight * (end - start)``, exact at both ends."""
    step = np.subtract(end, start)
    weight = np.asarray(weight, dtype=step.dtype)
    low = np.abs(weight) < 0.5
    return np.where(low, start + weight * step, end - step * (1 - weight))


lerp.pull(
    start=lambda g, weight: g * (1 - weight),
    end=lambda g, weight: g * weight,
    weight=lambda g, start, end: g * (end - start),
)
