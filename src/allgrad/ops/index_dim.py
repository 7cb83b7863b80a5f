"""Whole slices along one dimension, named by indices: as a rule a vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op
from allgrad.ops.scatter_add import add_at, add_rows

Array = Any


@op
def index_select(x: Array, index: Array, *, dim: int) -> Array:
    """The slices of ``dim`` that ``index`` names; the shape of ``index`` stands in the place of ``dim``."""
    return x.take(index, axis=dim)


index_select.pull(x=lambda g, index, x_shape, *, dim: index_place(g, index, shape=x_shape, dim=dim))


@op
def index_place(x: Array, index: Array, *, shape: tuple[int, ...], dim: int) -> Array:
    """Zeros of ``shape`` with the slices of ``x`` added: the adjoint of ``index_select``."""
    y = np.zeros(shape, x.dtype)
    _write_index_add(y, x, index, dim=dim)
    return y


index_place.pull(x=lambda g, index, *, dim: index_select(g, index, dim=dim))


@op
def index_add(x: Array, source: Array, index: Array, *, dim: int) -> Array:
    """``x`` with slice i of ``source`` added to slice ``index[i]``."""
    y = np.array(x, order="C")
    _write_index_add(y, source, index, dim=dim)
    return y


def _write_index_add(y: Array, source: Array, index: Array, *, dim: int) -> None:
    if dim == 0:
        add_rows(y, index.reshape(-1), source if index.ndim == 1 else source.reshape(index.size, *y.shape[1:]))
    else:
        add_at(y, (slice(None),) * dim + (index,), source)


index_add.write = _write_index_add
index_add.pull(x=lambda g: g, source=lambda g, index, *, dim: index_select(g, index, dim=dim))


@op
def index_copy(x: Array, source: Array, index: Array, *, dim: int) -> Array:
    """``x`` with slice i of ``source``, which may be broadcast, in place of slice ``index[i]``."""
    y = np.array(x, order="C")
    _write_index_copy(y, source, index, dim=dim)
    return y


def _write_index_copy(y: Array, source: Array, index: Array, *, dim: int) -> None:
    y[(slice(None),) * dim + (index,)] = source


index_copy.write = _write_index_copy
index_copy.pull(
    x=lambda g, index, *, dim: index_copy(g, 0, index, dim=dim),
    source=lambda g, index, *, dim: index_select(g, index, dim=dim),
)
