"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op
from allgrad.ops.shape import sum_to, transpose

Array = Any


@op
def matmul(a: Array, b: Array) -> Array:
    """Batched product of matrices, both at least 2-D: (..., n, k), (..., k, m) -> (..., n, m)."""
    return np.matmul(a, b)


def _matmul_a(g: Array, b: Array, a_shape: Any) -> Array:
    return sum_to(matmul(g, transpose(b, dim0=-1, dim1=-2)), shape=a_shape)


def _matmul_b(g: Array, a: Array, b_shape: Any) -> Array:
    if len(b_shape) == 2 and len(a.shape) > 2:
        # One tall product instead of a batch of products and a sum.
        rows = a.reshape(-1, a.shape[-1])
        return matmul(transpose(rows, dim0=0, dim1=1), g.reshape(-1, g.shape[-1]))
    return sum_to(matmul(transpose(a, dim0=-1, dim1=-2), g), shape=b_shape)


matmul.pull(a=_matmul_a, b=_matmul_b)


@op
def linear(x: Array, weight: Array, bias: Array = None) -> Array:
    """``x @ weight.T + bias``: (..., in), (out, in), (out,) -> (..., out)."""
    y = np.matmul(x, weight.T)
    if bias is not None:
        y += bias
    return y


def _linear_x(g: Array, weight: Array) -> Array:
    return matmul(g, weight) if len(g.shape) > 1 else matmul(g.reshape(1, -1), weight).reshape(-1)


def _linear_weight(g: Array, x: Array) -> Array:
    return matmul(transpose(g.reshape(-1, g.shape[-1]), dim0=0, dim1=1), x.reshape(-1, x.shape[-1]))


linear.pull(x=_linear_x, weight=_linear_weight, bias=lambda g: g)
