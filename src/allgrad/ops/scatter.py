"""Gather and scatter along one dimension.

``index`` has as many dimensions as ``x`` and may be shorter in those other than ``dim``: the rest of ``x`` stays
out.  Values scattered have the shape of ``index`` (``functions`` cuts longer ones).  Indices are not negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.arithmetic import cast
from allgrad.ops.op import op
from allgrad.ops.scatter_add import add_flat, add_rows

Array = Any


def places(index: Array, shape: tuple[int, ...], dim: int) -> Array:
    """Positions in the row-major array of ``shape`` that ``index`` along ``dim`` means."""
    step, found = 1, None
    for d in range(len(shape) - 1, -1, -1):
        if d != dim:
            span = np.arange(index.shape[d]) * step
            if span.size != 1:
                span = span.reshape((-1,) + (1,) * (len(shape) - d - 1))
                found = span if found is None else found + span
        step *= shape[d]
    along = int(np.prod(shape[dim + 1 :], dtype=np.int64))
    at = index if along == 1 else index * along
    return at if found is None else at + found


def _flat(y: Array) -> Array:
    return y.reshape(-1)  # of a fresh row-major array: a view


@op
def gather(x: Array, index: Array, *, dim: int) -> Array:
    """``out[i][j][k] = x[i][index[i][j][k]][k]`` for dim 1; the shape of ``index``."""
    if not x.flags.c_contiguous:
        x = np.ascontiguousarray(x)
    return x.reshape(-1).take(places(index, x.shape, dim))


gather.pull(x=lambda g, index, x_shape, *, dim: gather_place(g, index, shape=x_shape, dim=dim))


@op
def gather_place(x: Array, index: Array, *, shape: tuple[int, ...], dim: int) -> Array:
    """Zeros of ``shape`` with ``x`` added along ``dim``: the adjoint of ``gather``."""
    y = np.zeros(shape, x.dtype)
    _write_add(y, x, index, dim=dim)
    return y


gather_place.pull(x=lambda g, index, *, dim: gather(g, index, dim=dim))


@op
def scatter_add(x: Array, src: Array, index: Array, *, dim: int) -> Array:
    """``x`` with ``src`` added at ``index`` along ``dim``."""
    y = np.array(x, order="C")
    _write_add(y, src, index, dim=dim)
    return y


def _write_add(y: Array, src: Array, index: Array, *, dim: int) -> None:
    if not index.size:
        return
    if dim == 0 and index.ndim > 1 and index.shape[1:] == y.shape[1:] and not any(index.strides[1:]):
        # The index of a row, expanded over the row: whole rows are added.
        add_rows(y, index[(slice(None),) + (0,) * (index.ndim - 1)], np.broadcast_to(src, index.shape))
        return
    src = np.ascontiguousarray(np.broadcast_to(src, index.shape)).reshape(-1)
    if y.flags.c_contiguous:
        add_flat(_flat(y), places(index, y.shape, dim).reshape(-1), src)
    else:
        np.add.at(y, np.unravel_index(places(index, y.shape, dim).reshape(-1), y.shape), src)


scatter_add.write = _write_add
scatter_add.pull(x=lambda g: g, src=lambda g, index, *, dim: gather(g, index, dim=dim))


@op
def scatter(x: Array, src: Array, index: Array, *, dim: int) -> Array:
    """``x`` with ``src`` at ``index`` along ``dim``; of several at one place the last stays."""
    y = np.array(x, order="C")
    _write_set(y, src, index, dim=dim)
    return y


def _write_set(y: Array, src: Array, index: Array, *, dim: int) -> None:
    at = places(index, y.shape, dim)
    if y.flags.c_contiguous:
        _flat(y)[at] = src
    else:
        y[np.unravel_index(at, y.shape)] = src


scatter.write = _write_set
scatter.pull(
    x=lambda g, index, *, dim: scatter(g, 0, index, dim=dim),
    src=lambda g, index, *, dim: gather(g, index, dim=dim),
)


@op
def scatter_prod(x: Array, src: Array, index: Array, *, dim: int) -> Array:
    """``x`` times all of ``src`` that ``index`` sends to the same place."""
    y = np.array(x, order="C")
    _at(np.multiply, y, src, index, dim)
    return y


def _at(ufunc: Any, y: Array, src: Array, index: Array, dim: int) -> None:
    ufunc.at(_flat(y), places(index, y.shape, dim).reshape(-1), np.broadcast_to(src, index.shape).reshape(-1))


@scatter_prod.pull_all
def _scatter_prod(g: Array, x: Array, src: Array, index: Array, x_dtype: Any, *, dim: int) -> Any:
    """The product of all other factors: by division where this one is not zero, else the product without zeros."""
    x0, src0 = cast(x == 0, dtype=x_dtype), cast(src == 0, dtype=x_dtype)
    x1, src1 = x + x0, src + src0  # zeros count as ones
    zeros = scatter_add(x0, src0, index, dim=dim)
    g = g * scatter_prod(x1, src1, index, dim=dim)
    gx = g * (zeros == x0) / x1
    gsrc = gather(g, index, dim=dim) * (gather(zeros, index, dim=dim) == src0) / src1
    return gx, gsrc, None


@op
def scatter_amax(x: Array, src: Array, index: Array, *, dim: int) -> Array:
    """The largest of ``x`` and all of ``src`` sent to the same place; the gradient is shared among equals."""
    y = np.array(x, order="C")
    _at(np.maximum, y, src, index, dim)
    return y


@op
def scatter_amin(x: Array, src: Array, index: Array, *, dim: int) -> Array:
    """The smallest of ``x`` and all of ``src`` sent to the same place; the gradient is shared among equals."""
    y = np.array(x, order="C")
    _at(np.minimum, y, src, index, dim)
    return y


def _extreme(g: Array, x: Array, src: Array, out: Array, index: Array, x_dtype: Any, *, dim: int) -> Any:
    mine = cast(x == out, dtype=x_dtype)
    theirs = cast(src == gather(out, index, dim=dim), dtype=x_dtype)
    share = g / scatter_add(mine, theirs, index, dim=dim)
    return share * mine, gather(share, index, dim=dim) * theirs, None


scatter_amax.pull_all(_extreme)
scatter_amin.pull_all(_extreme)
