"""Order along one axis: sort, topk, and the moves by index that their gradients are."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op
from allgrad.ops.scatter import gather, places
from allgrad.ops.shape import reshape

Array = Any


@op
def put_along(x: Array, index: Array, *, shape: tuple[int, ...], dim: int) -> Array:
    """Zeros of ``shape`` with ``x`` at ``index`` along ``dim``, where no place is named twice."""
    y = np.zeros(shape, x.dtype)
    y.reshape(-1)[places(index, shape, dim)] = x
    return y


put_along.pull(x=lambda g, index, *, dim: gather(g, index, dim=dim))


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
sort.reads = topk.reads = (1,)


def _ranked(x: Array, rank: int, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """The element of that rank along ``dim``, and the first place where it stands."""
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    place = np.argpartition(x, rank, axis=dim).take([rank], axis=dim)
    return picked_at(x, place, dim, keepdim)


def picked_at(x: Array, place: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    """Values at ``place`` (of length one along ``dim``), and the places."""
    values = np.take_along_axis(x, place, axis=dim)
    return (values, place) if keepdim else (np.squeeze(values, dim), np.squeeze(place, dim))


@op(multi=True)
def kthvalue(x: Array, *, k: int, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """The k-th smallest along ``dim``, counted from 1, and a place where it stands; nan counts as the largest."""
    return _ranked(x, k - 1, dim, keepdim)


@op(multi=True)
def median(x: Array, *, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """The lower of the two middle elements along ``dim``, and a place; nan if there is one."""
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    place = np.argpartition(x, (x.shape[dim] - 1) // 2, axis=dim).take([(x.shape[dim] - 1) // 2], axis=dim)
    if x.dtype.kind not in "iub":
        bad = x != x
        if bad.any():
            place = np.where(bad.any(axis=dim, keepdims=True), bad.argmax(axis=dim, keepdims=True), place)
    return picked_at(x, place, dim, keepdim)


@op(multi=True)
def nanmedian(x: Array, *, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """The lower middle element of those that are not nan along ``dim``, and a place."""
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    there = (x == x).sum(axis=dim, keepdims=True)
    place = np.take_along_axis(np.argsort(x, axis=dim, kind="stable"), np.maximum(there - 1, 0) // 2, axis=dim)
    return picked_at(x, place, dim, keepdim)


@op(multi=True)
def mode(x: Array, *, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """The most frequent value along ``dim``, of several the smallest, and the last place where it stands."""
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    index = np.argsort(x, axis=dim, kind="stable")
    ordered = np.moveaxis(np.take_along_axis(x, index, axis=dim), dim, -1)
    n = ordered.shape[-1]
    starts = np.ones(ordered.shape, bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    run = np.arange(n) - np.maximum.accumulate(np.where(starts, np.arange(n), 0), axis=-1)
    # The end of the longest run; argmax takes the first of equally long ones, which holds the smallest value.
    end = np.moveaxis(run.argmax(axis=-1, keepdims=True), -1, dim)
    return picked_at(x, np.take_along_axis(index, end, axis=dim), dim, keepdim)


def one_picked(gs: Any, out: Any, x_shape: Any, *, dim: int) -> Any:
    """The gradient of an op that picks one element along ``dim``: all of it to that element."""
    shape = tuple(1 if i == dim else n for i, n in enumerate(x_shape))
    g, place = reshape(gs[0], shape=shape), reshape(out[1], shape=shape)
    return (put_along(g, place, shape=tuple(x_shape), dim=dim),)


kthvalue.pull_all(one_picked)
median.pull_all(one_picked)
nanmedian.pull_all(one_picked)
mode.pull_all(one_picked)
kthvalue.reads = median.reads = nanmedian.reads = mode.reads = (1,)
