"""Batch norm and 2 x 2 pooling of images in float32; the twins are in ``allgrad.ops.norm`` and ``allgrad.ops.pool_max``.

Images are (n, c, elements).  Sums over a plane are float32, those over the planes of a channel float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.fast.compiled import exact, summing
from allgrad.fast.numbers import ZERO

Array = np.ndarray[Any, Any]


@summing
def moments(x: Array, mean: Array, var: Array) -> None:
    """Mean and biased variance (c,) of each channel, the variance about the mean."""
    n, c, width = x.shape
    for k in range(c):
        total = 0.0
        for i in range(n):
            plane, part = x[i, k], ZERO
            for j in range(width):
                part += plane[j]
            total += float(part)
        middle = np.float32(total / (n * width))
        total = 0.0
        for i in range(n):
            plane, part = x[i, k], ZERO
            for j in range(width):
                d = plane[j] - middle
                part += d * d
            total += float(part)
        mean[k], var[k] = middle, total / (n * width)


@summing
def scaled(x: Array, mean: Array, scale: Array, shift: Array, y: Array) -> None:
    """``(x - mean) * scale + shift`` per channel."""
    n, c, width = x.shape
    for i in range(n):
        for k in range(c):
            plane, out = x[i, k], y[i, k]
            m, s, b = mean[k], scale[k], shift[k]
            for j in range(width):
                out[j] = (plane[j] - m) * s + b


@summing
def dots(g: Array, x: Array, mean: Array, total: Array, dot: Array) -> None:
    """Sums of ``g`` and of ``g * (x - mean)`` per channel; planes as they lie in memory, for ``x`` is in no cache any more."""
    n, c, width = x.shape
    whole, along = np.zeros(c), np.zeros(c)
    for i in range(n):
        for k in range(c):
            given, plane, m = g[i, k], x[i, k], mean[k]
            a, b = ZERO, ZERO
            for j in range(width):
                a += given[j]
                b += given[j] * (plane[j] - m)
            whole[k] += float(a)
            along[k] += float(b)
    for k in range(c):
        total[k], dot[k] = whole[k], along[k]


@summing
def combined(g: Array, x: Array, mean: Array, scale: Array, slope: Array, level: Array, out: Array) -> None:
    """``g * scale + (x - mean) * slope + level`` per channel."""
    n, c, width = x.shape
    for i in range(n):
        for k in range(c):
            given, plane, into = g[i, k], x[i, k], out[i, k]
            m, s, t, b = mean[k], scale[k], slope[k], level[k]
            for j in range(width):
                into[j] = given[j] * s + (plane[j] - m) * t + b


@exact
def pool_2x2_pull(x: Array, y: Array, g: Array, out: Array) -> None:
    """``g`` to the first of the four that equals the maximum ``y``: (planes, 2 h.., 2 w..), (planes, h, w) twice."""
    planes, h, w = y.shape
    for p in range(planes):
        for r in range(h):
            upper, lower = x[p, 2 * r], x[p, 2 * r + 1]
            into, below = out[p, 2 * r], out[p, 2 * r + 1]
            best, given = y[p, r], g[p, r]
            for j in range(w):
                m, v = best[j], given[j]
                a = upper[2 * j] == m
                b = (upper[2 * j + 1] == m) and not a
                c = (lower[2 * j] == m) and not (a or b)
                d = (lower[2 * j + 1] == m) and not (a or b or c)
                into[2 * j] = v if a else ZERO
                into[2 * j + 1] = v if b else ZERO
                below[2 * j] = v if c else ZERO
                below[2 * j + 1] = v if d else ZERO
