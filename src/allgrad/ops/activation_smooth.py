"""Smooth activation functions, with the derivatives that backward needs as ops of their own.

``gelu.pull`` multiplies by ``gelu_slope(x)``: one fused NumPy kernel, which has a pullback again, so that second
derivatives need nothing else.  Kernels work in blocks that stay in the cache and on scratch that they own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.arithmetic import exp, gate, sigmoid, tanh, where
from allgrad.ops.blocks import bounded, in_blocks
from allgrad.ops.math import sign
from allgrad.ops.op import op
from allgrad.ops.special_erf import erfc64

Array = Any

# -- gelu: x Phi(x), Phi the share of the normal distribution below x -------------------------------

# Phi(x) = (1 + tanh(x q(x²))) / 2 in single precision: q(x²) = atanh(erf(x / sqrt 2)) / x is smooth, and NumPy's tanh
# is vectorized where the exponentials and divisions of an erf are slower.  Own fit of q(x²) to relative 1e-7 on
# [0, 5.1] by weighted least squares (Lawson's iteration); it grows beyond, where tanh is 1.  Highest power first.
_ATANH_ERF = (
    1.4185179963988048e-07, -5.668468020303408e-06, 8.763727964833379e-05, -0.0006197845214046538,
    -0.00019183094264008105, 0.10276905447244644, 1.128379225730896,
)  # fmt: skip
_PHI32 = tuple(np.float32(c * math.sqrt(0.5) * 0.5 ** (6 - i)) for i, c in enumerate(_ATANH_ERF))
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_SQRT_HALF = math.sqrt(0.5)
_ONE, _HALF = np.float32(1), np.float32(0.5)


def _twice_phi(x: Array, square: Array, out: Array) -> None:
    """``2 Phi(x)`` into ``out``, given x²; float32."""
    np.multiply(square, _PHI32[0], out=out)
    for c in _PHI32[1:-1]:
        out += c
        out *= square
    out += _PHI32[-1]
    out *= x
    np.tanh(out, out=out)
    out += _ONE


def _gelu32(x: Array, out: Array, square: Array) -> None:
    np.multiply(x, x, out=square)
    _twice_phi(x, square, out)
    out *= x
    out *= _HALF


def _gelu_slope32(x: Array, out: Array, square: Array, density: Array) -> None:
    np.multiply(x, x, out=square)
    _twice_phi(x, square, out)
    np.multiply(square, -_HALF, out=density)
    np.exp(density, out=density)
    density *= x
    density *= np.float32(2.0 * _INV_SQRT_2PI)
    out += density
    out *= _HALF


def _gelu64(x: Array, out: Array) -> None:
    np.multiply(x, 0.5 * erfc64(x * -_SQRT_HALF), out=out)


def _gelu_slope64(x: Array, out: Array) -> None:
    density = _INV_SQRT_2PI * np.exp(-0.5 * x * x)
    np.multiply(x, density, out=out)
    out += 0.5 * erfc64(x * -_SQRT_HALF)


def _compiled(kernel: str, *arrays: Array) -> Array:
    """One pass of a compiled kernel over arrays of one shape."""
    out = np.empty(arrays[0].shape, np.float32)
    getattr(fast.kernels("pointwise"), kernel)(*[np.ascontiguousarray(a).reshape(-1) for a in arrays], out.reshape(-1))
    return out


@op
def gelu(x: Array) -> Array:
    """``x Phi(x)``, Phi the distribution function of the normal law."""
    if fast.suits(x):
        return _compiled("gelu", x)
    return in_blocks(_gelu64, x) if x.dtype == np.float64 else in_blocks(_gelu32, x, scratch=1)


gelu.pull(x=lambda g, x: _compiled("gelu_pull", x, g) if fast.suits(x, g) else g * gelu_slope(x))


@op
def gelu_slope(x: Array) -> Array:
    """Derivative of ``gelu``: ``Phi(x) + x phi(x)``."""
    return in_blocks(_gelu_slope64, x) if x.dtype == np.float64 else in_blocks(_gelu_slope32, x, scratch=2)


gelu_slope.pull(x=lambda g, x: g * (exp(x * x * -0.5) * ((2.0 - x * x) * _INV_SQRT_2PI)))

_TANH_SCALE = math.sqrt(2.0 / math.pi)
_TANH_CUBE = 0.044715


def _gelu_tanh(x: Array, out: Array) -> None:
    kind = x.dtype.type
    np.multiply(x, x, out=out)
    out *= kind(_TANH_SCALE * _TANH_CUBE)
    out += kind(_TANH_SCALE)
    out *= x
    np.tanh(out, out=out)
    out += kind(1)
    out *= x
    out *= kind(0.5)


def _gelu_tanh_slope(x: Array, out: Array, t: Array) -> None:
    kind = x.dtype.type
    np.multiply(x, x, out=out)
    np.multiply(out, kind(_TANH_SCALE * _TANH_CUBE), out=t)
    t += kind(_TANH_SCALE)
    t *= x
    np.tanh(t, out=t)
    # x u' / 2 (1 - t²) + (1 + t) / 2
    out *= kind(3 * _TANH_SCALE * _TANH_CUBE)
    out += kind(_TANH_SCALE)
    out *= x
    out *= kind(0.5)
    rest = np.multiply(t, t)
    np.subtract(kind(1), rest, out=rest)
    out *= rest
    t += kind(1)
    t *= kind(0.5)
    out += t


@op
def gelu_tanh(x: Array) -> Array:
    """``x / 2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³)))``, the approximation of ``gelu``."""
    return in_blocks(_gelu_tanh, x)


gelu_tanh.pull(x=lambda g, x: g * gelu_tanh_slope(x))


@op
def gelu_tanh_slope(x: Array) -> Array:
    """Derivative of ``gelu_tanh``."""
    return in_blocks(_gelu_tanh_slope, x, scratch=1)


def _gelu_tanh_curve(g: Array, x: Array) -> Array:
    square = x * x
    t = tanh(x * (square * (_TANH_SCALE * _TANH_CUBE) + _TANH_SCALE))
    first = square * (3 * _TANH_SCALE * _TANH_CUBE) + _TANH_SCALE
    second = x * (6 * _TANH_SCALE * _TANH_CUBE)
    return g * ((1 - t * t) * (first + x * second * 0.5 - x * first * first * t))


gelu_tanh_slope.pull(x=_gelu_tanh_curve)


# -- silu: x sigmoid(x) ----------------------------------------------------------------------------


def _sigmoid(x: Array, out: Array) -> None:
    one = x.dtype.type(1)
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += one
    np.divide(one, out, out=out)


def _silu(x: Array, out: Array) -> None:
    one = x.dtype.type(1)
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += one
    np.divide(x, out, out=out)


def _silu_slope(x: Array, out: Array, s: Array) -> None:
    # s (1 + x (1 - s)), the derivative of x s
    one = x.dtype.type(1)
    _sigmoid(x, s)
    np.subtract(one, s, out=out)
    out *= x
    out += one
    out *= s


@op
def silu(x: Array) -> Array:
    """``x sigmoid(x)``."""
    if fast.suits(x):
        return _compiled("silu", x)
    return in_blocks(_silu, x)


silu.pull(x=lambda g, x: _compiled("silu_pull", x, g) if fast.suits(x, g) else g * silu_slope(x))


@op
def silu_slope(x: Array) -> Array:
    """Derivative of ``silu``."""
    return in_blocks(_silu_slope, x, scratch=1)


def _silu_curve(g: Array, x: Array) -> Array:
    s = sigmoid(x)
    return g * (s * (1 - s) * (x * (1 - s * 2) + 2))


silu_slope.pull(x=_silu_curve)


# -- mish: x tanh(softplus(x)) ---------------------------------------------------------------------


def _tanh_softplus(x: Array, out: Array) -> None:
    """``tanh(log(1 + e^x)) = n / (n + 2)`` with ``n = e^x (e^x + 2)``; 1 long before e^x overflows."""
    kind = x.dtype.type
    e = np.exp(np.minimum(x, kind(20)))
    np.add(e, kind(2), out=out)
    out *= e
    np.add(out, kind(2), out=e)
    out /= e


def _mish(x: Array, out: Array) -> None:
    _tanh_softplus(x, out)
    out *= x


def _mish_slope(x: Array, out: Array, t: Array, s: Array) -> None:
    # t + x (1 - t²) sigmoid(x)
    _tanh_softplus(x, t)
    _sigmoid(x, s)
    np.multiply(t, t, out=out)
    np.subtract(x.dtype.type(1), out, out=out)
    out *= s
    out *= x
    out += t


@op
def mish(x: Array) -> Array:
    """``x tanh(softplus(x))``."""
    return in_blocks(_mish, x)


mish.pull(x=lambda g, x: g * mish_slope(x))


@op
def mish_slope(x: Array) -> Array:
    """Derivative of ``mish``."""
    return in_blocks(_mish_slope, x, scratch=2)


def _mish_curve(g: Array, x: Array) -> Array:
    s = sigmoid(x)
    t = tanh(softplus(x, beta=1.0, threshold=20.0))
    first = (1 - t * t) * s
    return g * (first * (x * (1 - s - t * s * 2) + 2))


mish_slope.pull(x=_mish_curve)


# -- softplus and its kin --------------------------------------------------------------------------


@op
def softplus(x: Array, *, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """``log(1 + exp(beta x)) / beta``, x itself where ``beta x`` exceeds the threshold."""
    kind = x.dtype.type
    y = np.asarray(x * kind(beta))
    linear = y > threshold
    np.exp(y, out=y)
    np.log1p(y, out=y)
    y /= kind(beta)
    np.copyto(y, x, where=linear)
    return y


softplus.pull(
    x=lambda g, x, *, beta, threshold: where(x * beta > threshold, g, g * sigmoid(x * beta)),
)


@op
def log_sigmoid(x: Array) -> Array:
    """``-log(1 + exp(-x))`` without overflow."""
    y = np.asarray(np.negative(np.absolute(x)))
    np.exp(y, out=y)
    np.log1p(y, out=y)
    return np.subtract(bounded(x, None, 0), y)


log_sigmoid.pull(x=lambda g, x: g * sigmoid(-x))


@op
def elu(x: Array, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    """``scale * x`` above 0, else ``scale * alpha * (exp(input_scale * x) - 1)``; selu and celu are cases of it."""
    kind = x.dtype.type
    y = np.asarray(bounded(x, None, 0))
    if input_scale != 1.0:
        y *= kind(input_scale)
    np.expm1(y, out=y)
    y *= kind(alpha * scale)
    above = bounded(x, 0, None)
    y += above * kind(scale) if scale != 1.0 else above
    return y


elu.pull(
    x=lambda g, x, *, alpha, scale, input_scale: g * elu_slope(x, alpha=alpha, scale=scale, input_scale=input_scale)
)


@op
def elu_slope(x: Array, *, alpha: float, scale: float, input_scale: float) -> Array:
    """Derivative of ``elu``; at 0 that of the curved side."""
    kind = x.dtype.type
    y = np.asarray(bounded(x, None, 0))
    if input_scale != 1.0:
        y *= kind(input_scale)
    np.exp(y, out=y)
    y *= kind(alpha * scale * input_scale)
    rest = scale - alpha * scale * input_scale  # above 0 the exponential stands still at 1
    if rest:
        y += np.greater(x, kind(0)).astype(x.dtype) * kind(rest)
    return y


elu_slope.pull(
    x=lambda g, x, out, *, input_scale: gate(g * out * input_scale, x < 0),
)


@op
def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``."""
    return x / (np.absolute(x) + x.dtype.type(1))


def _softsign(g: Array, x: Array) -> Array:
    width = x * sign(x) + 1
    return g / (width * width)


softsign.pull(x=_softsign)


@op
def tanhshrink(x: Array) -> Array:
    """``x - tanh(x)``."""
    return x - np.tanh(x)


def _tanhshrink(g: Array, x: Array) -> Array:
    t = tanh(x)
    return g * (t * t)


tanhshrink.pull(x=_tanhshrink)
