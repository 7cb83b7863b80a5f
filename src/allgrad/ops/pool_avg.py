"""Average pooling: window sums by strided slices, axis by axis, and averages over windows of unequal length.

Both kinds are linear, so each comes with its adjoint and the two are each other's derivative.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any
Ints = tuple[int, ...]


def _along(axis: int, where: Any) -> tuple[Any, ...]:
    """An index on one axis counted from the end."""
    return (..., where, *(slice(None),) * (-axis - 1))


def _reach(kernel: Ints, stride: Ints, out: Ints) -> Ints:
    return tuple(s * (n - 1) + k for k, s, n in zip(kernel, stride, out))


def _own(y: Array, given: Array) -> Array:
    """``y`` as contiguous memory that is neither the input nor a view."""
    return y if y is not given and y.base is None and y.flags.c_contiguous else np.array(y, order="C")


@op
def window_sum(x: Array, *, kernel: Ints, stride: Ints, padding: Ints, out_size: Ints) -> Array:
    """The sum over each window, zeros beyond the border: (..., *in) -> (..., *out_size)."""
    d = len(kernel)
    size = x.shape[-d:]
    given, reach = x, _reach(kernel, stride, out_size)
    if any(padding) or any(r > n for r, n in zip(reach, size)):
        wide = tuple(max(r, p + n) for r, p, n in zip(reach, padding, size))
        padded: Any = np.zeros((*x.shape[:-d], *wide), x.dtype)
        padded[(..., *(slice(p, p + n) for p, n in zip(padding, size)))] = x
        x = padded
    for axis, k, s, n in zip(range(-d, 0), kernel, stride, out_size):
        if n == 1:
            x = x[_along(axis, slice(0, k))].sum(axis, keepdims=True)
            continue
        taps = [x[_along(axis, slice(i, i + s * (n - 1) + 1, s))] for i in range(k)]
        y = taps[0] + taps[1] if k > 1 else taps[0]
        for tap in taps[2:]:
            y += tap
        x = y
    return _own(x, given)


@op
def window_spread(x: Array, *, size: Ints, kernel: Ints, stride: Ints, padding: Ints) -> Array:
    """The adjoint of ``window_sum``: each element added to all of its window: (..., *out) -> (..., *size)."""
    d = len(kernel)
    given, out = x, x.shape[-d:]
    for axis, k, s, n, whole, p in zip(range(-d, 0), kernel, stride, out, size, padding):
        reach = s * (n - 1) + k
        length = max(reach, p + whole)
        shape = (*x.shape[:axis], length, *x.shape[x.ndim + axis + 1 :])
        apart = s >= k
        y = (np.empty if apart and s == k and reach == length else np.zeros)(shape, x.dtype)
        for i in range(k):
            target = y[_along(axis, slice(i, i + s * (n - 1) + 1, s))]
            if apart:
                target[...] = x
            else:
                target += x
        x = y[_along(axis, slice(p, p + whole))] if (p, length) != (0, whole) else y
    return _own(x, given)


window_sum.pull(
    x=lambda g, x_shape, *, kernel, stride, padding: window_spread(
        g, size=tuple(x_shape[-len(kernel) :]), kernel=kernel, stride=stride, padding=padding
    )
)
window_spread.pull(
    x=lambda g, x_shape, *, kernel, stride, padding: window_sum(
        g, kernel=kernel, stride=stride, padding=padding, out_size=tuple(x_shape[-len(kernel) :])
    )
)


def bins(n: int, out: int) -> tuple[Array, Array]:
    """First and one past the last index of each of ``out`` adaptive windows over ``n`` elements."""
    i = np.arange(out)
    return i * n // out, -((-(i + 1) * n) // out)


@op
def adaptive_avg(x: Array, *, out_size: Ints) -> Array:
    """The mean over ``out_size`` windows that cover the input as evenly as whole numbers allow."""
    given, d = x, len(out_size)
    if 0 in out_size:
        return np.zeros((*x.shape[:-d], *out_size), x.dtype)
    if all(out == 1 for out in out_size) and x.dtype.itemsize >= 4:
        # One mean per plane, as a product: NumPy's sum over short rows takes ten times as long.
        rows = x.reshape(*x.shape[:-d], math.prod(x.shape[-d:]))
        n = rows.shape[-1]
        return (rows @ np.full(n, 1 / n, x.dtype)).reshape(*x.shape[:-d], *out_size)
    for axis, out in zip(range(-d, 0), out_size):
        n = x.shape[axis]
        if n == out:
            continue
        if n % out == 0:
            split = x.reshape(*x.shape[:axis], out, n // out, *x.shape[x.ndim + axis + 1 :])
            x = split.sum(axis, dtype=x.dtype)
            x *= x.dtype.type(out / n)
            continue
        first, last = bins(n, out)
        wide = np.concatenate([x, np.zeros_like(x[_along(axis, slice(0, 1))])], axis)
        x = np.add.reduceat(wide, np.stack([first, last], 1).reshape(-1), axis)[_along(axis, slice(0, None, 2))]
        x = x * (1 / (last - first)).astype(x.dtype).reshape(-1, *(1,) * (-axis - 1))
    return _own(x, given)


@op
def adaptive_avg_grad(x: Array, *, size: Ints) -> Array:
    """The adjoint of ``adaptive_avg``: each element spread evenly over its window."""
    given, d = x, len(size)
    out_size = x.shape[-d:]
    if 0 in out_size:
        return np.zeros((*x.shape[:-d], *size), x.dtype)
    for axis, n, out in zip(range(-d, 0), size, out_size):
        if n == out:
            continue
        first, last = bins(n, out)
        share = x * (1 / (last - first)).astype(x.dtype).reshape(-1, *(1,) * (-axis - 1))
        if n % out == 0:
            x = np.repeat(share, n // out, axis)
            continue
        # Window i holds element j where first[i] <= j < last[i]: the adjoint is a product with that 0/1 matrix.
        j = np.arange(n)
        holds = ((first[:, None] <= j) & (j < last[:, None])).astype(x.dtype)
        x = np.moveaxis(np.moveaxis(share, axis, -1) @ holds, -1, axis)
    return _own(x, given)


adaptive_avg.pull(x=lambda g, x_shape, *, out_size: adaptive_avg_grad(g, size=tuple(x_shape[-len(out_size) :])))
adaptive_avg_grad.pull(x=lambda g, x_shape, *, size: adaptive_avg(g, out_size=tuple(x_shape[-len(size) :])))


def shares(
    size: Ints, kernel: Ints, stride: Ints, padding: Ints, out: Ints, include_pad: bool, divisor: int | None
) -> Any:
    """What each window sum is multiplied by to become a mean: a number if all windows count alike, else an array."""
    if divisor is not None:
        return 1.0 / divisor
    counts = []
    for n, k, s, p, o in zip(size, kernel, stride, padding, out):
        start = np.arange(o) * s - p
        low, high = (start, np.minimum(start + k, n + p)) if include_pad else (
            np.maximum(start, 0), np.minimum(start + k, n))  # fmt: skip
        counts.append(high - low)
    if all((c == k).all() for c, k in zip(counts, kernel)):
        return 1.0 / float(np.prod(kernel))
    total = np.ones(())
    for c in counts:
        total = np.multiply.outer(total, c)
    return 1.0 / total
