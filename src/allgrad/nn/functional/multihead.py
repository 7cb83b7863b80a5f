"""``multi_head_attention_forward``: the whole of multi-head attention, projections and masks included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.record import apply, wrap
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.softmax import softmax
from allgrad.nn.functional.arguments import is_floating, shaped, type_name
from allgrad.nn.functional.attention import scaled_dot_product_attention
from allgrad.nn.functional.dropout import dropout
from allgrad.nn.functional.linear import linear
from allgrad.nn.functional.padding import pad
from allgrad.ops.matmul import matmul
from allgrad.ops.shape import cat, expand, permute, slice_, transpose


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    """(l, n, e), (s, n, e), (s, n, e) -> (l, n, e), and the weights (n, l, s), per head (n, heads, l, s), or None.

    The batch axis n may be missing.  In boolean masks True means that a key is *not* seen, unlike in
    ``scaled_dot_product_attention``; floating ones are added.
    """
    single = query._a.ndim == 2
    _check_ndims(query, key, value, key_padding_mask, attn_mask, num_heads)
    if single:
        query, key, value = (shaped(x, (x._a.shape[0], 1, *x._a.shape[1:])) for x in (query, key, value))
        if key_padding_mask is not None:
            key_padding_mask = shaped(key_padding_mask, (1, *key_padding_mask._a.shape))
    length, batch, width = query._a.shape
    sources = key._a.shape[0]
    padding = _additive(key_padding_mask, "key_padding_mask", query)
    if is_causal and attn_mask is None:
        raise ArgumentError("Need attn_mask if specifying the is_causal hint.")
    fast_causal = is_causal and padding is None and not need_weights
    mask = None if fast_causal else _additive(attn_mask, "attn_mask", query)
    if width != int(embed_dim_to_check):
        raise ShapeError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}")
    size = width // num_heads
    if size * num_heads != width:
        raise ShapeError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        if key._a.shape[:2] != value._a.shape[:2]:
            raise ShapeError(
                f"key's sequence and batch dims {key._a.shape[:2]} do not match value's {value._a.shape[:2]}"
            )
        biases = (None,) * 3 if in_proj_bias is None else _thirds(in_proj_bias, width)
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = (linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
    else:
        if key._a.shape != value._a.shape:
            raise ShapeError(f"key shape {key._a.shape} does not match value shape {value._a.shape}")
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias, width)
    mask = _checked_mask(mask, length, sources, batch * num_heads)
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise ArgumentError("bias cannot be added to static key and value")
        k, v = (
            apply(cat, (x, apply(expand, (b,), {"shape": (1, batch, width)})), {"dim": 0})
            for x, b in ((k, bias_k), (v, bias_v))
        )
        mask, padding = (None if m is None else pad(m, (0, 1)) for m in (mask, padding))
    q = _heads(q, num_heads, size)
    k = _heads(k, num_heads, size) if static_k is None else static_k
    v = _heads(v, num_heads, size) if static_v is None else static_v
    if add_zero_attn:
        zero = wrap(np.zeros((batch * num_heads, 1, size), q._a.dtype))
        k, v = (apply(cat, (x, zero), {"dim": 1}) for x in (k, v))
        mask, padding = (None if m is None else pad(m, (0, 1)) for m in (mask, padding))
    sources = k._a.shape[1]
    if padding is not None:
        if padding._a.shape != (batch, sources):
            raise ShapeError(f"expecting key_padding_mask shape of {(batch, sources)}, but got {padding._a.shape}")
        wide = apply(expand, (shaped(padding, (batch, 1, 1, sources)),), {"shape": (batch, num_heads, 1, sources)})
        padding = shaped(wide, (batch * num_heads, 1, sources))
        mask = padding if mask is None else mask + padding
    drop = dropout_p if training else 0.0
    weights_out = None
    if need_weights:
        scores = apply(matmul, (q * math.sqrt(1.0 / size), apply(transpose, (k,), {"dim0": 1, "dim1": 2})), {})
        p = softmax(scores if mask is None else scores + mask, -1)
        p = dropout(p, drop) if drop else p
        heads = apply(matmul, (p, v), {})
        weights_out = shaped(p, (batch, num_heads, length, sources))
        if average_attn_weights:
            weights_out = weights_out.mean(1)
        if single:
            weights_out = shaped(weights_out, weights_out._a.shape[1:])
    else:
        heads = scaled_dot_product_attention(q, k, v, mask, drop, is_causal and fast_causal)
    joined = apply(permute, (shaped(heads, (batch, num_heads, length, size)),), {"dims": (2, 0, 1, 3)})
    y = linear(shaped(joined, (length, batch, width)), out_proj_weight, out_proj_bias)
    return shaped(y, (length, width)) if single else y, weights_out


def _check_ndims(query: Any, key: Any, value: Any, padding: Any, mask: Any, heads: int) -> None:
    ndim = query._a.ndim
    if ndim not in (2, 3):
        raise ShapeError(f"query should be unbatched 2D or batched 3D tensor but received {ndim}-D query tensor")
    kind = "batched" if ndim == 3 else "unbatched"
    if key._a.ndim != ndim or value._a.ndim != ndim:
        raise ShapeError(
            f"For {kind} ({ndim}-D) `query`, expected `key` and `value` to be {ndim}-D but found {key._a.ndim}-D and "
            f"{value._a.ndim}-D tensors respectively"
        )
    if padding is not None and padding._a.ndim != ndim - 1:
        raise ShapeError(
            f"For {kind} ({ndim}-D) `query`, expected `key_padding_mask` to be `None` or {ndim - 1}-D but found "
            f"{padding._a.ndim}-D tensor instead"
        )
    if mask is not None and mask._a.ndim not in (2, 3):
        raise ShapeError(
            f"For {kind} ({ndim}-D) `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {mask._a.ndim}-D "
            "tensor instead"
        )


def _additive(mask: Any, name: str, like: Any) -> Any:
    """-inf where a boolean mask hides, a floating mask unchanged."""
    if mask is None:
        return None
    if mask._a.dtype.kind == "b":
        return wrap(np.where(mask._a, like._a.dtype.type(-np.inf), like._a.dtype.type(0)))
    if not is_floating(mask):
        raise DtypeError(f"only bool and floating types of {name} are supported, found {type_name(mask)}")
    return mask


def _checked_mask(mask: Any, length: int, sources: int, heads: int) -> Any:
    if mask is None:
        return None
    wanted = (length, sources) if mask._a.ndim == 2 else (heads, length, sources)
    if mask._a.shape != wanted:
        raise ShapeError(
            f"The shape of the {mask._a.ndim}D attn_mask is {tuple(mask._a.shape)}, but should be {wanted}."
        )
    return shaped(mask, (1, length, sources)) if mask._a.ndim == 2 else mask


def _part(x: Any, start: int, stop: int) -> Any:
    return apply(slice_, (x,), {"index": (slice(start, stop),)})


def _thirds(x: Any, width: int) -> tuple[Any, Any, Any]:
    return tuple(_part(x, i * width, (i + 1) * width) for i in range(3))


def _projected(query: Any, key: Any, value: Any, weight: Any, bias: Any, width: int) -> Any:
    """Queries, keys and values; self-attention in one product."""
    if query is key and key is value:
        y = linear(query, weight, bias)
        return tuple(apply(slice_, (y,), {"index": (..., slice(i * width, (i + 1) * width))}) for i in range(3))
    biases = (None,) * 3 if bias is None else _thirds(bias, width)
    return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), _thirds(weight, width), biases))


def _heads(x: Any, heads: int, size: int) -> Any:
    """(length, n, heads * size) -> (n * heads, length, size)."""
    length, batch = x._a.shape[:2]
    rows = shaped(x, (length, batch * heads, size))
    return apply(transpose, (rows,), {"dim0": 0, "dim1": 1})
