"""Resampling: each output element a weighted sum of a few input elements, axis by axis.

Nearest, linear and cubic interpolation in any number of dimensions are this one linear op with different tables.
A table of one axis is (index, weight), both (taps, out): ``y[i] = sum_t weight[t, i] * x[index[t, i]]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any
Table = tuple[Array, Array]


def _own(y: Array, given: Array) -> Array:
    return y if y is not given and y.base is None and y.flags.c_contiguous else np.array(y, order="C")


@op
def resample(x: Array, *, tables: tuple[Any, ...], size: tuple[int, ...]) -> Array:
    """The last axes resampled by one table each, None for an axis that stays: (..., *size) -> (..., *out)."""
    given = x
    for axis, table in zip(range(-len(tables), 0), tables):
        if table is None:
            continue
        index, weight = table
        if len(index) == 1 and (weight == 1).all():
            x = np.take(x, index[0], axis=axis)
            continue
        y = None
        for at, w in zip(index, weight):
            part = np.take(x, at, axis=axis)
            part *= w.astype(x.dtype).reshape(-1, *(1,) * (-axis - 1))
            y = part if y is None else np.add(y, part, out=y)
        x = y
    return _own(x, given)


@op
def resample_grad(y: Array, *, tables: tuple[Any, ...], size: tuple[int, ...]) -> Array:
    """The adjoint: (..., *out) -> (..., *size), each axis a product with its table written out as a matrix."""
    given = y
    for axis, table, n in zip(range(-len(tables), 0), tables, size):
        if table is None:
            continue
        index, weight = table
        matrix = np.zeros((index.shape[1], n))
        np.add.at(matrix, (np.arange(index.shape[1])[None, :].repeat(len(index), 0), index), weight)
        matrix = matrix.astype(y.dtype)
        if axis == -1:
            y = y @ matrix
        else:  # (..., out, rest): the matrix from the left
            rest = y.shape[y.ndim + axis + 1 :]
            flat = y.reshape(*y.shape[: y.ndim + axis + 1], -1)
            y = np.matmul(matrix.T, flat).reshape(*y.shape[: y.ndim + axis], n, *rest)
    return _own(y, given)


resample.pull(x=lambda g, *, tables, size: resample_grad(g, tables=tables, size=size))
resample_grad.pull(y=lambda g, *, tables, size: resample(g, tables=tables, size=size))


def nearest(n: int, out: int, scale: float, *, centre: bool, dtype: Any) -> Table:
    """The nearest element below (PyTorch's "nearest"), or to the centre ("nearest-exact")."""
    kind: Any = np.float64 if dtype == np.float64 else np.float32
    at = np.arange(out).astype(kind)
    at = (at + kind(0.5 if centre else 0)) * kind(scale)
    return np.minimum(np.floor(at).astype(np.int64), n - 1)[None], np.ones((1, out))


def _places(out: int, scale: float, align_corners: bool, dtype: Any) -> Array:
    """Where each output element lies among the input elements."""
    kind: Any = np.float64 if dtype == np.float64 else np.float32
    i = np.arange(out).astype(kind)
    if align_corners:
        return i * kind(scale)
    return (i + kind(0.5)) * kind(scale) - kind(0.5)


def linear(n: int, out: int, scale: float, align_corners: bool, dtype: Any) -> Table:
    """Between the two neighbours, the border element repeated."""
    at = np.maximum(_places(out, scale, align_corners, dtype), 0)
    low = np.minimum(np.floor(at).astype(np.int64), n - 1)
    part = np.clip(at - low, 0, 1)
    return np.stack([low, np.minimum(low + 1, n - 1)]), np.stack([1 - part, part])


def cubic_weight(t: Array, a: float) -> Array:
    """Keys' cubic kernel at distance ``t`` with parameter ``a``."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * t * a - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def cubic(n: int, out: int, scale: float, align_corners: bool, dtype: Any) -> Table:
    """Keys' cubic convolution over four neighbours, a = -0.75, the border element repeated."""
    at = _places(out, scale, align_corners, dtype)
    low = np.floor(at)
    part = at - low
    steps = np.arange(-1, 3)[:, None]
    index = np.clip(low.astype(np.int64) + steps, 0, n - 1)
    return index, cubic_weight(part - steps, -0.75)


def smoothed(n: int, out: int, scale: float, *, cubic: bool) -> Table:
    """Antialiased: the kernel widened by the scale when shrinking, weights normalized per output element."""
    width = 4 if cubic else 2
    widen = max(scale, 1.0)
    support = width / 2 * widen
    centre = scale * (np.arange(out) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), n)
    taps = np.arange(max(1, int((last - first).max(initial=0))))[:, None]
    t = (taps + first - centre + 0.5) / widen
    weight = cubic_weight(t, -0.5) if cubic else np.maximum(0, 1 - np.abs(t))
    weight = np.where(first + taps < last, weight, 0.0)
    return np.minimum(first + taps, n - 1), weight / weight.sum(0)
