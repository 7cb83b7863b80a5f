"""Softmax and layer norm along the rows of float32 matrices; the twins are in ``ops.softmax_rows`` and ``ops.norm_rows``."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.fast.compiled import summing
from allgrad.fast.numbers import ONE, ZERO, F, exp, less

Array = np.ndarray[Any, Any]
LOW, HIGH, HIGH_LOG = F(0.05), F(1e30), F(3000)
"""Sums of a row of exponentials that lose nothing, as in the twin: only beyond them the largest element is taken off first."""
SPAN = 256
"""Rows whose column sums are taken one after the other: few enough for their rounding errors to stay small."""


@summing
def largest(row: Array) -> Any:
    """The largest element of a row; nan if there is one."""
    top = row[0]
    for j in range(row.size):
        v = row[j]
        top = v if v > top or v != v else top
    return top


@summing
def softmax(x: Array, y: Array) -> None:
    """``exp(x) / sum(exp(x))``: (n, c) -> (n, c); a row of -inf gives nan."""
    n, c = x.shape
    for r in range(n):
        total = ZERO
        for j in range(c):
            e = exp(x[r, j])
            y[r, j] = e
            total += e
        if not (LOW < total < HIGH):
            top = largest(x[r])
            total = ZERO
            for j in range(c):
                e = exp(less(x[r, j], top, ZERO))
                y[r, j] = e
                total += e
        share = ONE / total
        for j in range(c):
            y[r, j] *= share


@summing
def log_softmax(x: Array, y: Array) -> None:
    """``x - log(sum(exp(x)))``: (n, c) -> (n, c)."""
    n, c = x.shape
    for r in range(n):
        total, top = ZERO, ZERO
        for j in range(c):
            total += exp(x[r, j])
        if not (LOW < total < HIGH_LOG):
            top = largest(x[r])
            total = ZERO
            for j in range(c):
                total += exp(less(x[r, j], top, ZERO))
        level = np.log(total)
        for j in range(c):
            y[r, j] = less(x[r, j], top, level)


@summing
def softmax_pull(g: Array, y: Array, out: Array) -> None:
    """``y (g - sum(g y))``."""
    n, c = y.shape
    for r in range(n):
        dot = ZERO
        for j in range(c):
            dot += g[r, j] * y[r, j]
        for j in range(c):
            out[r, j] = y[r, j] * (g[r, j] - dot)


@summing
def log_softmax_pull(g: Array, y: Array, out: Array) -> None:
    """``g - exp(y) sum(g)``."""
    n, c = y.shape
    for r in range(n):
        total = ZERO
        for j in range(c):
            total += g[r, j]
        for j in range(c):
            out[r, j] = g[r, j] - exp(y[r, j]) * total


@summing
def layer_norm(x: Array, weight: Array, bias: Array, eps: Any, y: Array, mean: Array, var: Array) -> None:
    """Rows to mean 0 and variance 1, then weight and bias (c,); mean and variance of each row (n,)."""
    n, c = x.shape
    share = ONE / F(c)
    for r in range(n):
        total = ZERO
        for j in range(c):
            total += x[r, j]
        middle = total * share
        squares = ZERO
        for j in range(c):
            d = x[r, j] - middle
            squares += d * d
        mean[r], var[r] = middle, squares * share
        scale = ONE / np.sqrt(squares * share + F(eps))
        for j in range(c):
            y[r, j] = (x[r, j] - middle) * scale * weight[j] + bias[j]


@summing
def layer_norm_pull(
    g: Array, x: Array, weight: Array, eps: Any, mean: Array, var: Array, g_x: Array, g_weight: Array, g_bias: Array
) -> None:
    """Gradients of x (n, c), of weight and bias (c,), which start at zero."""
    n, c = x.shape
    share = ONE / F(c)
    part_w, part_b = np.zeros(c, np.float32), np.zeros(c, np.float32)
    for r in range(n):
        middle, scale = mean[r], ONE / np.sqrt(var[r] + F(eps))
        level, slope = ZERO, ZERO
        for j in range(c):
            inner = g[r, j] * weight[j]
            level += inner
            slope += inner * ((x[r, j] - middle) * scale)
        level, slope = level * share, slope * share
        for j in range(c):
            unit = (x[r, j] - middle) * scale
            part_w[j] += g[r, j] * unit
            part_b[j] += g[r, j]
            g_x[r, j] = scale * (g[r, j] * weight[j] - level - unit * slope)
        if r % SPAN == SPAN - 1 or r == n - 1:
            for j in range(c):
                g_weight[j] += part_w[j]
                g_bias[j] += part_b[j]
                part_w[j], part_b[j] = ZERO, ZERO
