"""Elements in another order or repeated: flips, diagonals, triangles, windows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from allgrad.ops.op import op
from allgrad.ops.shape import reshape, sum_to, window

Array = Any
Shape = tuple[int, ...]


@op
def flip(x: Array, *, dims: Shape) -> Array:
    """The order of ``dims`` reversed, copied as in PyTorch."""
    return np.flip(x, dims).copy()


flip.pull(x=lambda g, *, dims: flip(g, dims=dims))


@op
def roll(x: Array, *, shifts: Shape, dims: Shape) -> Array:
    """Elements moved by ``shifts``, those beyond the end in again at the front."""
    return np.roll(x, shifts, dims)


roll.pull(x=lambda g, *, shifts, dims: roll(g, shifts=tuple(-s for s in shifts), dims=dims))


@op
def tile(x: Array, *, times: Shape) -> Array:
    """``x`` repeated ``times`` along each of its dimensions: (n, ...) -> (times[0] * n, ...)."""
    return np.tile(x, times)


def _tile(g: Array, x_shape: Shape, *, times: Shape) -> Array:
    apart = tuple(n for pair in zip(times, x_shape) for n in pair)
    once = tuple(n for m in x_shape for n in (1, m))
    return reshape(sum_to(reshape(g, shape=apart), shape=once), shape=x_shape)


tile.pull(x=_tile)


@op
def repeat_each(x: Array, *, times: int, dim: int) -> Array:
    """Each slice of ``dim`` ``times`` times, next to each other."""
    return np.repeat(x, times, dim)


def _repeat_each(g: Array, x_shape: Shape, *, times: int, dim: int) -> Array:
    apart = (*x_shape[: dim + 1], times, *x_shape[dim + 1 :])
    once = (*x_shape[: dim + 1], 1, *x_shape[dim + 1 :])
    return reshape(sum_to(reshape(g, shape=apart), shape=once), shape=x_shape)


repeat_each.pull(x=_repeat_each)


@lru_cache(maxsize=4)
def lower(rows: int, cols: int, diagonal: int) -> Array:
    """True on and below a diagonal; attention asks for the same one at every step."""
    mask = np.tri(rows, cols, diagonal, dtype=bool)
    mask.flags.writeable = False
    return mask


@op
def tril(x: Array, *, diagonal: int = 0) -> Array:
    """Matrices with zeros above a diagonal."""
    return np.where(lower(x.shape[-2], x.shape[-1], diagonal), x, x.dtype.type(0))


def _write_tril(x: Array, *, diagonal: int = 0) -> None:
    np.copyto(x, 0, where=~lower(x.shape[-2], x.shape[-1], diagonal))


tril.write = _write_tril
tril.pull(x=lambda g, *, diagonal: tril(g, diagonal=diagonal))


@op
def triu(x: Array, *, diagonal: int = 0) -> Array:
    """Matrices with zeros below a diagonal."""
    return np.where(lower(x.shape[-2], x.shape[-1], diagonal - 1), x.dtype.type(0), x)


def _write_triu(x: Array, *, diagonal: int = 0) -> None:
    np.copyto(x, 0, where=lower(x.shape[-2], x.shape[-1], diagonal - 1))


triu.write = _write_triu
triu.pull(x=lambda g, *, diagonal: triu(g, diagonal=diagonal))


@op(view=True)
def diagonal(x: Array, *, offset: int, dim1: int, dim2: int) -> Array:
    """The diagonals of the matrices in ``dim1`` and ``dim2``, as the last dimension."""
    first, second = x.shape[dim1], x.shape[dim2]
    length = max(0, min(first, second - offset) if offset >= 0 else min(first + offset, second))
    steps = x.strides
    skip = max(0, -offset) * steps[dim1] + max(0, offset) * steps[dim2] if length else 0
    rest = [d for d in range(x.ndim) if d not in (dim1, dim2)]
    shape = (*[x.shape[d] for d in rest], length)
    return window(x, shape, (*[steps[d] for d in rest], steps[dim1] + steps[dim2]), skip)


diagonal.pull(
    x=lambda g, x_shape, *, offset, dim1, dim2: diagonal_place(g, shape=x_shape, offset=offset, dim1=dim1, dim2=dim2)
)


@op
def diagonal_place(x: Array, *, shape: Shape, offset: int, dim1: int, dim2: int) -> Array:
    """Zeros of ``shape`` with the last dimension of ``x`` on the diagonals: the adjoint of ``diagonal``."""
    y = np.zeros(shape, x.dtype)
    diagonal(y, offset=offset, dim1=dim1, dim2=dim2)[...] = x
    return y


diagonal_place.pull(x=lambda g, *, offset, dim1, dim2: diagonal(g, offset=offset, dim1=dim1, dim2=dim2))


@op
def diagonal_put(x: Array, value: Array, *, offset: int, dim1: int, dim2: int) -> Array:
    """``x`` with ``value`` on the diagonals."""
    y = np.array(x, order="C")
    _write_diagonal(y, value, offset=offset, dim1=dim1, dim2=dim2)
    return y


def _write_diagonal(y: Array, value: Array, *, offset: int, dim1: int, dim2: int) -> None:
    diagonal(y, offset=offset, dim1=dim1, dim2=dim2)[...] = value


diagonal_put.write = _write_diagonal
diagonal_put.pull(
    x=lambda g, *, offset, dim1, dim2: diagonal_put(g, 0, offset=offset, dim1=dim1, dim2=dim2),
    value=lambda g, *, offset, dim1, dim2: diagonal(g, offset=offset, dim1=dim1, dim2=dim2),
)


@op(view=True)
def windows(x: Array, *, dim: int, size: int, step: int) -> Array:
    """Windows of ``size`` along ``dim``, ``step`` apart, as a new last dimension; they share memory."""
    count = (x.shape[dim] - size) // step + 1
    strides = list(x.strides)
    strides[dim] *= step
    return window(x, (*x.shape[:dim], count, *x.shape[dim + 1 :], size), (*strides, x.strides[dim]))


windows.pull(x=lambda g, x_shape, *, dim, size, step: windows_sum(g, shape=x_shape, dim=dim, size=size, step=step))


@op
def windows_sum(x: Array, *, shape: Shape, dim: int, size: int, step: int) -> Array:
    """Windows added where they came from: the adjoint of ``windows``."""
    y = np.zeros(shape, x.dtype)
    if step >= size:
        windows(y, dim=dim, size=size, step=step)[...] = x  # they do not overlap
        return y
    lead = (slice(None),) * dim
    reach = (x.shape[dim] - 1) * step + 1
    for k in range(size):
        y[(*lead, slice(k, k + reach, step))] += x[..., k]
    return y


windows_sum.pull(x=lambda g, *, dim, size, step: windows(g, dim=dim, size=size, step=step))
