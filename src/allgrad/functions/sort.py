"""Sorting along one dimension, and the k best."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply, wrap
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions import return_types
from allgrad.functions.dims import numpy_names, one_dim, tensor_of
from allgrad.functions.promote import into
from allgrad.functions.reduce_extreme import nonempty_dim, pair
from allgrad.ops import sort as ops
from allgrad.ops.reduce_extreme import median_all
from allgrad.ops.scatter import gather
from allgrad.ops.shape import permute, reshape, transpose


def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None) -> Any:
    """(values, indices) in ascending order along ``dim``; always stable; nan last.

    >>> import allgrad as torch
    >>> torch.sort(torch.tensor([3, 1, 2])).indices
    tensor([1, 2, 0])
    """
    input = tensor_of(input, "sort")
    meta = {"dim": one_dim(dim, input._a.ndim, "sort"), "descending": bool(descending)}
    return pair(return_types.sort, apply(ops.sort, (input,), meta), out)


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Indices that sort ``input`` along ``dim``."""
    input = tensor_of(input, "argsort")
    meta = {"dim": one_dim(dim, input._a.ndim, "argsort"), "descending": bool(descending)}
    return apply(ops.argsort, (input,), meta)


def msort(input: Any, *, out: Any = None) -> Any:
    """The values sorted along the first dimension."""
    return into(sort(input, 0).values, out)


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> Any:
    """(values, indices) of the k largest, or smallest, along ``dim``, best first."""
    input = tensor_of(input, "topk")
    d = one_dim(dim, input._a.ndim, "topk")
    n = input._a.shape[d] if input._a.ndim else 1
    if not 0 <= k <= n:
        raise ArgumentError(f"selected index k out of range: k is {k}, and dimension {d} has {n} elements")
    meta = {"k": int(k), "dim": d, "largest": bool(largest)}
    return pair(return_types.topk, apply(ops.topk, (input,), meta), out)


@numpy_names
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """(values, indices) of the k-th smallest along ``dim``, counted from 1."""
    input = tensor_of(input, "kthvalue")
    d = one_dim(dim, input._a.ndim, "kthvalue")
    n = input._a.shape[d] if input._a.ndim else 1
    if not 1 <= k <= n:
        raise ArgumentError(f"kthvalue(): selected number k out of range for dimension {d}: k is {k}, length {n}")
    meta = {"k": int(k), "dim": d, "keepdim": keepdim}
    return pair(return_types.kthvalue, apply(ops.kthvalue, (input,), meta), out)


def _middle(op: Any, kind: Any, input: Any, dim: Any, keepdim: bool, out: Any) -> Any:
    input = tensor_of(input, op.name)
    if dim is None:
        if not input._a.size:
            return into(wrap(np.array(np.nan, input._a.dtype)), out)
        return into(apply(median_all, (input,), {"skip_nan": op is ops.nanmedian}), out)
    meta = {"dim": nonempty_dim(input, dim, op.name), "keepdim": keepdim}
    return pair(kind, apply(op, (input,), meta), out)


