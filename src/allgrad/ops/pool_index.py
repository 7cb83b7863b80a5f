"""Pooling by index: the elements that flat indices name, their adjoint, and adaptive windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.op import op
from allgrad.ops.pool_avg import bins

Array = Any
Ints = tuple[int, ...]


@op
def pool_pick(x: Array, index: Array, *, spatial: int) -> Array:
    """Elements of the last ``spatial`` axes by their flat index: (..., *in), (..., *out) -> (..., *out)."""
    lead = x.shape[: x.ndim - spatial]
    flat = index.reshape(*lead, math.prod(index.shape[len(lead) :]))
    rows = x.reshape(*lead, math.prod(x.shape[len(lead) :]))
    return np.take_along_axis(rows, flat, axis=-1).reshape(index.shape)


@op
def pool_put(y: Array, index: Array, *, size: Ints) -> Array:
    """The adjoint of ``pool_pick``: each element added where its index says: (..., *out) -> (..., *size)."""
    lead = y.shape[: y.ndim - len(size)]
    n = math.prod(size)
    rows = math.prod(lead)
    flat = index.reshape(rows, math.prod(y.shape[len(lead) :])) + np.arange(rows)[:, None] * n
    total = np.bincount(flat.reshape(-1), y.reshape(-1), rows * n) if y.size else np.zeros(rows * n)
    return total.astype(y.dtype).reshape(*lead, *size)


pool_pick.pull(x=lambda g, x_shape, index, *, spatial: pool_put(g, index, size=tuple(x_shape[-spatial:])))
pool_put.pull(y=lambda g, index, *, size: pool_pick(g, index, spatial=len(size)))


@op
def max_unpool(y: Array, index: Array, *, size: Ints) -> Array:
    """Zeros with each element at its index, the last one where indices repeat: (..., *in) -> (..., *size)."""
    lead = y.shape[: y.ndim - len(size)]
    x = np.zeros((*lead, math.prod(size)), y.dtype)
    flat = (*lead, math.prod(y.shape[len(lead) :]))
    np.put_along_axis(x, index.reshape(flat), y.reshape(flat), axis=-1)
    return x.reshape(*lead, *size)


max_unpool.pull(y=lambda g, index, *, size: pool_pick(g, index, spatial=len(size)))


@op
def adaptive_max_indices(x: Array, *, out_size: Ints) -> Array:
    """The flat index of the largest element of each adaptive window: (..., *in) -> (..., *out_size) int64."""
    d = len(out_size)
    size = x.shape[-d:]
    lead = x.shape[:-d]
    places = []
    for n, out in zip(size, out_size):
        first, last = bins(n, out)
        widest = int((last - first).max()) if out else 1
        # Shorter windows repeat their last element, which never wins against its first occurrence.
        places.append(np.minimum(first[:, None] + np.arange(widest), (last - 1)[:, None]))
    flat = np.zeros((1,) * (2 * d), np.int64)
    for axis, (n, place) in enumerate(zip(size, places)):
        shape = [1] * (2 * d)
        shape[axis], shape[d + axis] = place.shape
        flat = flat * n + place.reshape(shape)
    flat = flat.reshape(math.prod(out_size), -1)
    seen = x.reshape(*lead, math.prod(size))[..., flat]
    best = np.argmax(seen, axis=-1)
    if x.dtype.kind not in "iub":
        nan = np.isnan(seen)
        if nan.any():  # the last NaN wins, as in PyTorch
            last_nan = seen.shape[-1] - 1 - np.argmax(nan[..., ::-1], axis=-1)
            best = np.where(nan.any(-1), last_nan, best)
    return flat[np.arange(len(flat)), best].reshape(*lead, *out_size)
