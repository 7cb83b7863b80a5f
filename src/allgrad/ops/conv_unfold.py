"""``unfold`` and ``fold``: images to columns and back, each the adjoint of the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from allgrad.ops.conv_columns import Taps, convolution_taps, overlap
from allgrad.ops.op import op

Array = Any
Ints = tuple[int, ...]


def _places(taps: Taps) -> Iterator[tuple[Any, Any]]:
    """For each tap: (its output elements, as index of a columns array; the input elements they read)."""
    for tap in product(*map(range, taps.kernel)):
        spans = [
            overlap(a + t * d, s, o, n)
            for a, t, d, s, o, n in zip(taps.start, tap, taps.dilation, taps.stride, taps.out, taps.size)
        ]
        lead = (slice(None), slice(None))
        yield (*lead, *tap, *(s[0] for s in spans)), (*lead, *(s[1] for s in spans))


@op
def unfold_columns(x: Array, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Array:
    """What each window sees, as a column: (n, c, *size) -> (n, c * taps, windows)."""
    taps = convolution_taps(x.shape[2:], kernel, stride, padding, dilation)
    n, c = x.shape[:2]
    y: Array = np.zeros((n, c, *kernel, *taps.out), x.dtype)
    for to, origin in _places(taps):
        y[to] = x[origin]
    return y.reshape(n, c * math.prod(kernel), math.prod(taps.out))


@op
def fold_columns(x: Array, *, size: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Array:
    """Columns added up where their windows lie: (n, c * taps, windows) -> (n, c, *size)."""
    taps = convolution_taps(size, kernel, stride, padding, dilation)
    n, c = x.shape[0], x.shape[1] // math.prod(kernel)
    columns = x.reshape(n, c, *kernel, *taps.out)
    y: Array = np.zeros((n, c, *size), x.dtype)
    for origin, to in _places(taps):
        y[to] += columns[origin]
    return y


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
