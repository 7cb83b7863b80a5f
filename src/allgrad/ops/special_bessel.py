"""Bessel functions and the incomplete gamma functions as operations.

As in PyTorch i0, i0e, i1, i1e have derivatives, the other Bessel functions have none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops import bessel_kernels as kernels
from allgrad.ops.arithmetic import exp, log, where
from allgrad.ops.gamma_sample import gamma_cdf, gamma_tail
from allgrad.ops.op import op
from allgrad.ops.special import lgamma

Array = Any


def _wide(x: Array) -> Array:
    return np.atleast_1d(np.asarray(x, np.float64))


def _back(found: Array, x: Array) -> Array:
    return found.astype(x.dtype, copy=False).reshape(np.shape(x))


@op
def i0e(x: Array) -> Array:
    """``exp(-|x|) I0(x)``."""
    return _back(kernels.scaled_i(0, _wide(x)), x)


@op
def i1e(x: Array) -> Array:
    """``exp(-|x|) I1(x)``."""
    return _back(kernels.scaled_i(1, _wide(x)), x)


@op
def i0(x: Array) -> Array:
    """The modified Bessel function of the first kind, order 0."""
    wide = _wide(x)
    return _back(kernels.scaled_i(0, wide) * np.exp(np.abs(wide)), x)


@op
def i1(x: Array) -> Array:
    """The modified Bessel function of the first kind, order 1."""
    wide = _wide(x)
    return _back(kernels.scaled_i(1, wide) * np.exp(np.abs(wide)), x)


def _by_x(value: Array, x: Array) -> Array:
    """``value / x``, whose limit at 0 is one half."""
    zero = x == 0
    return where(zero, 0.5, value / where(zero, 1.0, x))


def _sign(x: Array) -> Array:
    return x / where(x == 0, 1.0, abs(x))


i0.pull(x=lambda g, x: g * i1(x))
i1.pull(x=lambda g, x, out: g * (i0(x) - _by_x(out, x)))
i0e.pull(x=lambda g, x, out: g * (i1e(x) - _sign(x) * out))
i1e.pull(x=lambda g, x, out: g * (i0e(x) - _by_x(out, x) - _sign(x) * out))


@op
def bessel_j(x: Array, *, order: int) -> Array:
    """The Bessel function of the first kind, order 0 or 1."""
    return _back(kernels.j(order, _wide(x)), x)


@op
def bessel_y(x: Array, *, order: int) -> Array:
    """The Bessel function of the second kind, order 0 or 1."""
    return _back(kernels.y(order, _wide(x)), x)


@op
def bessel_k(x: Array, *, order: int, scaled: bool) -> Array:
    """The modified Bessel function of the second kind, order 0 or 1; times ``exp(x)`` if ``scaled``."""
    wide = _wide(x)
    found = kernels.scaled_k(order, wide)
    return _back(found if scaled else found * np.exp(-wide), x)


@op
def polynomial(x: Array, n: Array, *, family: str) -> Array:
    """The orthogonal polynomial of degree ``n`` at ``x``, elementwise, by its recurrence; 0 for negative degrees."""
    start, step = _FAMILIES[family]
    v, degree = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(n))
    degree = np.trunc(degree)
    below, here = np.ones(v.shape), start(v)
    out = np.where(degree == 0, below, np.where(degree == 1, here, 0.0))
    for k in range(1, int(degree.max(initial=0))):
        below, here = here, step(k, v, here, below)
        out = np.where(degree == k + 1, here, out)
    return out.astype(x.dtype, copy=False)


def _twice(k: int, x: Array, p: Array, q: Array) -> Array:
    return 2 * x * p - q


# name: (degree 1, degree k + 1 from k, x and degrees k and k - 1)
_FAMILIES: dict[str, tuple[Any, Any]] = {
    "chebyshev_t": (lambda x: 1.0 * x, _twice),
    "chebyshev_u": (lambda x: 2.0 * x, _twice),
    "chebyshev_v": (lambda x: 2.0 * x - 1.0, _twice),
    "chebyshev_w": (lambda x: 2.0 * x + 1.0, _twice),
    "hermite_h": (lambda x: 2.0 * x, lambda k, x, p, q: 2 * x * p - 2 * k * q),
    "hermite_he": (lambda x: 1.0 * x, lambda k, x, p, q: x * p - k * q),
    "laguerre_l": (lambda x: 1.0 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1)),
    "legendre_p": (lambda x: 1.0 * x, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1)),
}


def _edges(found: Array, a: Array, x: Array, at_zero: float) -> Array:
    """The values at the edges, where series and fraction have none."""
    found = np.where(x == 0, at_zero, np.where(np.isinf(x), 1.0 - at_zero, found))
    found = np.where((a == 0) & (x > 0), 1.0 - at_zero, found)
    return np.where((a < 0) | (x < 0) | ((a == 0) & (x == 0)) | np.isnan(a) | np.isnan(x), np.nan, found)


def _safely(kernel: Any, a: Array, x: Array, at_zero: float) -> Array:
    wide_a, wide_x = np.broadcast_arrays(_wide(a), _wide(x))
    inside = (wide_a > 0) & (wide_x > 0) & np.isfinite(wide_x)
    found = _edges(kernel(np.where(inside, wide_a, 1.0), np.where(inside, wide_x, 1.0)), wide_a, wide_x, at_zero)
    return found.astype(x.dtype, copy=False).reshape(np.broadcast_shapes(np.shape(a), np.shape(x)))


@op
def igamma(a: Array, x: Array) -> Array:
    """The regularized lower incomplete gamma function P(a, x)."""
    return _safely(gamma_cdf, a, x, 0.0)


@op
def igammac(a: Array, x: Array) -> Array:
    """The regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x), exact in its tail."""
    return _safely(gamma_tail, a, x, 1.0)


igamma.pull(x=lambda g, a, x: g * exp((a - 1) * log(x) - x - lgamma(a)))
igammac.pull(x=lambda g, a, x: -g * exp((a - 1) * log(x) - x - lgamma(a)))
