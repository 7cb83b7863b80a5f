"""Samples of elementary functions; references are the C library's functions, one number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from op_samples import Sample

Array = np.ndarray[Any, Any]
FLAT = False  # the derivative is a constant zero: nothing to differentiate again


def each(f: Callable[..., float]) -> Callable[..., Array]:
    """``f`` of every element, in Python."""
    return lambda *arrays, **_: np.asarray(np.vectorize(f, otypes=[np.float64])(*arrays))


def spread(low: float, high: float, *shape: int) -> Array:
    """Numbers in [low, high] in random order, none twice; the same in every run and whoever asked before."""
    rng = np.random.default_rng([round(1000 * (low + 1000)), round(1000 * (high + 1000)), *shape])
    return rng.permutation(np.linspace(low, high, math.prod(shape))).reshape(shape)


def one(f: Callable[[float], float], low: float, high: float, second: bool = True) -> list[Sample]:
    """A function of one number: a matrix, one number, none."""
    return [
        Sample((spread(low, high, 3, 4),), {}, each(f), second=second),
        Sample((np.array((low + 3 * high) / 4),), {}, each(f), second=second),
        Sample((np.zeros((0, 3)),), {}, lambda x, **_: x, second=second),
    ]


def two(
    f: Callable[[float, float], float], a: tuple[float, float], b: tuple[float, float], second: bool = True
) -> list[Sample]:
    """A function of two numbers: matrices, broadcast, 0-d."""
    return [
        Sample((spread(*a, 3, 4), spread(*b, 3, 4)), {}, each(f), second=second),
        Sample((spread(*a, 3, 1), spread(*b, 4)), {}, each(f), second=second),
        Sample((np.array(a[1] * 0.9), spread(*b, 2, 3)), {}, each(f), second=second),
    ]


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def _sinc_slope(x: float) -> float:
    return (math.cos(math.pi * x) - _sinc(x)) / x if x else 0.0


def _lerp(a: float, b: float, w: float) -> float:
    return a + w * (b - a)


SAMPLES: dict[str, list[Sample]] = {
    "abs": one(abs, -2.05, 2.1),
    "acos": one(math.acos, -0.9, 0.8),
    "acosh": one(math.acosh, 1.2, 4.0),
    "angle": one(lambda x: math.pi if x < 0 else 0.0, -2.05, 2.1, FLAT),
    "asin": one(math.asin, -0.9, 0.8),
    "asinh": one(math.asinh, -3.0, 3.1),
    "atan": one(math.atan, -3.0, 3.1),
    "atanh": one(math.atanh, -0.9, 0.8),
    "ceil": one(math.ceil, -2.05, 2.1, FLAT),
    "cos": one(math.cos, -3.0, 4.0),
    "cosh": one(math.cosh, -2.0, 3.0),
    "exp2": one(lambda x: 2.0**x, -3.0, 3.1),
    "expm1": one(math.expm1, -3.0, 2.0),
    "floor": one(math.floor, -2.05, 2.1, FLAT),
    "frac": one(lambda x: math.modf(x)[0], -2.05, 2.1),
    "log10": one(math.log10, 0.2, 9.0),
    "log1p": one(math.log1p, -0.8, 5.0),
    "log2": one(math.log2, 0.2, 9.0),
    "logit": [
        *one(lambda x: math.log(x) - math.log1p(-x), 0.05, 0.9),
        Sample(
            (np.array([0.02, 0.05, 0.3, 0.6, 0.97]),),
            {"eps": 0.1},
            each(lambda x: math.log(min(max(x, 0.1), 0.9) / (1 - min(max(x, 0.1), 0.9)))),
        ),
    ],
    "nan_to_num": [
        *one(lambda x: x, -2.0, 2.0),
        Sample(
            (np.array([np.nan, 1.0, np.inf, -np.inf]),),
            {"nan": 5.0, "neginf": -7.0},
            lambda x, **_: np.array([5.0, 1.0, np.finfo(np.float64).max, -7.0]),
            wrt=(),
        ),
    ],
    "reciprocal": one(lambda x: 1 / x, 0.3, 3.0),
    "round": [
        *one(round, -2.05, 2.1, FLAT),
        Sample((np.array([0.5, 1.5, 2.5, -0.5, 2.4]),), {}, each(round), wrt=()),
        Sample((np.array([0.126, 1.55, -2.449]),), {"decimals": 2}, each(lambda x: round(x, 2)), second=FLAT),
        Sample((np.array([126.0, 149.0, -251.0]),), {"decimals": -2}, each(lambda x: round(x, -2)), second=FLAT),
    ],
    "rsqrt": one(lambda x: 1 / math.sqrt(x), 0.3, 3.0),
    "sign": [
        *one(lambda x: math.copysign(1, x), -2.05, 2.1, FLAT),
        Sample((np.array([0.0, -0.0, np.nan]),), {}, each(lambda x: 0.0), wrt=()),
    ],
    "sin": one(math.sin, -3.0, 4.0),
    "sinc": [*one(_sinc, -2.2, 2.1), Sample((np.zeros(2),), {}, each(_sinc))],
    "sinc_slope": [*one(_sinc_slope, -2.2, 2.1), Sample((np.zeros(2),), {}, each(_sinc_slope), second=False)],
    "sinh": one(math.sinh, -2.0, 3.0),
    "square": one(lambda x: x**2, -2.0, 3.0),
    "tan": one(math.tan, -1.2, 1.3),
    "trunc": one(math.trunc, -2.05, 2.1, FLAT),
    "atan2": [
        *two(math.atan2, (-2.0, 2.3), (-1.7, 2.0)),
        Sample((np.zeros(1), np.zeros(1)), {}, each(math.atan2), wrt=()),
    ],
    "copysign": two(math.copysign, (-2.0, 2.3), (-1.7, 2.0), FLAT),
    "heaviside": [
        Sample((np.array([-1.0, 0.0, 2.0]), np.array([0.5, 0.7, 0.5])), {}, lambda a, b: np.array([0.0, 0.7, 1.0])),
    ],
    "hypot": two(math.hypot, (-2.0, 2.3), (-1.7, 2.0)),
    "ldexp": [Sample((spread(-2.0, 2.0, 2, 3), np.array([-3, 0, 5])), {}, each(lambda x, k: math.ldexp(x, int(k))))],
    "lerp": [
        Sample((spread(-2, 2, 3, 4), spread(-1, 3, 3, 4), spread(-0.3, 1.4, 3, 4)), {}, each(_lerp)),
        Sample((spread(-2, 2, 3, 1), spread(-1, 3, 4), np.array(0.7)), {}, each(_lerp)),
    ],
    "logaddexp": two(lambda a, b: math.log(math.exp(a) + math.exp(b)), (-2.0, 2.3), (-1.7, 2.0)),
    "logaddexp2": two(lambda a, b: math.log2(2**a + 2**b), (-2.0, 2.3), (-1.7, 2.0)),
    "nextafter": [Sample((spread(-2, 2, 4), spread(-1, 3, 4)), {}, each(math.nextafter))],
    "xlogy": [
        *two(lambda a, b: a * math.log(b), (-2.0, 2.3), (0.3, 2.0)),
        Sample((np.zeros(2), np.array([0.0, 2.0])), {}, lambda a, b: np.zeros(2), wrt=()),
    ],
    "xlog1py": [
        *two(lambda a, b: a * math.log1p(b), (-2.0, 2.3), (-0.7, 2.0)),
        Sample((np.zeros(2), np.array([-1.0, 2.0])), {}, lambda a, b: np.zeros(2), wrt=()),
    ],
    "remainder": two(lambda a, b: a - b * math.floor(a / b), (-7.03, 6.1), (1.3, 2.9)),
    "fmod": two(math.fmod, (-7.03, 6.1), (1.3, 2.9)),
}
