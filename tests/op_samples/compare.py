"""Samples of comparisons, logic, bits and choices."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from op_samples import Sample
from op_samples.math import each, spread, two

A = np.array([[1.0, 2.0, 3.0], [-1.0, 0.0, np.nan]])
B = np.array([[2.0, 2.0, 1.0], [-1.0, -0.0, np.nan]])
I = np.array([[5, -3, 0], [12, 7, 1]])
J = np.array([[3, 6, 4], [1, 2, 0]])
ODD = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan])


def truth(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays, **_: np.vectorize(lambda *x: bool(f(*x)), otypes=[np.bool_])(*arrays)


def whole(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays, **_: np.vectorize(lambda *x: int(f(*map(int, x))), otypes=[np.int64])(*arrays)


def _clamp(x: float, min: float | None = None, max: float | None = None) -> float:
    x = x if min is None or x > min else min
    return x if max is None or x < max else max


LIMITS: tuple[dict[str, float], ...] = (
    {"min": -0.55, "max": 1.05},
    {"min": 0.25},
    {"max": 0.35},
    {"min": 1.0, "max": -1.0},
)
SAMPLES: dict[str, list[Sample]] = {
    **{n: [Sample((A, B), {}, truth(getattr(operator, n)))] for n in ("eq", "ne", "lt", "le", "gt", "ge")},
    "isnan": [Sample((ODD,), {}, truth(math.isnan))],
    "isinf": [Sample((ODD,), {}, truth(math.isinf))],
    "isfinite": [Sample((ODD,), {}, truth(math.isfinite))],
    "isposinf": [Sample((ODD,), {}, truth(lambda x: x == math.inf)), Sample((I,), {}, truth(lambda x: False))],
    "isneginf": [Sample((ODD,), {}, truth(lambda x: x == -math.inf)), Sample((I,), {}, truth(lambda x: False))],
    "signbit": [
        Sample((ODD[:6],), {}, truth(lambda x: math.copysign(1, x) < 0)),
        Sample((I,), {}, truth(lambda x: x < 0)),
    ],
    "isin": [
        Sample((I, np.array([5, 7])), {}, lambda x, t, **_: (x == 5) | (x == 7)),
        Sample((I, np.array([5, 7])), {"invert": True}, lambda x, t, **_: (x != 5) & (x != 7)),
    ],
    "logical_and": [Sample((A, B), {}, truth(lambda a, b: a and b)), Sample((I, J), {}, truth(lambda a, b: a and b))],
    "logical_or": [Sample((A, B), {}, truth(lambda a, b: a or b))],
    "logical_xor": [Sample((A, B), {}, truth(lambda a, b: bool(a) != bool(b)))],
    "logical_not": [Sample((ODD,), {}, truth(lambda x: not x))],
    "bitwise_and": [Sample((I, J), {}, whole(operator.and_)), Sample((I > 0, J > 2), {}, lambda a, b: a * b)],
    "bitwise_or": [Sample((I, J), {}, whole(operator.or_))],
    "bitwise_xor": [Sample((I, J), {}, whole(operator.xor))],
    "bitwise_not": [Sample((I,), {}, whole(operator.invert)), Sample((I > 0,), {}, lambda a: a == False)],  # noqa: E712
    "bitwise_left_shift": [
        Sample((I, J), {}, whole(operator.lshift)),
        Sample((I, np.array(64)), {}, lambda a, b: a * 0),
    ],
    "bitwise_right_shift": [Sample((I, J), {}, whole(operator.rshift))],
    "gcd": [Sample((I, J), {}, whole(math.gcd))],
    "lcm": [Sample((I, J), {}, whole(math.lcm))],
    "maximum": [*two(max, (-2.0, 2.3), (-1.7, 2.0)), Sample((A, B), {}, np.maximum, wrt=())],
    "minimum": [*two(min, (-2.0, 2.3), (-1.7, 2.0)), Sample((A, B), {}, np.minimum, wrt=())],
    "fmax": [*two(max, (-2.0, 2.3), (-1.7, 2.0)), Sample((A, np.full((2, 3), np.nan)), {}, lambda a, b: a, wrt=())],
    "fmin": [*two(min, (-2.0, 2.3), (-1.7, 2.0)), Sample((A, np.full((2, 3), np.nan)), {}, lambda a, b: a, wrt=())],
    "clamp": [
        Sample((spread(-1.5, 1.52, 3, 4),), limits, lambda x, **k: each(lambda v: _clamp(v, **k))(x))
        for limits in LIMITS
    ],
    "clamp_below": two(max, (-2.0, 2.3), (-1.7, 2.0)),
    "clamp_above": two(min, (-2.0, 2.3), (-1.7, 2.0)),
    "clamp_between": [
        Sample((spread(-2, 2.1, 3, 4), spread(-1, 0.9, 3, 4), spread(-0.4, 1.3, 3, 4)), {}, each(_clamp)),
        Sample((spread(-2, 2.1, 3, 4), np.array(-0.53), np.array(0.71)), {}, each(_clamp)),
    ],
}
