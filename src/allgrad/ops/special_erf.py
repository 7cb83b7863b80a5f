"""erf and its relatives in double precision, vectorized: kernels, not ops.

Source: W. J. Cody, "Rational Chebyshev approximation for the error function", Math. Comp. 23 (1969) 631-637, with the
coefficients of his CALERF; relative error below 1e-16 in exact arithmetic.  The inverse starts from M. Giles,
"Approximating the erfinv function" (GPU Computing Gems, 2010) and takes two steps of Halley.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# erf(x) = x A(x²) / B(x²) for |x| <= 0.46875, highest power first.
_A = (1.85777706184603153e-1, 3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02,
      3.20937758913846947e03)  # fmt: skip
_B = (1.0, 2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03)
# erfc(x) = exp(-x²) C(x) / D(x) up to 4.
_C = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e01,
      2.98635138197400131e02, 8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03,
      1.23033935479799725e03)  # fmt: skip
_D = (1.0, 1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
      3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03)  # fmt: skip
# erfc(x) = exp(-x²) / x (1/sqrt(pi) - P(1/x²) / (x² Q(1/x²))) above 4.
_P = (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
      1.60837851487422766e-2, 6.58749161529837803e-4)  # fmt: skip
_Q = (1.0, 2.56852019228982242e00, 1.87295284992346047e00, 5.27905102951428412e-1, 6.05183413124413191e-2,
      2.33520497626869185e-3)  # fmt: skip
_INV_SQRT_PI = 1.0 / math.sqrt(math.pi)

# erfinv(x) = x W(w), w = -log(1 - x²), in two intervals, highest power first.
_CENTRAL = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
            -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
         1.00167406, 2.83297682)  # fmt: skip


def polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    """Horner's rule, highest power first."""
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y *= x
        y += c
    return y


def _center(x: Array) -> Array:
    square = x * x
    return x * (polynomial(square, _A) / polynomial(square, _B))


def scaled_tail(y: Array) -> Array:
    """``exp(y²) erfc(y)`` for y > 0.46875."""
    out = np.empty_like(y)
    near = y <= 4.0
    out[near] = polynomial(y[near], _C) / polynomial(y[near], _D)
    far = y[~near]
    inverse = 1.0 / (far * far)
    out[~near] = (_INV_SQRT_PI - inverse * (polynomial(inverse, _P) / polynomial(inverse, _Q))) / far
    return out


def _tail(y: Array) -> Array:
    """``erfc(y)`` for y > 0.46875; the square is split so that its rounding is not blown up by exp."""
    y = np.minimum(y, 30.0)  # 0 from 27 on; inf would meet inf - inf
    coarse = np.trunc(y * 16.0) / 16.0
    return np.exp(-coarse * coarse) * np.exp((coarse - y) * (coarse + y)) * scaled_tail(y)


def erf64(x: Array) -> Array:
    """The error function: float64 -> float64."""
    out = np.empty_like(x)
    size = np.abs(x)
    small = ~(size > 0.46875)  # with nan
    out[small] = _center(x[small])
    large = ~small
    if large.any():
        out[large] = np.copysign(1.0 - _tail(size[large]), x[large])
    return out


# atanh(erf(x)) / x in x² on [0, 4.2], to relative 4e-10: own fit by weighted least squares (Lawson's iteration).
_ATANH_ERF = (6.301527646945461e-13, -4.933875647378168e-11, 1.6607570196063221e-09, -3.137521714107582e-08,
              3.5864208485897667e-07, -2.3538333416720444e-06, 4.664687101440209e-06, 6.326417838090358e-05,
              -0.0005893627749625557, -0.00020942241651231304, 0.10277262866839938, 1.1283791666553749)  # fmt: skip


def erf_single(x: Array) -> Array:
    """The error function to float32's precision in one formula, ``tanh(x q(x²))``: float64 -> float64."""
    inside = np.clip(x, -4.1, 4.1)  # erf is 1 in float32 from 3.92 on
    y = polynomial(inside * inside, _ATANH_ERF)
    y *= inside
    return np.tanh(y, out=y)


def erfc64(x: Array) -> Array:
    """``1 - erf(x)``, exact in the right tail: float64 -> float64."""
    out = np.empty_like(x)
    size = np.abs(x)
    small = ~(size > 0.46875)
    out[small] = 1.0 - _center(x[small])
    large = ~small
    if large.any():
        tail = _tail(size[large])
        out[large] = np.where(x[large] < 0, 2.0 - tail, tail)
    return out


def erfcx64(x: Array) -> Array:
    """``exp(x²) erfc(x)``: float64 -> float64; inf below -26.7."""
    out = np.empty_like(x)
    right = x > 0.46875
    out[right] = scaled_tail(x[right])
    left = np.maximum(x[~right], -30.0)  # inf from -27 on, and no inf - inf before it
    coarse = np.trunc(left * 16.0) / 16.0
    out[~right] = np.exp(coarse * coarse) * np.exp((left - coarse) * (left + coarse)) * erfc64(left)
    return out


def erfinv64(y: Array) -> Array:
    """The inverse of erf: float64 in [-1, 1] -> float64; infinite at the ends, nan outside."""
    size = np.abs(y)
    inner = size < 1.0
    v = size[inner]
    w = -np.log((1.0 - v) * (1.0 + v))
    central = w < 5.0
    x = np.where(central, polynomial(w - 2.5, _CENTRAL), polynomial(np.sqrt(w) - 3.0, _TAIL)) * v
    beyond = w > 16.0  # where single precision ends: solve exp(-x²) / (x sqrt(pi)) (1 - 1/(2x²)) = 1 - v
    square = w[beyond]
    for _ in range(3):
        square = w[beyond] + math.log(2.0 * _INV_SQRT_PI) - 0.5 * np.log(square) + np.log1p(-0.5 / square)
    x[beyond] = np.sqrt(square)
    for _ in range(2):
        # Halley's step for erf(x) - v; near 1 through erfc, for 1 - v is exact there.
        gap = np.where(v < 0.5, erf64(x) - v, (1.0 - v) - erfc64(x))
        step = gap / (2.0 * _INV_SQRT_PI * np.exp(-x * x))
        x -= step / (1.0 + x * step)
    out = np.where(size == 1.0, np.inf, np.nan)
    out[inner] = x
    return np.copysign(out, y)
