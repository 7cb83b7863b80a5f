"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply, edge, wrap
from allgrad.context import ctx
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.softmax import softmax
from allgrad.nn.functional.arguments import floating, same_type, shaped, type_name
from allgrad.ops import attention as ops
from allgrad.ops.arithmetic import cast
from allgrad.ops.matmul import matmul
from allgrad.ops.shape import expand, transpose
from allgrad.random import default_generator


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """``softmax(scale * query @ key.T + mask) @ value``: (..., l, d), (..., s, d), (..., s, e) -> (..., l, e).

    ``attn_mask`` is True where a key may be seen, or is added to the scores.  ``is_causal``: row i sees keys 0 to i.
    ``scale`` is 1/sqrt(d) by default.  ``enable_gqa``: fewer heads of keys and values, each serving several of the
    query's.  Dropout happens whenever ``dropout_p`` > 0.
    """
    name = "scaled_dot_product_attention"
    q, k, v = floating(query, name, "query"), floating(key, name, "key"), floating(value, name, "value")
    if k._a.dtype != q._a.dtype or v._a.dtype != q._a.dtype:
        raise DtypeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{type_name(q)} key.dtype: {type_name(k)} and value.dtype: {type_name(v)} instead."
        )
    if min(q._a.ndim, k._a.ndim, v._a.ndim) < 2:
        raise ShapeError(
            f"Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {q._a.ndim}, "
            f"key.dim: {k._a.ndim} and value.dim: {v._a.ndim} instead."
        )
    if is_causal and attn_mask is not None:
        raise ArgumentError(f"{name}: Explicit attn_mask should not be set when is_causal=True")
    if not 0.0 <= dropout_p <= 1.0:
        raise ArgumentError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if q._a.shape[-1] != k._a.shape[-1] or k._a.shape[-2] != v._a.shape[-2]:
        raise ShapeError(
            f"{name}: query {list(q._a.shape)} and key {list(k._a.shape)} must agree in their last size, key and value "
            f"{list(v._a.shape)} in the one before it"
        )
    if enable_gqa:
        k, v = (_repeat_heads(x, q) for x in (k, v))
    factor = (1 / math.sqrt(q._a.shape[-1]) if q._a.shape[-1] else 1.0) if scale is None else float(scale)
    mask = _additive(attn_mask, q)
    lead = _lead(q, k, v)
    q, k, v = (_flat_heads(x, lead) for x in (q, k, v))
    rows, keys = q._a.shape[1], k._a.shape[1]
    keep = None
    if dropout_p > 0:
        keep = default_generator().bernoulli(1 - dropout_p, (len(q._a), rows, keys), q._a.dtype)
        keep /= q._a.dtype.type(1 - dropout_p) if dropout_p < 1 else q._a.dtype.type(1)
    if isinstance(mask, Variable) and ctx.grad_enabled and edge(mask) is not None:
        y = _with_learned_mask(q, k, v, mask, keep, factor, lead)
    else:
        hidden = None if mask is None else _flat_mask(mask._a, lead, rows, keys)
        y = _fused(q, k, v, hidden, keep, factor, is_causal)
    return shaped(y, (*lead, rows, v._a.shape[2]))


def _fused(q: Any, k: Any, v: Any, mask: Any, keep: Any, scale: float, causal: bool) -> Any:
    if q._a.dtype.itemsize == 2:  # products in float32, as there are none in half precision
        single = np.dtype(np.float32)
        wide_q, wide_k, wide_v = (apply(cast, (x,), {"dtype": single}) for x in (q, k, v))
        mask, keep = (None if m is None else m.astype(single) for m in (mask, keep))
        y = _fused(wide_q, wide_k, wide_v, mask, keep, scale, causal)
        return apply(cast, (y,), {"dtype": q._a.dtype})
    return apply(ops.attention, (q, k, v, mask, keep), {"scale": scale, "causal": causal})[0]


def _with_learned_mask(q: Any, k: Any, v: Any, mask: Any, keep: Any, scale: float, lead: tuple[int, ...]) -> Any:
    """Written out, for a mask that itself wants a gradient."""
    scores = apply(matmul, (q * scale, apply(transpose, (k,), {"dim0": 1, "dim1": 2})), {})
    whole = shaped(scores, (*lead, *scores._a.shape[1:])) + mask
    p = softmax(shaped(whole, scores._a.shape), -1)
    return apply(matmul, (p if keep is None else p * keep, v), {})


def _repeat_heads(x: Any, q: Any) -> Any:
    """Each head of keys as often as it serves heads of the query: (..., h / r, s, d) -> (..., h, s, d)."""
    if q._a.ndim < 3 or x._a.ndim < 3 or q._a.shape[-3] % x._a.shape[-3]:
        raise ShapeError(
            "Number of heads in key and value must divide the number of heads in query: found "
            f"{list(x._a.shape)} for query {list(q._a.shape)}"
        )
    *lead, heads, s, d = x._a.shape
    times = q._a.shape[-3] // heads
    if times == 1:
        return x
    wide = apply(expand, (shaped(x, (*lead, heads, 1, s, d)),), {"shape": (*lead, heads, times, s, d)})
    return shaped(wide, (*lead, heads * times, s, d))


def _lead(*xs: Any) -> tuple[int, ...]:
    shapes = [x._a.shape[:-2] for x in xs]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"scaled_dot_product_attention: the batch dimensions {', '.join(str(list(s)) for s in shapes)} of query, "
            "key and value do not broadcast; for fewer key heads than query heads give enable_gqa=True"
        ) from None


def _flat_heads(x: Any, lead: tuple[int, ...]) -> Any:
    """(..., n, d) -> (heads, n, d), contiguous heads."""
    if x._a.shape[:-2] != lead:
        x = apply(expand, (x,), {"shape": (*lead, *x._a.shape[-2:])})
    return shaped(x, (math.prod(lead), *x._a.shape[-2:]))


def _additive(mask: Any, q: Any) -> Any:
    """The mask as numbers to add to the scores."""
    if mask is None:
        return None
    if mask._a.dtype.kind == "b":
        return wrap(np.where(mask._a, q._a.dtype.type(0), q._a.dtype.type(-np.inf)))
    if mask._a.dtype.kind in "iu":
        raise DtypeError(
            f"Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{type_name(mask)} and  query.dtype: {type_name(q)} instead."
        )
    same_type("scaled_dot_product_attention", q, mask)
    return mask


def _flat_mask(mask: Any, lead: tuple[int, ...], rows: int, keys: int) -> Any:
    """(..., l, s) -> (heads or 1, rows or 1, keys or 1)."""
    if mask.ndim < 2:
        mask = mask.reshape((1,) * (2 - mask.ndim) + mask.shape)
    try:
        np.broadcast_to(mask, (*lead, rows, keys))
    except ValueError:
        raise ShapeError(
            f"scaled_dot_product_attention: attn_mask of size {list(mask.shape)} does not broadcast to the scores' "
            f"{[*lead, rows, keys]}"
        ) from None
    if all(n == 1 for n in mask.shape[:-2]):
        return mask.reshape(1, *mask.shape[-2:])
    return np.broadcast_to(mask, (*lead, *mask.shape[-2:])).reshape(-1, *mask.shape[-2:])
