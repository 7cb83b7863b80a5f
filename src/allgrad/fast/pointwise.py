"""Activations in one pass; the twins are in ``allgrad.ops.activation_smooth``.  Flat float32 arrays of one length."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.fast.compiled import exact, summing
from allgrad.fast.numbers import ONE, ZERO, F, exp, logistic

Array = np.ndarray[Any, Any]

# 2 atanh(erf(x / sqrt 2)) / x in x², as in the twin; highest power first.  Twice, for the logistic function of it is Phi.
G0, G1, G2, G3, G4, G5, G6 = (
    F(2 * c * math.sqrt(0.5) * 0.5 ** (6 - i))
    for i, c in enumerate((
        1.4185179963988048e-07, -5.668468020303408e-06, 8.763727964833379e-05, -0.0006197845214046538,
        -0.00019183094264008105, 0.10276905447244644, 1.128379225730896,
    ))
)  # fmt: skip
DENSITY, MINUS_HALF = F(1 / math.sqrt(2 * math.pi)), F(-0.5)


@summing
def gelu(x: Array, out: Array) -> None:
    """``x Phi(x)``."""
    for i in range(x.size):
        v = x[i]
        s = v * v
        out[i] = v * logistic(v * ((((((G0 * s + G1) * s + G2) * s + G3) * s + G4) * s + G5) * s + G6))


@summing
def gelu_pull(x: Array, g: Array, out: Array) -> None:
    """``g (Phi(x) + x phi(x))``."""
    for i in range(x.size):
        v = x[i]
        s = v * v
        phi = logistic(v * ((((((G0 * s + G1) * s + G2) * s + G3) * s + G4) * s + G5) * s + G6))
        out[i] = g[i] * (phi + v * DENSITY * exp(s * MINUS_HALF))


@summing
def silu(x: Array, out: Array) -> None:
    """``x / (1 + exp(-x))``."""
    for i in range(x.size):
        out[i] = x[i] * logistic(x[i])


@summing
def silu_pull(x: Array, g: Array, out: Array) -> None:
    """``g s (1 + x (1 - s))`` with the logistic function s."""
    for i in range(x.size):
        s = logistic(x[i])
        out[i] = g[i] * (s + x[i] * (s * (ONE - s)))


@exact
def relu_pull(g: Array, y: Array, out: Array) -> None:
    """``g`` where ``max(x, 0)`` is not 0."""
    for i in range(g.size):
        out[i] = g[i] if y[i] != ZERO else ZERO
