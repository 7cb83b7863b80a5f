"""Elementary functions of one array: rounding, powers, exponentials, logarithms, angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.dtypes import finfo, from_np
from allgrad.ops.arithmetic import where, zero_slope
from allgrad.ops.op import op

Array = Any
_LN2 = math.log(2.0)
_LN10 = math.log(10.0)


# -- sign and rounding -----------------------------------------------------------------------------


@op(name="abs", ufunc=np.absolute)
def abs_(x: Array) -> Array:
    """``|x|``; derivative 0 at 0."""
    return np.absolute(x)


abs_.pull(x=lambda g, x: g * sign(x))


@op
def sign(x: Array) -> Array:
    """-1, 0 or 1; 0 for nan."""
    if x.dtype.kind == "b":
        return np.array(x)
    if x.dtype.kind in "iu":
        return np.sign(x)
    y = np.asarray(np.sign(x))
    y[np.isnan(y)] = 0
    return y


sign.pull(x=lambda g: zero_slope(g))


@op
def angle(x: Array) -> Array:
    """0 where x is positive, pi where it is negative, nan for nan; derivative 0."""
    return np.where(np.isnan(x), x, np.less(x, 0).astype(x.dtype) * x.dtype.type(math.pi))


angle.pull(x=lambda g: zero_slope(g))


def _rounding(ufunc: np.ufunc, x: Array) -> Array:
    return np.array(x) if x.dtype.kind in "iu" else ufunc(x)


@op
def floor(x: Array) -> Array:
    """The next whole number below; derivative 0, as of all roundings."""
    return _rounding(np.floor, x)


@op
def ceil(x: Array) -> Array:
    """The next whole number above."""
    return _rounding(np.ceil, x)


@op
def trunc(x: Array) -> Array:
    """The next whole number towards zero."""
    return _rounding(np.trunc, x)


@op(name="round")
def round_(x: Array, *, decimals: int = 0) -> Array:
    """The nearest multiple of ``10**-decimals``, halves to the even one."""
    if x.dtype.kind in "iu":
        return np.array(x)
    if decimals == 0:
        return np.rint(x)
    scale = x.dtype.type(10 ** abs(decimals))
    return np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale


for _op in (floor, ceil, trunc, round_):
    _op.pull(x=lambda g: zero_slope(g))


@op
def frac(x: Array) -> Array:
    """``x - trunc(x)``."""
    return x - np.trunc(x)


frac.pull(x=lambda g: g)


@op
def nan_to_num(
    x: Array, *, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """nan and infinities replaced: by 0 and the largest finite numbers unless given; derivative 0 there."""
    if x.dtype.kind in "iub":
        return np.array(x)
    limits = finfo(from_np(x.dtype))
    y = np.where(np.isnan(x), x.dtype.type(0.0 if nan is None else nan), x)
    y = np.where(x == np.inf, x.dtype.type(limits.max if posinf is None else posinf), y)
    return np.where(x == -np.inf, x.dtype.type(limits.min if neginf is None else neginf), y)


nan_to_num.pull(x=lambda g, x: where(x - x == 0, g, 0.0))


# -- powers and roots ------------------------------------------------------------------------------


@op(ufunc=np.square)
def square(x: Array) -> Array:
    """``x * x``."""
    return np.multiply(x, x)


square.pull(x=lambda g, x: g * x * 2)


@op
def reciprocal(x: Array) -> Array:
    """``1 / x``."""
    return np.divide(x.dtype.type(1), x)


reciprocal.pull(x=lambda g, out: -g * (out * out))


@op
def rsqrt(x: Array) -> Array:
    """``1 / sqrt(x)``."""
    y = np.asarray(np.sqrt(x))
    return np.divide(x.dtype.type(1), y, out=y)


rsqrt.pull(x=lambda g, out: g * (out * out * out) * -0.5)


# -- exponentials and logarithms -------------------------------------------------------------------


@op(ufunc=np.exp2)
def exp2(x: Array) -> Array:
    """2 to the x."""
    return np.exp2(x)


exp2.pull(x=lambda g, out: g * out * _LN2)


@op(ufunc=np.expm1)
def expm1(x: Array) -> Array:
    """``exp(x) - 1`` without cancellation near 0."""
    return np.expm1(x)


expm1.pull(x=lambda g, out: g * (out + 1))


@op(ufunc=np.log1p)
def log1p(x: Array) -> Array:
    """``log(1 + x)`` without cancellation near 0."""
    return np.log1p(x)


log1p.pull(x=lambda g, x: g / (x + 1))


@op(ufunc=np.log2)
def log2(x: Array) -> Array:
    """Logarithm to base 2."""
    return np.log2(x)


log2.pull(x=lambda g, x: g / (x * _LN2))


@op(ufunc=np.log10)
def log10(x: Array) -> Array:
    """Logarithm to base 10."""
    return np.log10(x)


log10.pull(x=lambda g, x: g / (x * _LN10))


# -- angles ----------------------------------------------------------------------------------------


@op(ufunc=np.sin)
def sin(x: Array) -> Array:
    """Sine of an angle in radians."""
    return np.sin(x)


sin.pull(x=lambda g, x: g * cos(x))


@op(ufunc=np.cos)
def cos(x: Array) -> Array:
    """Cosine of an angle in radians."""
    return np.cos(x)


cos.pull(x=lambda g, x: -g * sin(x))


@op(ufunc=np.tan)
def tan(x: Array) -> Array:
    """Tangent of an angle in radians."""
    return np.tan(x)


tan.pull(x=lambda g, out: g * (out * out + 1))


@op(ufunc=np.arcsin)
def asin(x: Array) -> Array:
    """Angle in [-pi/2, pi/2] whose sine is x; nan outside [-1, 1]."""
    return np.arcsin(x)


asin.pull(x=lambda g, x: g * rsqrt(1 - x * x))


@op(ufunc=np.arccos)
def acos(x: Array) -> Array:
    """Angle in [0, pi] whose cosine is x; nan outside [-1, 1]."""
    return np.arccos(x)


acos.pull(x=lambda g, x: -g * rsqrt(1 - x * x))


@op(ufunc=np.arctan)
def atan(x: Array) -> Array:
    """Angle in [-pi/2, pi/2] whose tangent is x."""
    return np.arctan(x)


atan.pull(x=lambda g, x: g / (x * x + 1))


@op(ufunc=np.sinh)
def sinh(x: Array) -> Array:
    """Hyperbolic sine."""
    return np.sinh(x)


sinh.pull(x=lambda g, x: g * cosh(x))


@op(ufunc=np.cosh)
def cosh(x: Array) -> Array:
    """Hyperbolic cosine."""
    return np.cosh(x)


cosh.pull(x=lambda g, x: g * sinh(x))


@op(ufunc=np.arcsinh)
def asinh(x: Array) -> Array:
    """Inverse of sinh."""
    return np.arcsinh(x)


asinh.pull(x=lambda g, x: g * rsqrt(x * x + 1))


@op(ufunc=np.arccosh)
def acosh(x: Array) -> Array:
    """Inverse of cosh on [1, inf); nan below 1."""
    return np.arccosh(x)


acosh.pull(x=lambda g, x: g * rsqrt(x * x - 1))


@op(ufunc=np.arctanh)
def atanh(x: Array) -> Array:
    """Inverse of tanh; nan outside [-1, 1]."""
    return np.arctanh(x)


atanh.pull(x=lambda g, x: g / (1 - x * x))


@op
def sinc(x: Array) -> Array:
    """``sin(pi x) / (pi x)``, 1 at 0."""
    return np.sinc(x).astype(x.dtype, copy=False)


sinc.pull(x=lambda g, x: g * sinc_slope(x))


# sinc'(x) = x times the sum over k >= 1 of (-1)**k 2k pi**2 (pi x)**(2k - 2) / (2k + 1)!, highest power first.
_SINC_SERIES = tuple((-1) ** k * 2 * k * math.pi**2 / math.factorial(2 * k + 1) for k in range(9, 0, -1))


@op
def sinc_slope(x: Array) -> Array:
    """Derivative of ``sinc``: ``(cos(pi x) - sinc(x)) / x``; near 0 by its series, where that difference cancels."""
    square = (x * x) * (math.pi**2)
    series = np.zeros_like(x)
    for c in _SINC_SERIES:
        series = series * square + x.dtype.type(c)
    near = np.abs(x) < 0.25
    safe = np.where(near, x.dtype.type(1), x)
    return np.where(near, x * series, (np.cos(safe * math.pi) - np.sinc(safe)) / safe).astype(x.dtype, copy=False)


def _sinc_slope(g: Array, x: Array, out: Array) -> Array:
    safe = where(x == 0, 1.0, x)
    return g * where(x == 0, -(math.pi**2) / 3, sinc(x) * -(math.pi**2) - out * 2 / safe)


sinc_slope.pull(x=_sinc_slope)


@op
def logit(x: Array, *, eps: float | None = None) -> Array:
    """``log(x / (1 - x))``; x is first clamped to [eps, 1 - eps] if eps is given."""
    if eps is not None:
        x = np.clip(x, x.dtype.type(eps), x.dtype.type(1 - eps))
    return np.log(x / (1 - x))


def _logit(g: Array, x: Array, *, eps: float | None) -> Array:
    slope = g / ((x + 0.0) * (1 - x))  # -0 becomes 0: the slope at both ends is +inf
    if eps is None:
        return where((x >= 0) & (x <= 1), slope, float("nan"))
    return where((x >= eps) & (x <= 1 - eps), slope, 0.0)


logit.pull(x=_logit)
