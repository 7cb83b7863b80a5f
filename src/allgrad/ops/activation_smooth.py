"""Smooth activation functions, with the derivatives that backward needs as ops of their own.

``gelu.pull`` multiplies by ``gelu_slope(x)``: one fused NumPy kernel, which has a pullback again, so that second
derivatives need nothing else.  Kernels work in blocks that stay in the cache and on scratch that they own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.arithmetic import exp, gate, sigmoid, tanh, where
from allgrad.ops.blocks import in_blocks
from allgrad.ops.math import sign
from allgrad.ops.op import op
from allgrad.ops.special_erf import erfc64

Array = Any

# -- gelu: x Phi(x), Phi the share of the normal distribution below x -------------------------------

# log Phi(-a) as a polynomial in a on [0, 6], lowest power first: own fit, weighted least squares (Lawson's iteration)
# against scipy.special.log_ndtr.  x Phi(x) = max(x, 0) - |x| Phi(-|x|) is then right to 3 units in the last place for
# positive x and to 2e-6 relative for negative x, where 1 + erf(x) would cancel.  Beyond 6 it falls off to 0.
_LOG_PHI = (
    -0.6931471228599548, -0.7978866696357727, -0.31828969717025757, -0.03640758991241455, 0.004905743524432182,
    -7.709656347287819e-05, -0.00015558840823359787, 4.166523285675794e-05, -5.6334101827815175e-06,
    4.1046646970244183e-07, -1.2754764355804582e-08,
)  # fmt: skip
_LOG_PHI32 = tuple(np.float32(c) for c in reversed(_LOG_PHI))
_INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_SQRT_HALF = math.sqrt(0.5)


def _phi_left(size: Array, out: Array) -> None:
    """Phi(-size) into ``out``, float32."""
    np.multiply(size, _LOG_PHI32[0], out=out)
    out += _LOG_PHI32[1]
    for c in _LOG_PHI32[2:]:
        out *= size
        out += c
    np.exp(out, out=out)


def _gelu32(x: Array, out: Array, size: Array, phi: Array) -> None:
    np.absolute(x, out=size)
    np.minimum(size, np.float32(30), out=size)
    _phi_left(size, phi)
    phi *= size
    np.maximum(x, np.float32(0), out=out)
    out -= phi


def _gelu_slope32(x: Array, out: Array, size: Array, phi: Array) -> None:
    np.absolute(x, out=size)
    np.minimum(size, np.float32(30), out=size)
    _phi_left(size, phi)
    # Phi(x) = 1/2 + copysign(1/2 - Phi(-|x|), x), then the density times x
    np.subtract(np.float32(0.5), phi, out=phi)
    np.copysign(phi, x, out=phi)
    phi += np.float32(0.5)
    np.multiply(size, size, out=out)
    out *= np.float32(-0.5)
    np.exp(out, out=out)
    out *= np.float32(_INV_SQRT_2PI)
    np.copysign(size, x, out=size)
    out *= size
    out += phi


def _gelu64(x: Array, out: Array) -> None:
    np.multiply(x, 0.5 * erfc64(x * -_SQRT_HALF), out=out)


def _gelu_slope64(x: Array, out: Array) -> None:
    density = _INV_SQRT_2PI * np.exp(-0.5 * x * x)
    np.multiply(x, density, out=out)
    out += 0.5 * erfc64(x * -_SQRT_HALF)


@op
def gelu(x: Array) -> Array:
    """``x Phi(x)``, Phi the distribution function of the normal law."""
    return in_blocks(_gelu64, x) if x.dtype == np.float64 else in_blocks(_gelu32, x, scratch=2)


gelu.pull(x=lambda g, x: g * gelu_slope(x))


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
    return in_blocks(_silu, x)


silu.pull(x=lambda g, x: g * silu_slope(x))


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
    return np.subtract(np.minimum(x, x.dtype.type(0)), y)


log_sigmoid.pull(x=lambda g, x: g * sigmoid(-x))


@op
def elu(x: Array, *, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Array:
    """``scale * x`` above 0, else ``scale * alpha * (exp(input_scale * x) - 1)``; selu and celu are cases of it."""
    kind = x.dtype.type
    y = np.asarray(np.minimum(x, kind(0)))
    if input_scale != 1.0:
        y *= kind(input_scale)
    np.expm1(y, out=y)
    y *= kind(alpha * scale)
    y += np.maximum(x, kind(0)) * kind(scale) if scale != 1.0 else np.maximum(x, kind(0))
    return y


def _elu(g: Array, x: Array, *, alpha: float, scale: float, input_scale: float) -> Array:
    curved = exp(gate(x, x < 0) * input_scale) * (alpha * scale * input_scale)
    return g * where(x <= 0, curved, scale)


elu.pull(x=_elu)


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
