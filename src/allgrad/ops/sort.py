"""Order along one axis: sort, topk, and the moves by index that their gradients are."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any


@op
def take_along(x: Array, index: Array, *, dim: int) -> Array:
    """``x`` at ``index`` along ``dim``; the other axes of both agree."""
    return np.take_along_axis(x, index, axis=dim) if x.ndim else x.copy()


@op
def put_along(x: Array, index: Array, *, shape: tuple[int, ...], dim: int) -> Array:
    """Zeros of ``shape`` with ``x`` added at ``index`` along ``dim``: the adjoint of ``take_along``."""
    if not x.ndim:
        return x.copy()
    y = np.zeros(shape, x.dtype)
    if index.shape[dim] == 1 or _no_repeats(index, dim):
        np.put_along_axis(y, index, x, axis=dim)
        return y
    places = [np.arange(n).reshape((-1,) + (1,) * (x.ndim - 1 - i)) for i, n in enumerate(index.shape)]
    places[dim] = index
    np.add.at(y, tuple(places), x)
    return y


def _no_repeats(index: Array, dim: int) -> bool:
    ordered = np.sort(index, axis=dim)
    return not (np.diff(ordered, axis=dim) == 0).any()


take_along.pull(x=lambda g, index, x_shape, *, dim: put_along(g, index, shape=tuple(x_shape), dim=dim))
put_along.pull(x=lambda g, index, *, dim: take_along(g, index, dim=dim))


def order(x: Array, dim: int, descending: bool) -> Array:
    """Indices that sort ``x`` stably; nan counts as the largest."""
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    # Backwards on both sides of a stable sort: equal elements keep their order.
    back = np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)
    return x.shape[dim] - 1 - back


@op(multi=True)
def sort(x: Array, *, dim: int, descending: bool = False) -> tuple[Array, Array]:
    """Values in order along ``dim``, and where they were."""
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    index = order(x, dim, descending)
    return np.take_along_axis(x, index, axis=dim), index


@op
def argsort(x: Array, *, dim: int, descending: bool = False) -> Array:
    """Indices that sort ``x`` stably along ``dim``."""
    return order(x, dim, descending) if x.ndim else np.zeros((), np.int64)


@op(multi=True)
def topk(x: Array, *, k: int, dim: int, largest: bool = True) -> tuple[Array, Array]:
    """The k largest (or smallest) along ``dim``, best first, and where they were."""
    if not x.ndim:
        return (x.copy(), np.zeros((), np.int64)) if k else (x.reshape(-1)[:0], np.zeros(0, np.int64))
    n = x.shape[dim]
    if k * 4 >= n or n < 64:
        index = order(x, dim, largest).take(range(k), axis=dim)
        return np.take_along_axis(x, index, axis=dim), index
    if largest:
        chosen = np.argpartition(x, n - k, axis=dim).take(range(n - k, n), axis=dim)
    else:
        chosen = np.argpartition(x, k - 1, axis=dim).take(range(k), axis=dim)
    values = np.take_along_axis(x, chosen, axis=dim)
    inner = order(values, dim, largest)
    return np.take_along_axis(values, inner, axis=dim), np.take_along_axis(chosen, inner, axis=dim)


def picked(gs: Any, out: Any, x_shape: Any, *, dim: int) -> Any:
    """The gradient of an op that picks elements along ``dim``: back to where they were."""
    return (put_along(gs[0], out[1], shape=tuple(x_shape), dim=dim),)


sort.pull_all(picked)
topk.pull_all(picked)
