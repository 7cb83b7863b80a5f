"""Matrix products.  Transposed operands go to BLAS as they are; a batch against one matrix is one tall product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.op import op
from allgrad.ops.reduce_fast import COLUMN_SPAN, is_half, ones
from allgrad.ops.shape import sum_to, transpose

Array = Any


def rows_of(x: Array) -> Array:
    """All rows of a batch as one matrix: (..., k) -> (n, k)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@op
def matmul(a: Array, b: Array) -> Array:
    """Batched product of matrices, both at least 2-D: (..., n, k), (..., k, m) -> (..., n, m)."""
    if is_half(a.dtype):
        # NumPy has no product of halves worth the name.
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(a.dtype)
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:
        return np.matmul(rows_of(a), b).reshape(a.shape[:-1] + b.shape[-1:])
    return np.matmul(a, b)


def _matmul_a(g: Array, b: Array, a_shape: Any) -> Array:
    return sum_to(matmul(g, transpose(b, dim0=-1, dim1=-2)), shape=tuple(a_shape))


def _matmul_b(g: Array, a: Array, b_shape: Any) -> Array:
    if len(b_shape) == 2 and len(a.shape) > 2:
        # One tall product instead of a batch of products and a sum.
        return matmul(transpose(rows_of(a), dim0=0, dim1=1), rows_of(g))
    return sum_to(matmul(transpose(a, dim0=-1, dim1=-2), g), shape=tuple(b_shape))


matmul.pull(a=_matmul_a, b=_matmul_b)


# OpenBLAS multiplies small single-precision matrices without first copying them into its own order: results of about
# 1,200 elements, one million multiplications.  A thin batch against a large transposed matrix is faster as several such
# products than as one: measured 2 to 3.7 times at 8 rows, 1.7 at 32, 1.3 at 64, 1.15 at 128; other layouts gain nothing.
SMALL_RESULT, SMALL_WORK = 1200, 1_000_000


def times_transposed(x: Array, weight: Array) -> Array:
    """``x @ weight.T`` for matrices: (n, k), (m, k) -> (n, m)."""
    (n, k), m = x.shape, len(weight)
    if 4 <= n <= 128 and n * m > SMALL_RESULT and x.dtype == np.float32 and weight.dtype == np.float32:
        block = min(SMALL_RESULT // n, SMALL_WORK // (n * k or 1)) & ~7
        if n * k * block >= (64_000 if n <= 16 else 110_000 if n <= 32 else 260_000):  # else not worth a call each
            y, across = np.empty((n, m), np.float32), weight.T
            for start in range(0, m, block):
                np.matmul(x, across[:, start : start + block], y[:, start : start + block])
            return y
    return np.matmul(x, weight.T)


@op
def linear(x: Array, weight: Array, bias: Array = None) -> Array:
    """``x @ weight.T + bias``: (..., in), (out, in), (out,) -> (..., out)."""
    if is_half(x.dtype):
        y = matmul(rows_of(x), weight.T).reshape(x.shape[:-1] + weight.shape[:1])
    elif x.ndim == 2:
        y = times_transposed(x, weight)
    elif x.ndim > 2 and x.flags.c_contiguous:
        y = times_transposed(rows_of(x), weight).reshape(x.shape[:-1] + weight.shape[:1])
    else:
        y = np.matmul(x, weight.T)
    if bias is not None:
        y += bias
    return y


def _linear_x(g: Array, weight: Array) -> Array:
    return matmul(g, weight) if len(g.shape) > 1 else matmul(g.reshape(1, -1), weight).reshape(-1)


def _linear_weight(g: Array, x: Array) -> Array:
    if type(g) is np.ndarray and g.ndim == 2 and g.itemsize > 2 and type(x) is np.ndarray:
        return np.matmul(g.T, x)
    return matmul(transpose(rows_of(g), dim0=0, dim1=1), rows_of(x))


def _linear_bias(g: Array) -> Array:
    # Summed to the bias's shape by whoever takes it; the plain case goes there on the short way.
    if type(g) is np.ndarray and g.ndim == 2 and len(g) <= COLUMN_SPAN and g.itemsize > 2:
        return ones(len(g), g.dtype) @ g
    return g


linear.pull(x=_linear_x, weight=_linear_weight, bias=_linear_bias)


@op
def add_matmul(x: Array, a: Array, b: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """``beta * x + alpha * a @ b``; with beta 0 not even a nan of x counts."""
    y = matmul(a, b)
    if alpha != 1:
        y *= y.dtype.type(alpha)
    if beta == 0:
        return y
    y += x if beta == 1 else x * x.dtype.type(beta)
    return y


add_matmul.pull(
    x=lambda g, *, beta: g if beta == 1 else g * beta,
    a=lambda g, b, a_shape, *, alpha: _matmul_a(g if alpha == 1 else g * alpha, b, a_shape),
    b=lambda g, a, b_shape, *, alpha: _matmul_b(g if alpha == 1 else g * alpha, a, b_shape),
)
