"""Samples of activation functions: references from the defining formulas, in Python's own arithmetic and SciPy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from op_samples import Sample
from op_samples.math import each, spread


def one(f: Callable[..., float], low: float, high: float, **meta: Any) -> list[Sample]:
    reference = each(lambda x: f(x, **meta))
    return [
        Sample((spread(low, high, 3, 4),), meta, reference),
        Sample((np.array((low + 3 * high) / 4),), meta, reference),
        Sample((np.zeros((0, 3)),), meta, lambda x, **_: x),
    ]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _gelu(x: float) -> float:
    return x * float(scipy.special.ndtr(x))


def _gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _mish(x: float) -> float:
    return x * math.tanh(math.log1p(math.exp(x)))


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh_slope(x: float) -> float:
    k, c = math.sqrt(2 / math.pi), 0.044715
    t = math.tanh(k * (x + c * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * c * x * x)


def _mish_slope(x: float) -> float:
    t = math.tanh(math.log1p(math.exp(x)))
    return t + x * (1 - t * t) * _sigmoid(x)


def _elu(x: float, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> float:
    return scale * (x if x > 0 else alpha * math.expm1(x * input_scale))


def _elu_slope(x: float, alpha: float, scale: float, input_scale: float) -> float:
    return scale * (1.0 if x > 0 else alpha * input_scale * math.exp(x * input_scale))


def _softshrink(x: float, lambd: float = 0.5) -> float:
    return x - lambd if x > lambd else x + lambd if x < -lambd else 0.0


SAMPLES: dict[str, list[Sample]] = {
    "hardtanh": one(lambda x, min_val=-1, max_val=1: min(max(x, min_val), max_val), -2.1, 2.2)
    + one(lambda x, min_val, max_val: min(max(x, min_val), max_val), -2.1, 2.2, min_val=-0.33, max_val=1.7),
    "leaky_relu": one(lambda x, negative_slope=0.01: x if x > 0 else negative_slope * x, -2.1, 2.2)
    + one(lambda x, negative_slope: x if x > 0 else negative_slope * x, -2.1, 2.2, negative_slope=1.5),
    "leaky_gate": [
        Sample(
            (spread(-2, 2, 3, 4), spread(-2, 2, 3, 4) > 0.1),
            {"slope": 0.3},
            lambda x, mask, *, slope: np.where(mask, x, slope * x),
        )
    ],
    "threshold": one(lambda x, threshold, value: x if x > threshold else value, -2.1, 2.2, threshold=0.17, value=-4.0),
    "softshrink": one(_softshrink, -2.1, 2.2, lambd=0.6),
    "hardshrink": one(lambda x, lambd: x if abs(x) > lambd else 0.0, -2.1, 2.2, lambd=0.6),
    "hardsigmoid": one(lambda x: min(max(x + 3, 0), 6) / 6, -5.1, 5.2),
    "hardswish": one(lambda x: x * min(max(x + 3, 0), 6) / 6, -5.1, 5.2),
    "hardswish_slope": one(lambda x: 0.0 if x <= -3 else 1.0 if x >= 3 else x / 3 + 0.5, -5.1, 5.2),
    # derivatives that backward needs as ops of their own stand beside their functions
    "gelu": one(_gelu, -5.0, 4.5),
    "gelu_slope": one(lambda x: float(scipy.special.ndtr(x)) + x * _density(x), -5.0, 4.5),
    "gelu_tanh": one(_gelu_tanh, -5.0, 4.5),
    "gelu_tanh_slope": one(_gelu_tanh_slope, -5.0, 4.5),
    "silu": one(lambda x: x * _sigmoid(x), -5.0, 4.5),
    "silu_slope": one(lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))), -5.0, 4.5),
    "mish": one(_mish, -5.0, 4.5),
    "mish_slope": one(_mish_slope, -5.0, 4.5),
    "softplus": one(
        lambda x, beta, threshold: math.log1p(math.exp(beta * x)) / beta, -5.0, 4.5, beta=2.0, threshold=20.0
    )
    + one(lambda x, beta, threshold: x, 4.0, 9.0, beta=1.5, threshold=3.0),
    "log_sigmoid": one(lambda x: math.log(_sigmoid(x)), -5.0, 4.5),
    "elu": one(_elu, -3.1, 3.2)
    + one(_elu, -3.1, 3.2, alpha=1.6732632423543772, scale=1.0507009873554805)
    + one(_elu, -3.1, 3.2, alpha=1.7, input_scale=1 / 1.7),
    "elu_slope": one(_elu_slope, -3.1, 3.2, alpha=1.7, scale=1.2, input_scale=0.6),
    "softsign": one(lambda x: x / (1 + abs(x)), -3.1, 3.2),
    "tanhshrink": one(lambda x: x - math.tanh(x), -3.1, 3.2),
}
