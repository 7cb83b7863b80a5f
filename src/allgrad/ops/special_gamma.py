"""log-gamma, digamma and the Hurwitz zeta function in double precision, vectorized: kernels, not ops.

Sources: the Stirling series and the recurrences of Abramowitz and Stegun, "Handbook of Mathematical Functions"
(6.1.15, 6.1.17, 6.1.41, 6.3.5, 6.3.7, 6.3.18); on [2, 3] the rational approximation of S. Moshier's Cephes library
(``lgam``); zeta by Euler and Maclaurin's summation (23.2.9).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.special_erf import polynomial

Array = np.ndarray[Any, Any]

# lgamma(x) = (x - 1/2) log x - x + log(2 pi) / 2 + S(1/x²) / x, highest power first: B(2k) / (2k (2k - 1)).
_STIRLING = (8.11614167470508450300e-4, -5.95061904284301438324e-4, 7.93650340457716943945e-4,
             -2.77777777730099687205e-3, 8.33333333333331927722e-2)  # fmt: skip
# lgamma(2 + x) = x B(x) / C(x) for 0 <= x <= 1.
_B = (-1.37825152569120859100e3, -3.88016315134637840924e4, -3.31612992738871184744e5, -1.16237097492762307383e6,
      -1.72173700820839662146e6, -8.53555664245765465627e5)  # fmt: skip
_C = (1.0, -3.51815701436523470549e2, -1.70642106651881159223e4, -2.20528590553854454839e5, -1.13933444367982507207e6,
      -2.53252307177582951285e6, -2.01889141433532773231e6)  # fmt: skip
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)

# Bernoulli numbers B(2), B(4), ...
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330,
              854513 / 138, -236364091 / 2730)  # fmt: skip
# digamma(x) = log x - 1/(2x) - T(1/x²) / x², highest power first: B(2k) / (2k).
_DIGAMMA = tuple(b / (2 * k) for k, b in reversed(list(enumerate(_BERNOULLI[:8], 1))))


def lgamma64(x: Array) -> Array:
    """``log |gamma(x)|``: float64 -> float64; inf at 0, -1, -2, ..."""
    out = np.empty_like(x)
    left = x < 0.5
    out[~left] = _lgamma_right(x[~left])
    if left.any():
        a = x[left]
        whole = a == np.floor(a)
        # Reflection: gamma(x) gamma(1 - x) = pi / sin(pi x).
        fraction = a - np.rint(a)
        sine = np.abs(np.sin(math.pi * fraction))
        near = np.abs(a) < 0.5
        reflected = math.log(math.pi) - np.log(sine) - _lgamma_right(np.where(np.isfinite(a), 1.0 - a, 1.0))
        # Near 0 by the recurrence, which keeps the digits: gamma(x) = gamma(1 + x) / x.
        near_zero = _lgamma_right(np.where(near, 1.0 + a, 1.0)) - np.log(np.abs(np.where(near, a, 1.0)))
        out[left] = np.where(whole | np.isinf(a), np.inf, np.where(near, near_zero, reflected))
    return out


def _lgamma_right(x: Array) -> Array:
    """For x >= 0.5 and nan."""
    out = np.empty_like(x)
    far = ~(x < 13.0)
    a = x[far]
    square = 1.0 / (a * a)
    stirling = (a - 0.5) * np.log(a) - a + _HALF_LOG_2PI + polynomial(square, _STIRLING) / a
    out[far] = np.where(np.isposinf(a), np.inf, stirling)
    b = x[~far].copy()
    product = np.ones_like(b)
    for _ in range(10):  # down to [2, 3)
        high = b >= 3.0
        if not high.any():
            break
        b = np.where(high, b - 1.0, b)
        product = np.where(high, product * b, product)
    # Up to [1.94, 3): just below 2 the approximation still holds, and logarithms would cancel.
    once, twice = b < 1.94, b < 0.94
    divisor = np.where(twice, b * (b + 1.0), np.where(once, b, 1.0))
    b -= np.where(twice, 0.0, np.where(once, 1.0, 2.0))  # exact, for b is near what is taken away
    out[~far] = np.log(product) - np.log(divisor) + b * polynomial(b, _B) / polynomial(b, _C)
    return out


def digamma64(x: Array) -> Array:
    """The derivative of lgamma: float64 -> float64; -+inf at +-0, nan at -1, -2, ...

    Near its zero at 1.46 the error is 3e-16 absolute, not relative.
    """
    a = x.copy()
    out = np.zeros_like(a)
    left = a < 0.5
    if left.any():
        # Reflection: digamma(1 - x) - digamma(x) = pi / tan(pi x); the angle reduced first, so that it stays exact.
        b = a[left]
        fraction = b - np.rint(b)
        shift = -math.pi / np.tan(math.pi * fraction)
        shift[(b == np.floor(b)) & (b != 0)] = np.nan
        out[left] = shift
        a[left] = 1.0 - b
        out[x == 0] = np.nan
    infinite = np.isposinf(a)
    a[infinite] = 1.0
    for _ in range(10):  # up to 10 by digamma(x) = digamma(x + 1) - 1 / x
        low = a < 10.0
        if not low.any():
            break
        out = np.where(low, out - 1.0 / a, out)
        a = np.where(low, a + 1.0, a)
    square = 1.0 / (a * a)
    out += np.log(a) - 0.5 / a - polynomial(square, _DIGAMMA) * square
    out[infinite] = np.inf
    out[np.isneginf(x)] = np.nan
    zero = x == 0
    out[zero] = np.copysign(np.inf, -x[zero])
    return out


def zeta64(s: Array, q: Array) -> Array:
    """Hurwitz's ``sum over k >= 0 of (k + q)**-s``: float64, float64 -> float64, s > 1; inf at q = 0, -1, -2, ..."""
    s, q = np.broadcast_arrays(s, q)
    terms = 12
    whole = (q <= 0) & (q == np.floor(q))
    start = np.where(whole, 1.0, q)
    total = np.zeros(q.shape)
    for k in range(terms):
        total += np.power(start + k, -s)
    end = start + terms
    power = np.power(end, -s)
    total += end * power / (s - 1.0) + 0.5 * power
    factor = s * power / end
    for k, b in enumerate(_BERNOULLI, 1):
        total += b / math.factorial(2 * k) * factor
        factor = factor * (s + 2 * k - 1.0) * (s + 2 * k) / (end * end)
    out = np.where(whole, np.inf, total)
    out = np.where(np.isposinf(q), 0.0, out)
    return np.where(
        s > 1, np.where((q < 0) & ~whole & (s != np.floor(s)), np.nan, out), np.where(s == 1, np.inf, np.nan)
    )


def polygamma64(n: int, x: Array) -> Array:
    """The n-th derivative of digamma: float64 -> float64."""
    if n == 0:
        return digamma64(x)
    sign = 1.0 if n % 2 else -1.0
    return sign * math.factorial(n) * zeta64(np.asarray(n + 1.0), x)
