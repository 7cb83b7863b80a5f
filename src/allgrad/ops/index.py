"""Advanced indexing: index arrays and masks pick elements; the adjoint adds them back.

A ``key`` is a tuple as NumPy takes it, of integer arrays and full slices; the settings own their arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.arithmetic import where
from allgrad.ops.op import op
from allgrad.ops.scatter_add import add_at
from allgrad.ops.shape import slice_

Array = Any
Key = tuple[Any, ...]


@op(name="index")
def index(x: Array, *, key: Key) -> Array:
    """The elements at ``key``, copied."""
    return x[key]


index.pull(x=lambda g, x_shape, *, key: index_accumulate(g, key=key, shape=x_shape))


@op
def index_accumulate(x: Array, *, key: Key, shape: tuple[int, ...]) -> Array:
    """Zeros of ``shape`` with ``x`` added at ``key``: the adjoint of ``index``."""
    y = np.zeros(shape, x.dtype)
    add_at(y, key, x)
    return y


index_accumulate.pull(x=lambda g, *, key: index(g, key=key))


@op
def index_put(x: Array, value: Array, *, key: Key, accumulate: bool = False) -> Array:
    """``x`` with ``value`` at ``key``, or added there."""
    y = np.array(x, order="C")
    write_at(y, value, key=key, accumulate=accumulate)
    return y


def write_at(y: Array, value: Array, *, key: Key, accumulate: bool = False) -> None:
    """Set or add ``value`` at ``key`` in the memory of ``y``."""
    if accumulate:
        add_at(y, key, value)
    else:
        y[key] = value


index_put.write = write_at
index_put.pull(
    x=lambda g, *, key, accumulate: g if accumulate else index_put(g, 0, key=key),
    value=lambda g, *, key: index(g, key=key),
)


@op
def masked_select(x: Array, mask: Array) -> Array:
    """The elements where ``mask``, which covers the first dimensions, is true."""
    return x[mask]


masked_select.pull(x=lambda g, mask, x_shape: masked_place(g, mask, shape=x_shape))


@op
def masked_place(x: Array, mask: Array, *, shape: tuple[int, ...]) -> Array:
    """Zeros of ``shape`` with ``x`` where the mask is true: the adjoint of ``masked_select``."""
    y = np.zeros(shape, x.dtype)
    y[mask] = x
    return y


masked_place.pull(x=lambda g, mask: masked_select(g, mask))


@op
def masked_put(x: Array, value: Array, mask: Array) -> Array:
    """``x`` with ``value`` at the true elements of ``mask``, which covers the first dimensions."""
    y = np.array(x, order="C")
    _write_masked(y, value, mask)
    return y


def _write_masked(y: Array, value: Array, mask: Array) -> None:
    y[mask] = value


masked_put.write = _write_masked
masked_put.pull(
    x=lambda g, mask: masked_put(g, 0, mask),
    value=lambda g, mask: masked_select(g, mask),
)


@op
def masked_fill(x: Array, value: Array, mask: Array) -> Array:
    """``x`` with one ``value`` where the mask, broadcast, is true."""
    return np.where(mask, value, x)  # six times faster than a copy and copyto(where=)


def _write_filled(y: Array, value: Array, mask: Array) -> None:
    np.copyto(y, value, where=mask)


masked_fill.write = _write_filled
masked_fill.pull(
    x=lambda g, mask: masked_fill(g, 0.0, mask),
    value=lambda g, mask: where(mask, g, 0.0),
)


@op
def put_slice(x: Array, value: Array, *, index: Key) -> Array:
    """``x`` with ``value`` at a basic index: ints, slices, None and Ellipsis."""
    y = np.array(x, order="C")
    y[index] = value
    return y


def _write_slice(y: Array, value: Array, *, index: Key) -> None:
    y[index] = value


put_slice.write = _write_slice
put_slice.pull(
    x=lambda g, *, index: put_slice(g, 0, index=index),
    value=lambda g, *, index: slice_(g, index=index),
)
