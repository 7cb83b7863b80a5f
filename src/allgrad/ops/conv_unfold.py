"""``unfold`` and ``fold``: images to columns and back, each the adjoint of the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.conv_columns import Geometry
from allgrad.ops.op import op

Array = Any
Ints = tuple[int, ...]


@op
def unfold_columns(x: Array, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Array:
    """What each window sees, as a column: (n, c, *size) -> (n, c * taps, windows)."""
    geometry = Geometry(x.shape[2:], kernel, stride, padding, dilation, 1)
    n, c = x.shape[:2]
    padded = x
    if any(padding):
        padded = np.zeros((n, c, *geometry.padded), x.dtype)
        padded[geometry.inner] = x
    return np.array(geometry.windows(padded), order="C").reshape(n, c * math.prod(kernel), math.prod(geometry.out))


@op
def fold_columns(x: Array, *, size: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Array:
    """Columns added up where their windows lie: (n, c * taps, windows) -> (n, c, *size)."""
    geometry = Geometry(size, kernel, stride, padding, dilation, 1)
    n, c = x.shape[0], x.shape[1] // math.prod(kernel)
    taps = x.reshape(n, c, *kernel, *geometry.out)
    padded = np.zeros((n, c, *geometry.padded), x.dtype)
    for at in np.ndindex(kernel):
        padded[geometry.tap(at)] += taps[(slice(None), slice(None), *at)]
    return np.ascontiguousarray(padded[geometry.inner])


unfold_columns.pull(
    x=lambda g, x_shape, *, kernel, stride, padding, dilation: fold_columns(
        g, size=tuple(x_shape[2:]), kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )
)
fold_columns.pull(
    x=lambda g, *, kernel, stride, padding, dilation: unfold_columns(
        g, kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )
)
