"""Reductions.  ``dim`` is a tuple of axes, an axis, or None for all; ``keepdim`` keeps them with length one."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import Recorded, normal_axes, op
from allgrad.ops.reduce_fast import is_half, total
from allgrad.ops.shape import cat, expand, permute, reshape, slice_

Array = Any


def kept(shape: Any, dim: Any) -> tuple[int, ...]:
    """``shape`` with the reduced axes at length one."""
    axes = normal_axes(dim, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def widen(g: Array, x_shape: Any, dim: Any) -> Array:
    """A reduced gradient broadcast back over the axes it was summed over."""
    if dim is None:  # one number, whether its axes were kept or not
        return expand(g, shape=tuple(x_shape)) if isinstance(g, Recorded) else expand.forward(g, shape=tuple(x_shape))
    return expand(reshape(g, shape=kept(x_shape, dim)), shape=tuple(x_shape))


def count(shape: Any, dim: Any) -> int:
    """How many elements go into one."""
    n = 1
    for i in normal_axes(dim, len(shape)):
        n *= shape[i]
    return n


@op(name="sum")
def sum_(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """Sum over ``dim``; integers sum to int64."""
    return total(x, normal_axes(dim, x.ndim), keepdim)


sum_.pull(x=lambda g, x_shape, *, dim: widen(g, x_shape, dim))


@op
def mean(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """Mean over ``dim``; nan over nothing.  Halves are added in float32."""
    n = count(x.shape, dim)
    if is_half(x.dtype):
        return (total(x.astype(np.float32), normal_axes(dim, x.ndim), keepdim) / np.float32(n)).astype(x.dtype)
    y = total(x, normal_axes(dim, x.ndim), keepdim)
    if isinstance(y, np.ndarray):
        return np.true_divide(y, y.dtype.type(n), out=y)
    return y / y.dtype.type(n)


def _mean_x(g: Array, x_shape: Any, *, dim: Any) -> Array:
    n = count(x_shape, dim)
    return widen(g / n if n else g, x_shape, dim)


mean.pull(x=_mean_x)


@op
def var(x: Array, *, dim: Any = None, keepdim: bool = False, correction: float = 1) -> Array:
    """Sum of squared deviations over ``max(0, n - correction)``, in two passes."""
    axes = normal_axes(dim, x.ndim)
    n = count(x.shape, dim)
    y = x.astype(np.float32) if is_half(x.dtype) else x
    away = np.asarray(y - total(y, axes, True) / y.dtype.type(n))
    np.multiply(away, away, out=away)
    squares = total(away, axes, keepdim)
    return (squares / y.dtype.type(max(0.0, n - correction))).astype(x.dtype, copy=False)


def _var_x(g: Array, x: Array, *, dim: Any, correction: float) -> Array:
    below = count(x.shape, dim) - correction
    away = x - mean(x, dim=dim, keepdim=True)
    return widen(g * (2.0 / below if below else float("inf")), x.shape, dim) * away


var.pull(x=_var_x)


@op
def root(x: Array) -> Array:
    """Square root whose derivative at 0 is taken as 0: standard deviations and norms."""
    return np.sqrt(x)


root.pull(x=lambda g, out: g * inverse_or_zero(out) * 0.5)


@op
def inverse_or_zero(x: Array) -> Array:
    """``1 / x``, and 0 where x is 0."""
    y = np.zeros_like(x)
    np.true_divide(1, x, out=y, where=x != 0)
    return y


inverse_or_zero.pull(x=lambda g, out: -g * out * out)


@op
def prod(x: Array, *, dim: int, keepdim: bool = False) -> Array:
    """Product along one axis; integers multiply to int64."""
    if x.dtype.kind in "iub":
        return np.prod(x, axis=dim, dtype=np.int64, keepdims=keepdim)
    if is_half(x.dtype):
        return np.prod(x, axis=dim, dtype=np.float32, keepdims=keepdim).astype(x.dtype)
    return np.prod(x, axis=dim, keepdims=keepdim)


def _prod_x(g: Array, x: Array, *, dim: int) -> Array:
    dim = dim % len(x.shape)
    if x.shape[dim] == 1:
        return widen(g, x.shape, dim)
    order = (dim, *(i for i in range(len(x.shape)) if i != dim))
    back = tuple(order.index(i) for i in range(len(order)))
    return widen(g, x.shape, dim) * permute(products_of_others(permute(x, dims=order)), dims=back)


def products_of_others(x: Array) -> Array:
    """For each place along axis 0 the product of all other places, by pairs: no division, so zeros are exact; at least two."""
    n = x.shape[0]
    half = n // 2
    a, b = slice_(x, index=(slice(0, half),)), slice_(x, index=(slice(half, 2 * half),))
    if n <= 2:
        return cat(b, a, dim=0) if n == 2 else x
    pairs = a * b
    if n % 2:
        pairs = cat(pairs, slice_(x, index=(slice(2 * half, n),)), dim=0)
    outside = products_of_others(pairs)
    o = slice_(outside, index=(slice(0, half),))
    parts = [o * b, o * a]
    if n % 2:
        parts.append(slice_(outside, index=(slice(half, half + 1),)))
    return cat(*parts, dim=0)


prod.pull(x=_prod_x)


@op(name="any")
def any_(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """Whether an element is not zero."""
    return np.any(x, axis=dim, keepdims=keepdim)


@op(name="all")
def all_(x: Array, *, dim: Any = None, keepdim: bool = False) -> Array:
    """Whether no element is zero."""
    return np.all(x, axis=dim, keepdims=keepdim)


@op
def count_nonzero(x: Array, *, dim: Any = None) -> Array:
    """How many elements are not zero."""
    return np.asarray(np.count_nonzero(x, axis=dim), dtype=np.int64)