@numpy_names
def median(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower middle value of all, or (values, indices) along ``dim``; nan if there is a nan."""
    return _middle(ops.median, return_types.median, input, dim, keepdim, out)


@numpy_names
def nanmedian(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower middle value of all that are not nan, or (values, indices) along ``dim``."""
    return _middle(ops.nanmedian, return_types.nanmedian, input, dim, keepdim, out)


@numpy_names
def mode(input: Any, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """(values, indices) of the most frequent value along ``dim``; of equally frequent ones the smallest."""
    input = tensor_of(input, "mode")
    meta = {"dim": nonempty_dim(input, dim, "mode"), "keepdim": keepdim}
    return pair(return_types.mode, apply(ops.mode, (input,), meta), out)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile(input: Any, q: Any, dim: Any, keepdim: bool, interpolation: str, out: Any, name: str) -> Any:
    input = tensor_of(input, name)
    if input._a.dtype not in (np.float32, np.float64):
        raise DtypeError(f"{name}() input tensor must be either float or double dtype")
    if interpolation not in _INTERPOLATIONS:
        raise ArgumentError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    if isinstance(q, Variable):
        if q._a.dtype != input._a.dtype:
            raise DtypeError(f"{name}() q tensor must be same dtype as the input tensor")
        level = q
    else:
        level = wrap(np.array(q, input._a.dtype))
    if level._a.ndim > 1:
        raise ShapeError(f"{name}() q must be a scalar or 1D tensor, found {level._a.ndim} dimensions")
    if level._a.size and not ((level._a >= 0) & (level._a <= 1)).all():
        raise ArgumentError(f"{name}() q values must be in the range [0, 1], found {level._a.tolist()}")
    ndim = input._a.ndim
    if dim is None:
        x, d = apply(reshape, (input,), {"shape": (-1,)}), 0
    else:
        d = one_dim(dim, ndim, name)
        x = input if ndim else apply(reshape, (input,), {"shape": (1,)})
    if not x._a.size:
        raise ShapeError(f"{name}() input tensor must be non-empty")
    last = x._a.ndim - 1
    ordered = apply(ops.sort, (apply(transpose, (x,), {"dim0": d, "dim1": last}),), {"dim": last})[0]
    values = _between(ordered, level, interpolation, name == "nanquantile")
    # Now q runs along the last axis, in the place of ``dim``: bring that axis back, and q to the front.
    shape = tuple(1 if i == d else n for i, n in enumerate(x._a.shape)) if keepdim else ()
    rest = tuple(n for i, n in enumerate(x._a.shape) if i != d)
    rows = list(range(last + 1))
    rows[d], rows[last] = rows[last], rows[d]
    values = apply(permute, (values,), {"dims": (last, *(i for i in rows if i != last))})
    if dim is None and keepdim:
        shape = (1,) * ndim
    return into(apply(reshape, (values,), {"shape": level._a.shape + (shape if keepdim else rest)}), out)


def _between(ordered: Any, level: Any, interpolation: str, skip_nan: bool) -> Any:
    """Interpolated between neighbours in order: (..., n), (q) -> (..., q)."""
    a = ordered._a
    bad = (a != a).sum(axis=-1, keepdims=True)
    top = a.shape[-1] - 1 - (bad if skip_nan else 0)
    rank = np.maximum(np.atleast_1d(level._a) * np.asarray(top).astype(a.dtype), 0)
    if interpolation == "lower":
        rank = np.floor(rank)
    elif interpolation == "higher":
        rank = np.ceil(rank)
    elif interpolation == "nearest":
        rank = np.round(rank)
    rank = np.broadcast_to(rank, a.shape[:-1] + rank.shape[-1:])
    if not skip_nan:
        rank = np.where(bad > 0, a.dtype.type(a.shape[-1] - 1), rank)  # the last one in order is a nan
    low = np.floor(rank).astype(np.int64)
    dim = a.ndim - 1
    below = apply(gather, (ordered, low), {"dim": dim})
    if interpolation in ("lower", "higher", "nearest"):
        return below
    above = apply(gather, (ordered, np.ceil(rank).astype(np.int64)), {"dim": dim})
    weight = np.full_like(rank, 0.5) if interpolation == "midpoint" else rank - low.astype(rank.dtype)
    return below + (above - below) * wrap(weight)


@numpy_names
def quantile(
    input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear", out: Any = None
) -> Any:
    """The values below which the shares ``q`` (0 to 1) of the elements lie; q's dimension comes first."""
    return _quantile(input, q, dim, keepdim, interpolation, out, "quantile")


@numpy_names
def nanquantile(
    input: Any, q: Any, dim: Any = None, keepdim: bool = False, *, interpolation: str = "linear", out: Any = None
) -> Any:
    """As ``quantile``, of the elements that are not nan."""
    return _quantile(input, q, dim, keepdim, interpolation, out, "nanquantile")
