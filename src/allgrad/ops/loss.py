"""Fused losses over rows: softmax cross-entropy and what picks one column per row."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from allgrad.errors import IndexRangeError
from allgrad.ops.op import Recorded, op
from allgrad.ops.reduce_fast import ROW_SPAN
from allgrad.ops.softmax import softmax

Array = Any


def check_classes(target: Array, classes: int, ignore_index: int) -> Array | None:
    """Which rows count: None if all do.  IndexRangeError for a class that does not exist."""
    if not target.size:
        return None
    low, high = int(target.min()), int(target.max())
    if low >= 0 and high < classes and not low <= ignore_index <= high:
        return None
    valid = target != ignore_index
    wrong = valid & ((target < 0) | (target >= classes))
    if wrong.any():
        raise IndexRangeError(
            f"Target {int(target[wrong].reshape(-1)[0])} is out of bounds. There are {classes} classes: use 0 to "
            f"{classes - 1}, or ignore_index={ignore_index} for a sample that does not count"
        )
    return None if valid.all() else valid


@op
def pick_columns(x: Array, index: Array) -> Array:
    """One element of each row, 0 where the index is negative: (n, c), (n,) -> (n,)."""
    y = x[np.arange(len(x)), index]
    return np.where(index < 0, x.dtype.type(0), y) if index.size and index.min() < 0 else y


@op
def put_columns(x: Array, index: Array, *, columns: int) -> Array:
    """Zeros with one element of each row set, none where the index is negative: (n,), (n,) -> (n, columns)."""
    y = np.zeros((len(x), columns), x.dtype)
    y[np.arange(len(x)), index] = x
    if index.size and index.min() < 0:
        y[index < 0] = 0
    return y


pick_columns.pull(x=lambda g, index, x_shape: put_columns(g, index, columns=x_shape[1]))
put_columns.pull(x=lambda g, index: pick_columns(g, index))


TAME = 40.0
"""Scores of at most this size need no largest one taken off before exponentials: nothing overflows or vanishes."""


@lru_cache(maxsize=64)
def _ones(count: int, dtype: Any) -> Array:
    return np.ones(count, dtype)


@lru_cache(maxsize=16)
def _starts(rows: int, columns: int) -> Array:
    """Where each row begins among the elements of a matrix."""
    return np.arange(0, rows * columns, columns)


def _tame(x: Array) -> bool:
    """Whether all scores are small.  Of few scores the sum of squares shows it faster than two reductions do."""
    if x.dtype.itemsize < 4:
        return False
    if x.size <= 1024 and np.vdot(x, x) <= TAME * TAME:
        return True
    return bool(x.max() <= TAME and x.min() >= -TAME)


def log_sum_exp(x: Array) -> Array:
    """The logarithm of the summed exponentials of each row: (n, c) -> (n,)."""
    ones = _ones(x.shape[1], x.dtype)
    if _tame(x):
        total = np.exp(x).dot(ones)
        return np.log(total, total)
    top = x.max(1, keepdims=True)
    if not np.isfinite(top).all():
        top = np.where(np.isfinite(top), top, x.dtype.type(0))
    total = np.exp(x - top) @ ones
    np.log(total, out=total)
    total += top[:, 0]
    return total


class Shares(NamedTuple):
    """How much of each class's -log p each row pays.

    ``target`` (n,) is -1 for rows that do not count; ``own`` (n,) is the target's share, None: 1 each; ``every`` (c,) that
    of all classes, None: nothing; ``divisor`` is that of "mean".  Where every row counts for 1 there is ``flat`` (n,) in
    place of ``target``: the places of the targets' scores among all scores, which NumPy finds four times as fast.
    """

    target: Any
    own: Array | None
    every: Array | None
    divisor: float
    flat: Array | None = None


def _shares(
    x_shape: Any, dtype: Any, target: Array, weight: Array | None, ignore_index: int, smoothing: float
) -> Shares:
    classes = x_shape[1]
    plain = weight is None and not smoothing and target.dtype == np.int64 and not 0 <= ignore_index < classes
    # As numbers without sign, negative classes are very large ones.
    if plain and target.size:
        unsigned = target.view(np.uint64)
        if unsigned.item(unsigned.argmax()) < classes:
            n = len(target)
            starts = _starts(n, classes) if n <= ROW_SPAN else np.arange(0, n * classes, classes)
            return Shares(None, None, None, float(n), starts + target)
    valid = check_classes(target, classes, ignore_index)
    safe = target.copy() if valid is None else np.where(valid, target, 0)
    own = np.ones(len(target), dtype) if weight is None else weight[safe]
    if valid is not None:
        own = own * valid.astype(dtype)
        safe = np.where(valid, target, -1)
    count = float(own.sum(dtype=np.float64))
    if not smoothing:
        return Shares(safe, own, None, count)
    every = np.full(classes, smoothing / classes, dtype)
    if weight is not None:
        every *= weight
    return Shares(safe, own * dtype.type(1 - smoothing), every, count)


@op(keeps=True)
def cross_entropy(
    x: Array,
    target: Array,
    weight: Array = None,
    *,
    ignore_index: int = -100,
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Array, Any]:
    """Negative log-likelihood of class indices under softmax, in nats: (n, c), (n,), (c,) -> () or (n,)."""
    if not x.size:
        check_classes(target, x.shape[1], ignore_index)
        empty = np.zeros(0 if reduction == "none" else (), x.dtype)
        return (empty / 0 if reduction == "mean" else empty), (np.zeros(len(x), x.dtype), None, reduction)
    shares = _shares(x.shape, x.dtype, target, weight, ignore_index, smoothing)
    safe, own, every, count, flat = shares
    lse = log_sum_exp(x)
    kept = (lse, shares, reduction)
    if flat is not None:
        loss = lse - x.take(flat)
    else:
        loss = lse - x[np.arange(len(x)), safe]
        if own is not None:
            loss *= own
            if (safe < 0).any():
                loss[safe < 0] = 0
        if every is not None:
            spread = lse * every.sum() - x @ every
            loss += spread if (safe >= 0).all() else np.where(safe >= 0, spread, x.dtype.type(0))
    if reduction == "none":
        return loss, kept
    total = loss.dot(_ones(len(loss), x.dtype)) if len(loss) <= ROW_SPAN else np.add.reduce(loss)
    return np.asarray(total / x.dtype.type(count) if reduction == "mean" else total, x.dtype), kept


def _softmax(x: Any, lse: Array) -> Array:
    """exp(x - lse), as the function of x that it is: under create_graph lse is not a constant."""
    if isinstance(x, Recorded):
        return softmax(x, dim=1)
    p = np.subtract(x, lse[:, None], order="C")
    return np.exp(p, p)


def _cross_entropy_x(g: Any, x: Any, kept: Any) -> Any:
    lse, shares, reduction = kept
    p = _softmax(x, lse)
    if shares is None:  # no scores at all
        return p
    safe, own, every, count, flat = shares
    recorded = isinstance(x, Recorded) or isinstance(g, Recorded)
    if flat is not None and not recorded and reduction != "none":
        p.reshape(-1)[flat] -= 1
        p *= p.dtype.type(g.item() / count) if reduction == "mean" else g
        return p
    if reduction == "mean":
        g = g * (1 / count if count else 0.0)  # the mean over nothing is nan, its gradient zero, as in PyTorch
    if flat is not None and recorded:
        chosen = np.zeros(p.shape, lse.dtype)
        chosen.reshape(-1)[flat] = 1
        return (p - chosen) * (g.reshape(-1, 1) if reduction == "none" else g)
    if flat is not None:
        safe = flat % x.shape[1]
    if recorded or every is not None:
        share = put_columns(np.ones(len(safe), lse.dtype) if own is None else own, safe, columns=x.shape[1])
        if every is not None:
            share += every * (safe >= 0)[:, None]
        row = share.sum(1, keepdims=True)
        column = g.reshape(-1, 1) if reduction == "none" else g
        return p * (column * row) - share * column
    if own is not None:
        g = g * own
    if getattr(g, "ndim", 0):
        p *= g[:, None]
        p[np.arange(len(p)), safe] -= g
        return p
    p[np.arange(len(p)), safe] -= 1
    p *= g
    return p


cross_entropy.pull(x=_cross_entropy_x)
