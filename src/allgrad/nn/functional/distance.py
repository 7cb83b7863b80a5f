"""Distances and similarities between vectors, and scaling to unit norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, IndexRangeError, ShapeError
from allgrad.functions.promote import into, promoted
from allgrad.nn.functional.arguments import floating, shaped, tensor
from allgrad.ops.compare_choice import clamp
from allgrad.ops.index_dim import index_select
from allgrad.ops.reduce_norm import vector_norm


def _norm(x: Any, p: float, dim: Any, keepdim: bool) -> Any:
    return apply(vector_norm, (x,), {"ord": float(p), "dim": dim, "keepdim": keepdim})


def _axis(dim: int, ndim: int) -> tuple[int, ...] | None:
    if not -max(1, ndim) <= dim < max(1, ndim):
        raise IndexRangeError(
            f"Dimension out of range (expected to be in range of [{-max(1, ndim)}, {max(1, ndim) - 1}], but got {dim})"
        )
    return (dim % ndim,) if ndim else None


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """``input / max(|input|_p, eps)`` along ``dim``: same shape."""
    x = floating(input, "normalize")
    axes = tuple(_axis(d, x._a.ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    flat = None if None in axes else tuple(a[0] for a in axes if a is not None)
    return into(x / apply(clamp, (_norm(x, p, flat, True),), {"min": eps}), out)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """``x1 . x2 / (max(|x1|, eps) max(|x2|, eps))`` along ``dim``, broadcast."""
    a, b = promoted(tensor(x1, "cosine_similarity", "x1"), tensor(x2, "cosine_similarity", "x2"))
    a = floating(a, "cosine_similarity")
    ndim = max(a._a.ndim, b._a.ndim)
    _axis(dim, ndim)
    axis = dim % ndim - ndim if ndim else 0  # counted from the end, where both shapes meet
    return (_unit(a, axis, ndim, eps) * _unit(b, axis, ndim, eps)).sum(axis)


def _unit(x: Any, axis: int, ndim: int, eps: float) -> Any:
    if x._a.ndim < ndim:
        x = shaped(x, (1,) * (ndim - x._a.ndim) + x._a.shape)
    norm = _norm(x, 2.0, (axis % ndim,) if ndim else None, True)
    # The limit is applied outside the graph: the gradient of the norm passes also where it is cut, as in PyTorch.
    return x / (norm + np.maximum(norm._a.dtype.type(eps) - norm._a, 0))


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """``|x1 - x2 + eps|_p`` over the last axis: (n, d) or (d,), broadcast -> (n,) or ()."""
    a, b = promoted(tensor(x1, "pairwise_distance", "x1"), tensor(x2, "pairwise_distance", "x2"))
    d = floating(a, "pairwise_distance") - b + eps
    return _norm(d, p, (d._a.ndim - 1,) if d._a.ndim else None, keepdim)


def pdist(input: Any, p: float = 2.0) -> Any:
    """Distances of all pairs of rows, i < j in order: (n, d) -> (n (n - 1) / 2,)."""
    x = floating(input, "pdist")
    if x._a.ndim != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {x._a.ndim}D")
    if p < 0:
        raise ArgumentError("pdist only supports non-negative p values")
    i, j = np.triu_indices(len(x._a), 1)
    a, b = (apply(index_select, (x, k), {"dim": 0}) for k in (i, j))
    return _norm(a - b, p, (1,), False)


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Any:
    """Distances of all rows of one from all rows of the other: (..., n, d), (..., m, d) -> (..., n, m).

    ``compute_mode`` is PyTorch's choice between two ways to round; this one subtracts, which is the exact one.
    """
    a, b = tensor(x1, "cdist", "x1"), tensor(x2, "cdist", "x2")
    a, b = floating(a, "cdist"), floating(b, "cdist", "x2")
    if a._a.ndim < 2 or b._a.ndim < 2:
        raise ShapeError(f"cdist only supports at least 2D tensors, X1 got: {a._a.ndim}D, X2 got: {b._a.ndim}D")
    if a._a.shape[-1] != b._a.shape[-1]:
        raise ShapeError(f"X1 and X2 must have the same number of columns. X1: {a._a.shape[-1]} X2: {b._a.shape[-1]}")
    if p < 0 or math.isnan(p):
        raise ArgumentError("cdist only supports non-negative p values")
    a, b = promoted(a, b)
    d = a.unsqueeze(-2) - b.unsqueeze(-3)
    return _norm(d, p, (d._a.ndim - 1,), False)
