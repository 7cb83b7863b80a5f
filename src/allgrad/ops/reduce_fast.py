"""Sums and maxima of arrays, faster than NumPy's own and no less accurate.

NumPy adds short rows one at a time and leading axes naively.  Here axes that lie next to each other in memory
are merged, and each group is summed by products with ones, a few hundred terms at a time: BLAS runs them at
memory speed, and the error grows with the logarithm of the length, as in pairwise summation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

_add: Any = np.add.reduce

ROW_SPAN = 1024
"""Terms per product along rows, which BLAS adds in many lanes: 3 roundings' error in float32."""
COLUMN_SPAN = 256
"""Terms per product down columns, which BLAS adds one to the other: 4 roundings' error in float32."""
SMALL = 1024
"""Elements below which NumPy's own sum costs less than the detour."""

_ones: dict[tuple[Any, int], Array] = {}


def ones(n: int, dtype: Any) -> Array:
    """A shared vector of ones, read-only; ``n`` is at most ``ROW_SPAN``."""
    found = _ones.get((dtype, n))
    if found is None:
        found = np.ones(n, dtype)
        found.flags.writeable = False
        _ones[dtype, n] = found
    return found


def is_half(dtype: Any) -> bool:
    """Whether sums of this dtype must be taken in float32: float16, bfloat16."""
    return dtype.itemsize == 2 and dtype.kind not in "iub"


def total(x: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    """Sum over ``axes`` (sorted, non-negative); integers and bools sum to int64, halves through float32."""
    dtype = x.dtype
    if dtype.kind in "iub":
        return np.sum(x, axis=axes, dtype=np.int64, keepdims=keepdim)
    if x.size < SMALL or not axes:
        if is_half(dtype):
            return np.sum(x, axis=axes, dtype=np.float32, keepdims=keepdim).astype(dtype)
        return _add(x, axis=axes, keepdims=keepdim)
    if is_half(dtype):
        return total(x.astype(np.float32), axes, keepdim).astype(dtype)
    shape = x.shape
    if not x.flags.c_contiguous:
        # In the order of memory a transposed array is contiguous again.
        order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
        y = x.transpose(order)
        if not y.flags.c_contiguous:
            return _add(x, axis=axes, keepdims=keepdim)
        if order[: len(axes)] == list(axes) or order[x.ndim - len(axes) :] == list(axes) or len(axes) == x.ndim:
            y = _by_groups(y, tuple(sorted(order.index(a) for a in axes)))
            left = [i for i in order if i not in axes]
            y = y.transpose([left.index(i) for i in sorted(left)])
        else:
            return _add(x, axis=axes, keepdims=keepdim)
    else:
        y = _by_groups(x, axes)
    if keepdim:
        return y.reshape(tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return y


def _by_groups(x: Array, axes: tuple[int, ...]) -> Array:
    """Sum a contiguous array over ``axes``, one run of neighbouring axes after the other, the last one first."""
    shape = x.shape
    end = len(axes)
    while end:
        start = end - 1
        while start and axes[start - 1] == axes[start] - 1:
            start -= 1
        first, last = axes[start], axes[end - 1] + 1
        x = _one_group(x, shape[:first], shape[first:last], shape[last:])
        shape = shape[:first] + shape[last:]
        end = start
    return x


def _one_group(x: Array, before: tuple[int, ...], over: tuple[int, ...], after: tuple[int, ...]) -> Array:
    rows, n, columns = _count(before), _count(over), _count(after)
    if columns == 1:
        return _rows(x.reshape(rows, n)).reshape(before + after)
    if columns < 8 and rows > 1:
        return _add(x.reshape(rows, n, columns), axis=1).reshape(before + after)
    return _columns(x.reshape(rows, n, columns)).reshape(before + after)


def _rows(x: Array) -> Array:
    """Sums of rows: (rows, n) -> (rows,)."""
    rows, n = x.shape
    if n <= ROW_SPAN:
        return x @ ones(n, x.dtype)
    whole, left = divmod(n, ROW_SPAN)
    if not left or rows == 1:
        head = x[:, : whole * ROW_SPAN].reshape(rows * whole, ROW_SPAN) @ ones(ROW_SPAN, x.dtype)
        y = _rows(head.reshape(rows, whole))
        return y + x[:, whole * ROW_SPAN :] @ ones(left, x.dtype) if left else y
    # Pieces of rows are strided: a product takes the stride, a reshape would copy.
    part = np.empty((rows, whole + 1), x.dtype)
    for k in range(whole + 1):
        piece = x[:, k * ROW_SPAN : (k + 1) * ROW_SPAN]
        part[:, k] = piece @ ones(piece.shape[1], x.dtype)
    return _rows(part)


def _columns(x: Array) -> Array:
    """Sums over the middle: (rows, n, columns) -> (rows, columns)."""
    rows, n, columns = x.shape
    if n <= COLUMN_SPAN:
        return np.matmul(ones(n, x.dtype), x)
    whole, left = divmod(n, COLUMN_SPAN)
    part = np.empty((rows, whole + (left > 0), columns), x.dtype)
    for r in range(rows):
        np.matmul(
            ones(COLUMN_SPAN, x.dtype), x[r, : n - left].reshape(whole, COLUMN_SPAN, columns), out=part[r, :whole]
        )
        if left:
            np.matmul(ones(left, x.dtype), x[r, n - left :], out=part[r, whole])
    return _columns(part)


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for i in shape:
        n *= i
    return n


def largest(x: Array, axis: int) -> Array:
    """Maximum along one axis, kept with length one; nan wins.  Short last axes go by another road."""
    n = x.shape[axis]
    if (axis == x.ndim - 1 or axis == -1) and 1 < n < 512 and x.size >= SMALL and x.flags.c_contiguous:
        flat = x.reshape(-1, n)
        if n <= 24:
            y = np.ascontiguousarray(flat.T).max(axis=0)
            return y.reshape(x.shape[:-1] + (1,))
        if x.dtype.kind == "f" and x.itemsize > 2:
            best = flat.argmax(axis=1)
            best += np.arange(0, flat.size, n)
            return flat.reshape(-1).take(best).reshape(x.shape[:-1] + (1,))
    return np.maximum.reduce(x, axis=axis, keepdims=True)
