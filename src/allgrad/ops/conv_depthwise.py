"""Convolution of each channel with a kernel of its own: too thin for products, so tap by tap, multiply and add.

The padded images lie flat, so that a tap is one long shift of a channel and the loops inside NumPy are long; what
runs over the end of a row lands in columns that are cut off at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from allgrad.ops.conv_columns import Taps, overlap

Array = Any
Ints = tuple[int, ...]

BLOCK = 1 << 15
"""Elements that go through all taps at a time: 128 KiB of float32."""


class _Flat:
    """The padded images of a block laid flat: as far as the taps reach, strides included."""

    def __init__(self, taps: Taps) -> None:
        self.taps = taps
        self.shape = tuple(
            (n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(taps.out, taps.stride, taps.dilation, taps.kernel)
        )
        self.steps = [math.prod(self.shape[a + 1 :]) for a in range(len(self.shape))]
        self.offsets = [
            sum(t * d * step for t, d, step in zip(tap, taps.dilation, self.steps))
            for tap in product(*map(range, taps.kernel))
        ]
        self.length = math.prod(self.shape) - max(self.offsets)

    def blocks(self, x: Array) -> Iterator[tuple[slice, Array]]:
        """(images, their padded elements (images, channels, flat)) block by block, in one buffer."""
        n, c = x.shape[:2]
        images = max(1, min(n, BLOCK // max(1, c * math.prod(self.shape))))
        padded: Array = np.zeros((images, c, *self.shape), x.dtype)
        spans = [overlap(a, 1, n, size) for a, n, size in zip(self.taps.start, self.shape, self.taps.size)]
        to = (slice(None), slice(None), *(s[0] for s in spans))
        origin = (slice(None), slice(None), *(s[1] for s in spans))
        for start in range(0, n, images):
            part = slice(start, min(n, start + images))
            used = padded[: part.stop - part.start]
            used[to] = x[part][origin]
            yield part, used.reshape(len(used), c, -1)

    def results(self, flat: Array) -> Array:
        """A view of the output elements among flat ones: (images, channels, *out)."""
        n, c = flat.shape[:2]
        spread = flat.reshape(n, c, *self.shape)
        ends = (slice(0, (k - 1) * s + 1, s) for k, s in zip(self.taps.out, self.taps.stride))
        return spread[(slice(None), slice(None), *ends)]


def depthwise(x: Array, weight: Array, y: Array, taps: Taps) -> None:
    """(n, c, *size), (c, 1, *kernel) -> ``y`` (n, c, *out)."""
    flat = _Flat(taps)
    factors = weight.reshape(len(weight), -1)
    total: Array = None
    for part, seen in flat.blocks(x):
        if total is None or len(total) != len(seen):
            total, term = np.zeros(seen.shape, x.dtype), np.empty((*seen.shape[:2], flat.length), x.dtype)
        for k, offset in enumerate(flat.offsets):
            shifted = seen[:, :, offset : offset + flat.length]
            if k == 0:
                np.multiply(shifted, factors[:, :1], out=total[:, :, : flat.length])
            else:
                np.multiply(shifted, factors[:, k, None], out=term)
                total[:, :, : flat.length] += term
        y[part] = flat.results(total)


def depthwise_weight_grad(x: Array, y: Array, kernel: Ints, taps: Taps) -> Array:
    """(n, c, *size), (n, c, *out) -> (c, 1, *kernel): inner products of shifted images with the gradient."""
    flat = _Flat(taps)
    total: Array = np.zeros((len(flat.offsets), x.shape[1]), x.dtype)
    for part, seen in flat.blocks(x):
        given = np.zeros(seen.shape, x.dtype)
        flat.results(given)[...] = y[part]
        for k, offset in enumerate(flat.offsets):
            total[k] += np.vecdot(seen[:, :, offset : offset + flat.length], given[:, :, : flat.length]).sum(0)
    return np.ascontiguousarray(total.T).reshape(x.shape[1], 1, *kernel)
