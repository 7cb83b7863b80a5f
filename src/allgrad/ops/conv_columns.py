"""How a convolution is computed: columns of the input against the weight, one product per block of images.

A column holds what one output element sees: (c * kernel taps).  Columns of all images at once would be
``taps`` times the input, far outside the cache, so a block of images at a time goes through one reused buffer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Ints = tuple[int, ...]

BLOCK = 1 << 17
"""Elements of a column buffer: 512 KiB of float32, half of a common L2 cache."""


@dataclass(frozen=True)
class Geometry:
    """Where the taps of a convolution fall: sizes are those of the spatial axes."""

    size: Ints
    kernel: Ints
    stride: Ints
    padding: Ints
    dilation: Ints
    groups: int

    @property
    def out(self) -> Ints:
        """Output sizes."""
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(self.size, self.kernel, self.stride, self.padding, self.dilation)
        )

    @property
    def padded(self) -> Ints:
        """Input sizes with the padding of both sides."""
        return tuple(n + 2 * p for n, p in zip(self.size, self.padding))

    @property
    def pointwise(self) -> bool:
        """Whether each output element sees one position, and each position is seen once: a plain product."""
        return all(k == 1 for k in self.kernel) and all(s == 1 for s in self.stride) and not any(self.padding)

    @property
    def inner(self) -> tuple[slice, ...]:
        """The input inside its padded buffer."""
        return (slice(None), slice(None), *(slice(p, p + n) for p, n in zip(self.padding, self.size)))

    def tap(self, at: Ints) -> tuple[slice, ...]:
        """The positions of the padded input that one tap of the kernel meets, one per output element."""
        starts = (i * d for i, d in zip(at, self.dilation))
        return (
            slice(None),
            slice(None),
            *(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, self.stride, self.out)),
        )

    def windows(self, padded: Array) -> Array:
        """A view: (n, c, *padded) -> (n, c, *kernel, *out)."""
        n, c = padded.shape[:2]
        steps = padded.strides[2:]
        return np.lib.stride_tricks.as_strided(
            padded,
            (n, c, *self.kernel, *self.out),
            (
                *padded.strides[:2],
                *(d * step for d, step in zip(self.dilation, steps)),
                *(s * step for s, step in zip(self.stride, steps)),
            ),
            writeable=False,
        )

    def block(self, channels: int) -> int:
        """Images per block."""
        return max(1, BLOCK // max(1, channels * math.prod(self.kernel) * math.prod(self.out)))


class Columns:
    """The columns of one block of images after another, in one buffer: (images, groups, c/groups * taps, out)."""

    def __init__(self, x: Array, geometry: Geometry) -> None:
        self.x, self.geometry = x, geometry
        n, c = x.shape[:2]
        self.images = min(n, geometry.block(c))
        self.padded = np.zeros((self.images, c, *geometry.padded), x.dtype) if any(geometry.padding) else None
        self.buffer = np.empty((self.images, c, *geometry.kernel, *geometry.out), x.dtype)

    def __call__(self, start: int) -> Array:
        geometry = self.geometry
        block = self.x[start : start + self.images]
        if self.padded is not None:
            padded = self.padded[: len(block)]
            padded[geometry.inner] = block
            block = padded
        columns = self.buffer[: len(block)]
        np.copyto(columns, geometry.windows(block))
        return columns.reshape(len(block), geometry.groups, -1, math.prod(geometry.out))


def _wide(*arrays: Any) -> list[Any]:
    """Half precision in float32, where there are products; the rest unchanged."""
    return [a.astype(np.float32) if a is not None and a.dtype.itemsize == 2 else a for a in arrays]


def product(x: Array, weight: Array, bias: Any, geometry: Geometry) -> Array:
    """The convolution: (n, c, *size), (o, c/groups, *kernel), (o,) -> (n, o, *out)."""
    dtype = x.dtype
    x, weight, bias = _wide(x, weight, bias)
    n, o = x.shape[0], weight.shape[0]
    y = np.empty((n, o, *geometry.out), x.dtype)
    if y.size:
        rows = weight.reshape(geometry.groups, o // geometry.groups, -1)
        target = y.reshape(n, geometry.groups, o // geometry.groups, -1)
        if geometry.pointwise:
            np.matmul(rows, x.reshape(n, geometry.groups, rows.shape[2], -1), out=target)
            if bias is not None:
                y += bias.reshape(-1, *(1,) * len(geometry.size))
        else:
            columns = Columns(x, geometry)
            for start in range(0, n, columns.images):
                part = target[start : start + columns.images]
                np.matmul(rows, columns(start), out=part)
                if bias is not None:
                    part += bias.reshape(geometry.groups, -1, 1)
    return y if y.dtype == dtype else y.astype(dtype)


def input_grad(y: Array, weight: Array, bias: Any, geometry: Geometry) -> Array:
    """The adjoint in the input: (n, o, *out), (o, c/groups, *kernel) -> (n, c, *size); plus a bias per channel."""
    dtype = y.dtype
    y, weight, bias = _wide(y, weight, bias)
    groups = geometry.groups
    n, o = y.shape[:2]
    c = weight.shape[1] * groups
    rows = weight.reshape(groups, o // groups, -1).swapaxes(1, 2)
    x = np.zeros((n, c, *geometry.size), y.dtype)
    if x.size and y.size:
        _scatter(x, y, rows, geometry)
    if bias is not None:
        x += bias.reshape(-1, *(1,) * len(geometry.size))
    return x if x.dtype == dtype else x.astype(dtype)


def _scatter(x: Array, y: Array, rows: Array, geometry: Geometry) -> None:
    """Add to ``x``, tap by tap, what each tap of the weight makes of ``y``."""
    groups = geometry.groups
    n, c = x.shape[:2]
    flat = y.reshape(n, groups, rows.shape[2], -1)
    if geometry.pointwise:
        np.matmul(rows, flat, out=x.reshape(n, groups, rows.shape[1], -1))
        return
    images = min(n, geometry.block(c))
    columns = np.empty((images, groups, rows.shape[1], flat.shape[-1]), y.dtype)
    padded = np.empty((images, c, *geometry.padded), y.dtype) if any(geometry.padding) else None
    for start in range(0, n, images):
        count = min(images, n - start)
        np.matmul(rows, flat[start : start + count], out=columns[:count])
        taps = columns[:count].reshape(count, c, *geometry.kernel, *geometry.out)
        if padded is None:
            target = x[start : start + count]
        else:
            target = padded[:count]
            target.fill(0)
        for at in np.ndindex(geometry.kernel):
            target[geometry.tap(at)] += taps[(slice(None), slice(None), *at)]
        if padded is not None:
            x[start : start + count] = target[geometry.inner]


def weight_grad(x: Array, y: Array, geometry: Geometry) -> Array:
    """The adjoint in the weight: (n, c, *size), (n, o, *out) -> (o, c/groups, *kernel)."""
    dtype = x.dtype
    x, y = _wide(x, y)
    groups = geometry.groups
    n, c = x.shape[:2]
    o = y.shape[1]
    shape = (o, c // groups, *geometry.kernel)
    total = np.zeros((groups, o // groups, math.prod(shape[1:])), x.dtype)
    if total.size and y.size:
        flat = y.reshape(n, groups, o // groups, -1)
        if geometry.pointwise:
            total += np.matmul(flat, x.reshape(n, groups, c // groups, -1).swapaxes(2, 3)).sum(0)
        else:
            columns = Columns(x, geometry)
            for start in range(0, n, columns.images):
                found = columns(start)
                total += np.matmul(flat[start : start + len(found)], found.swapaxes(2, 3)).sum(0)
    w = total.reshape(shape)
    return w if w.dtype == dtype else w.astype(dtype)
