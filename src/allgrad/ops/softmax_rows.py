"""Softmax of rows, a cache-sized block at a time.

The largest element of a row comes off before ``exp`` so that nothing overflows or vanishes.  For the logits of
most networks nothing would: a block is tried without it, and done again with it where the sums of its rows say
that range or accuracy suffered.  That saves two of five passes, one of which NumPy is slow at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.reduce_fast import largest, total

Array = Any

BLOCK = 1 << 15
"""Elements per block: three float32 arrays of them stay in the second-level cache."""
LOW, HIGH, HIGH_LOG = 0.05, 1e30, 3000.0
"""Sums of a row of exponentials that lose nothing.  Below LOW small terms vanish; above HIGH float32 overflows;
log(HIGH_LOG) = 8, so subtracting the logarithm of a smaller sum costs no more than half a unit of 2**-20."""


def is_rows(x: Array, dim: int) -> bool:
    """Whether softmax along ``dim`` runs along contiguous rows of float32 or float64."""
    return bool(dim in (-1, x.ndim - 1) and x.flags.c_contiguous and x.itemsize >= 4 and x.size)


def blocks(x: Array) -> Iterator[slice]:
    """Slices of the rows of a matrix."""
    step = max(1, BLOCK // x.shape[1])
    for start in range(0, len(x), step):
        yield slice(start, start + step)


def _fits(s: Array, high: float) -> bool:
    return bool(s.min() > LOW and s.max() < high)  # false for nan


def softmax_rows(x: Array) -> Array:
    """Softmax along the last axis of a contiguous array."""
    y = np.empty_like(x)
    rows, into = x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1])
    if fast.suits(x):
        fast.kernels("rows").softmax(rows, into)
        return y
    for at in blocks(rows):
        part = np.exp(rows[at], out=into[at])
        s = total(part, (1,), True)
        if not _fits(s, HIGH):
            np.subtract(rows[at], largest(rows[at], 1), out=part)
            s = total(np.exp(part, out=part), (1,), True)
        part /= s
    return y


def log_softmax_rows(x: Array) -> Array:
    """Log-softmax along the last axis of a contiguous array."""
    y = np.empty_like(x)
    rows, into = x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1])
    if fast.suits(x):
        fast.kernels("rows").log_softmax(rows, into)
        return y
    for at in blocks(rows):
        given, part = rows[at], into[at]
        s = total(np.exp(given, out=part), (1,), True)
        if not _fits(s, HIGH_LOG):
            given = np.subtract(given, largest(given, 1))
            s = total(np.exp(given, out=part), (1,), True)
        np.subtract(given, np.log(s, out=s), out=part)
    return y


def softmax_rows_grad(grad: Array, y: Array) -> Array:
    """``y * (grad - sum(grad * y))`` along the last axis."""
    t = np.empty_like(y)
    n = y.shape[-1]
    g, rows, into = grad.reshape(-1, n), y.reshape(-1, n), t.reshape(-1, n)
    if fast.suits(y, grad):
        fast.kernels("rows").softmax_pull(np.ascontiguousarray(g), rows, into)
        return t
    for at in blocks(rows):
        part = into[at]
        s = total(np.multiply(g[at], rows[at], out=part), (1,), True)
        np.subtract(g[at], s, out=part)
        part *= rows[at]
    return t


def log_softmax_rows_grad(grad: Array, y: Array) -> Array:
    """``grad - exp(y) * sum(grad)`` along the last axis."""
    t = np.empty_like(y)
    n = y.shape[-1]
    g, rows, into = grad.reshape(-1, n), y.reshape(-1, n), t.reshape(-1, n)
    if fast.suits(y, grad):
        fast.kernels("rows").log_softmax_pull(np.ascontiguousarray(g), rows, into)
        return t
    for at in blocks(rows):
        part = np.exp(rows[at], out=into[at])
        part *= total(g[at], (1,), True)
        np.subtract(g[at], part, out=part)
    return t
