"""Affine and bilinear maps of the last axis."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.errors import ShapeError
from allgrad.functions.promote import NO_META
from allgrad.nn.functional.arguments import same_type, shaped, tensor
from allgrad.ops import matmul as ops
from allgrad.ops.shape import permute


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """``input @ weight.T + bias``: (..., in), (out, in), (out,) -> (..., out); weight (in,) gives (...)."""
    x = input if isinstance(input, Variable) else tensor(input, "linear")
    if not isinstance(weight, Variable):
        weight = tensor(weight, "linear", "weight")
    a, w = x._a, weight._a
    if a.dtype is not w.dtype or (bias is not None and bias._a.dtype is not a.dtype):
        same_type("linear", x, weight, bias)
    if a.ndim == 2 == w.ndim and bias is not None and a.shape[1] == w.shape[1] and bias._a.shape == w.shape[:1]:
        return apply(ops.linear, (x, weight, bias), NO_META)
    if w.ndim == 1:
        y = linear(x, shaped(weight, (1, *w.shape)))
        return shaped(y, y._a.shape[:-1]) if bias is None else shaped(y, y._a.shape[:-1]) + bias
    if a.ndim == 0 or w.ndim != 2:
        raise ShapeError(
            f"linear: expected input (..., in) and weight (out, in), found {list(a.shape)}, {list(w.shape)}"
        )
    if a.shape[-1] != w.shape[1]:
        rows = a.size // max(1, a.shape[-1])
        raise ShapeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a.shape[-1]} and {w.shape[1]}x{w.shape[0]}): "
            f"weight {list(w.shape)} takes rows of {w.shape[1]}, the input has {list(a.shape)}"
        )
    if bias is None:
        return apply(ops.linear, (x, weight), {})
    if bias._a.ndim > 1 or (bias._a.ndim == 1 and bias._a.shape[0] not in (1, w.shape[0])):
        raise ShapeError(f"linear: expected a bias of {w.shape[0]} elements, found size {list(bias._a.shape)}")
    return apply(ops.linear, (x, weight, bias), {})


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """``input1 @ weight[k] @ input2 + bias[k]`` for each k: (..., i), (..., j), (k, i, j), (k,) -> (..., k)."""
    x, y = tensor(input1, "bilinear", "input1"), tensor(input2, "bilinear", "input2")
    weight = tensor(weight, "bilinear", "weight")
    same_type("bilinear", x, y, weight, bias)
    a, b, w = x._a.shape, y._a.shape, weight._a.shape
    if len(a) != len(b) or a[:-1] != b[:-1]:
        raise ShapeError(f"bilinear(): input batch dimensions do not match: got {list(a)} and {list(b)}")
    if len(w) != 3 or a[-1] != w[1] or b[-1] != w[2]:
        raise ShapeError(
            f"bilinear(): input sizes {a[-1]} and {b[-1]} do not match weight {list(w)} (out, input1, input2)"
        )
    if bias is not None and bias._a.shape != (w[0],):
        raise ShapeError(
            f"bilinear(): bias size does not match weight size: got {list(bias._a.shape)} but expected {w[0]}"
        )
    # Rows times the weight laid out (i, k * j), then each row's k x j block times the other row.
    flat = shaped(apply(permute, (weight,), {"dims": (1, 0, 2)}), (w[1], w[0] * w[2]))
    half = apply(ops.matmul, (shaped(x, (-1, a[-1])), flat), {})
    rows = half._a.shape[0]
    out = apply(ops.matmul, (shaped(half, (rows, w[0], w[2])), shaped(y, (rows, b[-1], 1))), {})
    out = shaped(out, (*a[:-1], w[0]))
    return out if bias is None else out + bias
