"""Largest and smallest elements, and where they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import normal_axes, op
from allgrad.ops.reduce import kept, widen
from allgrad.ops.reduce_fast import largest
from allgrad.ops.sort import one_picked, picked_at

Array = Any


@op
def amax(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """Maximum over ``dim``; ties share the gradient evenly."""
    axes = normal_axes(dim, x.ndim)
    if len(axes) == 1 and x.ndim > 1:
        y = largest(x, axes[0])
        return y if keepdim else y.reshape(x.shape[: axes[0]] + x.shape[axes[0] + 1 :])
    return np.max(x, axis=dim, keepdims=keepdim)


@op
def amin(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """Minimum over ``dim``; ties share the gradient evenly."""
    return np.min(x, axis=dim, keepdims=keepdim)


@op
def even_shares(x: Array, extreme: Array, *, dim: Any = None) -> Array:
    """1/k at each of the k places that equal the extreme (or are nan as it is), 0 elsewhere."""
    wide = np.reshape(extreme, kept(x.shape, dim))
    hit = x == wide
    if np.isnan(wide).any():
        hit |= np.isnan(x) & np.isnan(wide)
    number = hit.sum(axis=dim, keepdims=True)
    return hit / number.astype(x.dtype)


def _share(g: Array, x: Array, out: Array, *, dim: Any) -> Array:
    return widen(g, x.shape, dim) * even_shares(x, out, dim=dim)


amax.pull(x=_share)
amin.pull(x=_share)


@op
def median_all(x: Array, *, skip_nan: bool = False) -> Array:
    """The lower middle one of all elements; equal ones share the gradient."""
    flat = x.reshape(-1)
    bad = flat != flat
    count = flat.size
    if bad.any():
        if not skip_nan:
            return flat[bad.argmax()]
        count -= int(bad.sum())
    rank = max(count - 1, 0) // 2
    return np.partition(flat, rank)[rank]


median_all.pull(x=lambda g, x, out: _share(g, x, out, dim=None))


@op
def argmax(x: Array, *, dim: int | None = None, keepdim: bool = False) -> Array:
    """Place of the maximum, the first one; nan counts as the largest."""
    return np.argmax(x, axis=dim, keepdims=keepdim)


@op
def argmin(x: Array, *, dim: int | None = None, keepdim: bool = False) -> Array:
    """Place of the minimum, the first one; nan counts as the smallest."""
    return np.argmin(x, axis=dim, keepdims=keepdim)


@op(multi=True)
def max_dim(x: Array, *, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Maximum along one axis and its place."""
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    return picked_at(x, np.argmax(x, axis=dim, keepdims=True), dim, keepdim)


@op(multi=True)
def min_dim(x: Array, *, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """Minimum along one axis and its place."""
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    return picked_at(x, np.argmin(x, axis=dim, keepdims=True), dim, keepdim)


max_dim.pull_all(one_picked)
min_dim.pull_all(one_picked)
max_dim.reads = min_dim.reads = (1,)
