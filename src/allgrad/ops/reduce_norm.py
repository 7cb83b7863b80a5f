"""Vector norms of any order over any axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.math import abs_, sign
from allgrad.ops.op import normal_axes, op
from allgrad.ops.reduce import inverse_or_zero, widen
from allgrad.ops.reduce_extreme import even_shares
from allgrad.ops.reduce_fast import is_half, total

Array = Any


@op
def abs_pow(x: Array, *, exponent: float) -> Array:
    """``|x| ** exponent``, and 0 where x is 0, whatever the exponent."""
    if exponent == 1:
        return np.abs(x)
    y = np.zeros_like(x)
    np.power(np.abs(x), x.dtype.type(exponent), out=y, where=x != 0)
    return y


abs_pow.pull(x=lambda g, x, *, exponent: g * abs_pow(x, exponent=exponent - 1) * sign(x) * exponent)


@op
def vector_norm(x: Array, *, ord: float = 2.0, dim: Any = None, keepdim: bool = False) -> Array:
    """``sum(|x| ** ord) ** (1 / ord)``; ord may be inf, -inf (largest, smallest size) and 0 (how many are not 0)."""
    axes = normal_axes(dim, x.ndim)
    y = x.astype(np.float32) if is_half(x.dtype) else x
    if ord == math.inf:
        n = np.max(np.abs(y), axis=axes, keepdims=keepdim) if y.size else np.sum(y, axis=axes, keepdims=keepdim)
    elif ord == -math.inf:
        n = np.min(np.abs(y), axis=axes, keepdims=keepdim)
    elif ord == 0:
        n = np.asarray(total((y != 0).astype(y.dtype), axes, keepdim))
    elif ord == 1:
        n = total(np.abs(y), axes, keepdim)
    elif ord == 2:
        n = np.sqrt(total(np.multiply(y, y), axes, keepdim))
    else:
        kind = y.dtype.type
        n = np.power(total(np.power(np.abs(y), kind(ord)), axes, keepdim), kind(1 / ord))
    return n.astype(x.dtype, copy=False)


def _vector_norm_x(g: Array, x: Array, out: Array, *, ord: float, dim: Any) -> Array:
    shape = x.shape
    if ord == 0:
        return x * 0
    if ord == 1:
        return widen(g, shape, dim) * sign(x)
    if ord == 2:
        return x * widen(g * inverse_or_zero(out), shape, dim)
    if math.isinf(ord):
        return widen(g, shape, dim) * sign(x) * even_shares(abs_(x), out, dim=dim)
    scale = widen(g * abs_pow(out, exponent=1 - ord), shape, dim)
    return sign(x) * abs_pow(x, exponent=ord - 1) * scale


vector_norm.pull(x=_vector_norm_x)
