"""Views by explicit strides: the one view whose meaning depends on the memory order of its input."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op
from allgrad.ops.scatter_add import add_flat
from allgrad.ops.shape import window

Array = Any
Shape = tuple[int, ...]
Geometry = tuple[Shape, Shape]


def offsets(size: Shape, stride: Shape, start: int = 0) -> Array:
    """Memory positions, in elements, that a view by ``size`` and ``stride`` reads: an array of shape ``size``."""
    at = np.full((1,) * len(size), start, np.int64)
    for d, (n, step) in enumerate(zip(size, stride)):
        at = at + (np.arange(n) * step).reshape((-1,) + (1,) * (len(size) - d - 1))
    return at.reshape(size)


def elements(size: Shape, stride: Shape, offset: int, geometry: Geometry) -> Array:
    """Which element (row-major) of the input each element of the view is; -1 for memory outside the input."""
    held = offsets(*geometry).reshape(-1)
    wanted = offsets(size, stride, offset)
    if not held.size:
        return np.full(size, -1)
    where = np.full(max(int(held.max()), int(wanted.max(initial=0))) + 1, -1)
    where[held] = np.arange(held.size)
    return np.where(wanted < 0, -1, where[wanted])


@op(view=True)
def as_strided(x: Array, *, size: Shape, stride: Shape, offset: int, geometry: Geometry) -> Array:
    """Elements ``offset + sum(i * stride)`` of the memory that began at ``x``, as it lay when the view was made.

    ``geometry`` is that order: the shape and the strides, in elements, of ``x``.  A gradient lies in another order, so
    there the same elements are picked one by one.
    """
    if (x.shape, tuple(s // x.itemsize for s in x.strides)) == geometry:
        return window(x, size, tuple(s * x.itemsize for s in stride), offset * x.itemsize)
    at = elements(size, stride, offset, geometry)
    return np.where(at < 0, x.dtype.type(0), np.ascontiguousarray(x).reshape(-1)[at])


as_strided.pull(
    x=lambda g, *, size, stride, offset, geometry: strided_sum(
        g, size=size, stride=stride, offset=offset, geometry=geometry
    )
)


@op
def strided_sum(x: Array, *, size: Shape, stride: Shape, offset: int, geometry: Geometry) -> Array:
    """Each element of the view added where it came from: the adjoint of ``as_strided``."""
    at = elements(size, stride, offset, geometry).reshape(-1)
    inside = at >= 0
    y = np.zeros(int(np.prod(geometry[0], dtype=np.int64)), x.dtype)
    add_flat(y, at[inside], np.ascontiguousarray(x).reshape(-1)[inside])
    return y.reshape(geometry[0])


strided_sum.pull(
    x=lambda g, *, size, stride, offset, geometry: as_strided(
        g, size=size, stride=stride, offset=offset, geometry=geometry
    )
)


@op(view=True)
def view_dtype(x: Array, *, dtype: Any) -> Array:
    """The same memory read as another dtype; not differentiable."""
    return x.view(dtype)
