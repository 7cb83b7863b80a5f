"""Reductions.  ``dim`` is a tuple of axes or None for all; ``keepdim`` keeps them with length one."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import normal_axes, op
from allgrad.ops.shape import expand, reshape

Array = Any


def kept(shape: Any, dim: Any) -> tuple[int, ...]:
    """``shape`` with the reduced axes at length one."""
    axes = normal_axes(dim, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def widen(g: Array, x_shape: Any, dim: Any) -> Array:
    """A reduced gradient broadcast back over the axes it was summed over."""
    return expand(reshape(g, shape=kept(x_shape, dim)), shape=tuple(x_shape))


@op(name="sum")
def sum_(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """Sum over ``dim``."""
    return np.sum(x, axis=dim, keepdims=keepdim)


sum_.pull(x=lambda g, x_shape, *, dim: widen(g, x_shape, dim))


@op
def mean(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """Mean over ``dim``; nan over nothing."""
    count = int(np.prod([x.shape[i] for i in normal_axes(dim, x.ndim)], dtype=np.int64))
    total = np.sum(x, axis=dim, keepdims=keepdim)
    return total / total.dtype.type(count)


def _mean(g: Array, x_shape: Any, *, dim: Any) -> Array:
    count = int(np.prod([x_shape[i] for i in normal_axes(dim, len(x_shape))], dtype=np.int64))
    return widen(g / count, x_shape, dim) if count else widen(g, x_shape, dim)


mean.pull(x=_mean)
