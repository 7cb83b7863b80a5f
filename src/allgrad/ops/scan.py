"""Running sums, products and extremes along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.arithmetic import mul
from allgrad.ops.op import op
from allgrad.ops.reduce_fast import is_half
from allgrad.ops.scatter import gather_place
from allgrad.ops.shape import cat, slice_
from allgrad.ops.softmax import exp_less

Array = Any


@op
def cumsum(x: Array, *, dim: int, reverse: bool = False) -> Array:
    """``y[i] = x[0] + ... + x[i]``, from the other end if ``reverse``; integers to int64."""
    if not x.ndim:
        return x.astype(np.int64) if x.dtype.kind in "iub" else x.copy()
    if reverse:
        x = np.flip(x, dim)
    if is_half(x.dtype):
        y = np.cumsum(x, axis=dim, dtype=np.float32).astype(x.dtype)
    else:
        y = np.cumsum(x, axis=dim, dtype=np.int64 if x.dtype.kind in "iub" else None)
    return np.flip(y, dim) if reverse else y


cumsum.pull(x=lambda g, *, dim, reverse: cumsum(g, dim=dim, reverse=not reverse))


@op
def shift(x: Array, *, dim: int, by: int, fill: float) -> Array:
    """``y[i] = x[i - by]``, ``fill`` where there is none."""
    if not x.ndim:
        return np.full_like(x, fill)
    y = np.full_like(x, fill)
    n = x.shape[dim]
    to, of = (slice(by, None), slice(0, n - by)) if by > 0 else (slice(0, n + by), slice(-by, None))
    lead = (slice(None),) * dim
    y[(*lead, to)] = x[(*lead, of)]
    return y


shift.pull(x=lambda g, *, dim, by: shift(g, dim=dim, by=-by, fill=0.0))


@op
def recurrence(a: Array, b: Array, *, dim: int, reverse: bool = False) -> Array:
    """``h[i] = b[i] + a[i] * h[i - 1]``, or from the other end ``h[i] = b[i] + a[i] * h[i + 1]``."""
    if not a.ndim:
        return b.copy()
    a, b = np.moveaxis(a, dim, 0), np.moveaxis(b, dim, 0)
    h = _solve(a[::-1], b[::-1])[::-1] if reverse else _solve(a, b)
    return np.moveaxis(h, 0, dim)


def _solve(a: Array, b: Array) -> Array:
    """The recurrence along axis 0, two steps joined into one again and again: log2(n) passes over all."""
    n = len(b)
    h = np.array(b)
    if n <= 1:
        return h
    even, odd = slice(0, n - n % 2, 2), slice(1, None, 2)
    h[odd] = _solve(a[odd] * a[even], b[odd] + a[odd] * b[even])
    h[2::2] += a[2::2] * h[1 : n - 1 : 2]
    return h


def _recurrence_b(g: Array, a: Array, *, dim: int, reverse: bool) -> Array:
    return recurrence(shift(a, dim=dim, by=1 if reverse else -1, fill=0.0), g, dim=dim, reverse=not reverse)


def _recurrence_a(g: Array, a: Array, out: Array, *, dim: int, reverse: bool) -> Array:
    before = shift(out, dim=dim, by=-1 if reverse else 1, fill=0.0)
    return _recurrence_b(g, a, dim=dim, reverse=reverse) * before


recurrence.pull(a=_recurrence_a, b=_recurrence_b)


@op
def cumprod(x: Array, *, dim: int) -> Array:
    """``y[i] = x[0] * ... * x[i]``; integers to int64."""
    if not x.ndim:
        return x.astype(np.int64) if x.dtype.kind in "iub" else x.copy()
    if is_half(x.dtype):
        return np.cumprod(x, axis=dim, dtype=np.float32).astype(x.dtype)
    return np.cumprod(x, axis=dim, dtype=np.int64 if x.dtype.kind in "iub" else None)


def _cumprod_x(g: Array, x: Array, *, dim: int) -> Array:
    """What stands before times a running sum of what comes after; nothing is divided, so zeros are exact."""
    before = cumprod(shift(x, dim=dim, by=1, fill=1.0), dim=dim)
    after = recurrence(shift(x, dim=dim, by=-1, fill=0.0), g, dim=dim, reverse=True)
    return before * after


cumprod.pull(x=_cumprod_x)


@op
def logcumsumexp(x: Array, *, dim: int) -> Array:
    """``y[i] = log(exp(x[0]) + ... + exp(x[i]))``."""
    if not x.ndim:
        return x.copy()
    if is_half(x.dtype):
        return np.logaddexp.accumulate(x.astype(np.float32), axis=dim).astype(x.dtype)
    return np.logaddexp.accumulate(x, axis=dim)


def _logcumsumexp_x(g: Array, x: Array, out: Array, *, dim: int) -> Array:
    # sum over k >= i of g[k] exp(x[i] - y[k]); the ratios exp(y[i] - y[i+1]) are at most 1, so all stays in range.
    if not len(x.shape):
        return g
    lead = (slice(None),) * dim
    rest = slice_(out, index=(*lead, slice(1, None)))
    last = slice_(out, index=(*lead, slice(-1, None)))
    ratio = exp_less(out, cat(rest, last, dim=dim))
    return mul(exp_less(x, out), recurrence(ratio, g, dim=dim, reverse=True))


logcumsumexp.pull(x=_logcumsumexp_x)


def _running(x: Array, dim: int, extreme: Any) -> tuple[Array, Array]:
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    y = extreme.accumulate(x, axis=dim)
    place = np.arange(x.shape[dim]).reshape((-1,) + (1,) * (x.ndim - 1 - dim))
    # The last of equals counts; after a nan only another nan does.
    index = np.where((x == y) | (x != x), place, 0)
    return y, np.maximum.accumulate(index, axis=dim, out=index)


@op(multi=True)
def cummax(x: Array, *, dim: int) -> tuple[Array, Array]:
    """The largest so far, and where it was."""
    return _running(x, dim, np.maximum)


@op(multi=True)
def cummin(x: Array, *, dim: int) -> tuple[Array, Array]:
    """The smallest so far, and where it was."""
    return _running(x, dim, np.minimum)


def _placed(gs: Any, out: Any, x_shape: Any, *, dim: int) -> Any:
    return (gather_place(gs[0], out[1], shape=tuple(x_shape), dim=dim),)


cummax.pull_all(_placed)
cummin.pull_all(_placed)
cummax.reads = cummin.reads = (1,)
