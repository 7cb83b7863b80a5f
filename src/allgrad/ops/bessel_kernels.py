"""Bessel functions in double precision, vectorized: kernels, not ops.

No tables: power series where all terms have one sign, the trapezoidal rule on integrals over a period or the whole line
(where it converges faster than any power of the step), Hankel's expansion beyond 25 (its smallest term is below 1e-21),
and Miller's downward recurrence.  Formulas from Abramowitz and Stegun, chapter 9.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_FAR = 25.0
_EULER = 0.5772156649015328606


def by_place(x: Array, split: Array, near: Any, far: Any) -> Array:
    """``near`` where ``split`` holds and ``far`` elsewhere, each computed only for its own elements."""
    out = np.empty_like(x)
    out[split] = near(x[split])
    out[~split] = far(x[~split])
    return out


def scaled_i(order: int, x: Array) -> Array:
    """``exp(-|x|) I_order(x)``, order 0 or 1."""
    size = np.abs(x)
    with np.errstate(all="ignore"):
        found = by_place(size, size < _FAR, lambda v: _i_series(order, v), lambda v: _hankel_i(order, v))
    found[np.isinf(size)] = 0.0
    found[np.isnan(size)] = np.nan
    return found if order == 0 else np.copysign(1.0, x) * found


def _i_series(order: int, x: Array) -> Array:
    square = x * x / 4
    term = np.exp(-x) * (x / 2) ** order
    total = term.copy()
    for k in range(1, 90):
        term = term * square / (k * (k + order))
        total += term
        if not (term > 1e-18 * total).any():
            break
    return total


def _hankel_i(order: int, x: Array) -> Array:
    term = np.ones_like(x)
    total = term.copy()
    for k in range(1, 30):
        term = term * -(4 * order * order - (2 * k - 1) ** 2) / (8 * k * x)
        total += term
    return total / np.sqrt(2 * math.pi * x)


def scaled_k(order: float, x: Array) -> Array:
    """``exp(x) K_order(x)`` for x > 0; infinite at 0, nan below.

    A and S 9.6.24: the integral of exp(x - x cosh t) cosh(order t) over t > 0.
    """
    out = np.full_like(x, np.nan)
    out[x == 0] = np.inf
    out[np.isinf(x) & (x > 0)] = 0.0
    tiny = (x > 0) & (x < 1e-9)
    with np.errstate(over="ignore"):
        small = x[tiny]
        leading = -np.log(small / 2) - _EULER if order == 0 else math.gamma(order) / 2 * (2 / small) ** order
        out[tiny] = leading * (1 + small)
    rest = (x >= 1e-9) & np.isfinite(x)
    v = x[rest]
    if v.size:
        step = np.minimum(0.2, 0.6 / np.sqrt(v))
        count = int(np.ceil((np.arccosh(1 + 40 / v) + 3 * (v < 1)) / step).max())
        total = np.full_like(v, 0.5)
        for k in range(1, count + 1):
            t = k * step
            # cosh t - 1 without cancellation; the factor cosh(order t) joins the exponent lest it overflow.
            fall = 2 * v * np.sinh(t / 2) ** 2
            total += 0.5 * (np.exp(order * t - fall) + np.exp(-order * t - fall))
        out[rest] = total * step
    return out


def j(order: int, x: Array) -> Array:
    """``J_order(x)``, order 0 or 1, by Bessel's integral over a period up to 25."""
    size = np.abs(x)
    with np.errstate(all="ignore"):
        found = by_place(size, size < _FAR, lambda v: _j_integral(order, v), lambda v: _hankel_jy(order, v)[0])
    found[np.isinf(size)] = 0.0
    small = size < 1e-2  # the integral is exact to 1e-16, which is not enough beside a small J_1
    square = size[small] ** 2 / 4
    series = 1 - square / (1 + order) * (1 - square / (4 + 2 * order) * (1 - square / (9 + 3 * order)))
    found[small] = series * (size[small] / 2) ** order
    return found if order == 0 else np.copysign(1.0, x) * found


def _j_integral(order: int, x: Array) -> Array:
    total = np.zeros_like(x)
    points = 80  # of a whole period; the error is J_80(25), below 1e-30
    for k in range(points):
        t = 2 * math.pi * (k + 0.5) / points
        total += np.cos(order * t - x * math.sin(t))
    return total / points


def y(order: int, x: Array) -> Array:
    """``Y_order(x)``, order 0 or 1: -inf at 0, nan below."""
    out = np.full_like(x, np.nan)
    out[x == 0] = -np.inf
    out[np.isinf(x) & (x > 0)] = 0.0
    far, near = (x >= _FAR) & np.isfinite(x), (x > 0) & (x < _FAR)
    out[far] = _hankel_jy(order, x[far])[1]
    if near.any():
        out[near] = _y_neumann(order, x[near])
    return out


def _y_neumann(order: int, x: Array) -> Array:
    """Neumann's series in J_0, J_1, J_2, ... (9.1.89 and its derivative)."""
    tiny = x < 1e-6
    v = np.where(tiny, 1e-6, x)
    js = _all_j(v)
    log_half = np.log(x / 2) + _EULER
    if order == 0:
        total = sum((-1) ** k * js[2 * k] / k for k in range(1, 40))
        return np.where(tiny, 2 / math.pi * log_half, 2 / math.pi * log_half * js[0] - 4 / math.pi * total)
    slope = sum((-1) ** k * (js[2 * k - 1] - js[2 * k + 1]) / (2 * k) for k in range(1, 40))
    near_zero = -2 / (math.pi * x) + x / math.pi * (log_half - 0.5)
    return np.where(tiny, near_zero, -2 / (math.pi * x) * js[0] + 2 / math.pi * log_half * js[1] + 4 / math.pi * slope)


def _all_j(x: Array) -> list[Array]:
    """J_0 to J_80 of 0 < x < 25, downward from J_90 = 0, scaled so that J_0 + 2 (J_2 + J_4 + ...) = 1."""
    above, here = np.zeros_like(x), np.full_like(x, 1e-300)
    found: list[Array] = [here]
    for n in range(90, 0, -1):
        above, here = here, 2 * n / x * here - above
        found.append(here)
        large = np.abs(here) > 1e200
        if large.any():
            shrink = np.where(large, 1e-200, 1.0)
            found = [f * shrink for f in found]
            above, here = above * shrink, found[-1]
    rising = found[::-1]
    norm = rising[0] + 2 * sum(rising[2:90:2])
    return [r / norm for r in rising]


def _hankel_jy(order: int, x: Array) -> tuple[Array, Array]:
    """Both by 9.2.5 and 9.2.6, x >= 25."""
    p, q = np.ones_like(x), np.zeros_like(x)
    term = np.ones_like(x)
    for k in range(1, 30):
        term = term * (4 * order * order - (2 * k - 1) ** 2) / (8 * k * x)
        sign = -1 if (k // 2) % 2 else 1
        if k % 2:
            q += sign * term
        else:
            p += sign * term
    # cos and sin of x - (order / 2 + 1/4) pi, by the angle's sum, so that x itself is not rounded.
    shift = (order / 2 + 0.25) * math.pi
    c = np.cos(x) * math.cos(shift) + np.sin(x) * math.sin(shift)
    s = np.sin(x) * math.cos(shift) - np.cos(x) * math.sin(shift)
    size = np.sqrt(2 / (math.pi * x))
    return size * (p * c - q * s), size * (p * s + q * c)
