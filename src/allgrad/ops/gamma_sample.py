"""How a gamma random number moves with its shape parameter.

A draw follows alpha by keeping its quantile (implicit reparameterization,
Figurnov et al. 2018): dx/dalpha = -(dP/dalpha)(alpha, x) / p(x), P the regularized lower incomplete gamma function.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any
_TINY = 1e-300


def gamma_cdf(a: Array, x: Array) -> Array:
    """P(a, x) in float64: series below a + 1, Lentz's continued fraction above (Numerical Recipes 6.2)."""
    a, x = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(x, np.float64))
    out = np.empty(a.shape)
    low = x < a + 1
    out[low] = _series(a[low], x[low])
    out[~low] = 1 - _fraction(a[~low], x[~low])
    return out


def gamma_tail(a: Array, x: Array) -> Array:
    """Q(a, x) = 1 - P(a, x) in float64, without cancellation where it is small."""
    a, x = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(x, np.float64))
    out = np.empty(a.shape)
    low = x < a + 1
    out[low] = 1 - _series(a[low], x[low])
    out[~low] = _fraction(a[~low], x[~low])
    return out


def _front(a: Array, x: Array) -> Array:
    log_gamma = np.array([math.lgamma(v) for v in np.ravel(a)]).reshape(np.shape(a))
    return np.exp(a * np.log(np.maximum(x, _TINY)) - x - log_gamma)


def _series(a: Array, x: Array) -> Array:
    term = 1 / a
    total = term.copy()
    for n in range(1, 500):
        term = term * x / (a + n)
        total += term
        if not (np.abs(term) > 1e-17 * np.abs(total)).any():
            break
    return total * _front(a, x)


def _fraction(a: Array, x: Array) -> Array:
    b = x + 1 - a
    c = np.full_like(x, 1 / _TINY)
    d = 1 / np.where(b == 0, _TINY, b)
    h = d.copy()
    for n in range(1, 500):
        an = -n * (n - a)
        b = b + 2
        d = an * d + b
        d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
        c = b + an / c
        c = np.where(np.abs(c) < _TINY, _TINY, c)
        step = c * d
        h *= step
        if not (np.abs(step - 1) > 1e-16).any():
            break
    return h * _front(a, x)


@op
def gamma_slope(alpha: Array, draw: Array) -> Array:
    """d draw / d alpha at fixed quantile, elementwise."""
    a, x = np.asarray(alpha, np.float64), np.asarray(draw, np.float64)
    step = 1e-4 * np.maximum(a, 1e-2)
    # Fourth-order central difference of the distribution function: error about 1e-12 relative to its scale.
    near = gamma_cdf(a + step, x) - gamma_cdf(a - step, x)
    far = gamma_cdf(a + 2 * step, x) - gamma_cdf(a - 2 * step, x)
    slope = (8 * near - far) / (12 * step)
    density = _front(a, x) / np.maximum(x, _TINY)
    return (-slope / np.maximum(density, _TINY)).astype(np.asarray(alpha).dtype)
