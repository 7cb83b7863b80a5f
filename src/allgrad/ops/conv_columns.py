"""Where the taps of a convolution fall, and the columns that turn it into products.

Columns are made over all spatial axes but the first: a column holds what one output element sees in one row of
taps.  The taps along the first axis are then rows of the same columns, further down, so they need no copies:
``kernel[0]`` products read one buffer at different offsets.  Against columns over all taps that is a third of the
copying for a 3 x 3 kernel, and the whole costs little more than its products.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

Array = Any
Ints = tuple[int, ...]

BLOCK = 1 << 17
"""Elements of a column buffer: 512 KiB of float32, half of a common L2 cache."""
KEPT_BYTES = 32 << 20
"""Column buffers that a thread keeps for the next call of the same shape; beyond this all are dropped."""


@dataclass(frozen=True)
class Taps:
    """Tap ``t`` of output element ``o`` reads input element ``start + o * stride + t * dilation`` on each axis.

    What lies outside ``size`` reads as zero; padding before the first element is a negative start.
    """

    size: Ints
    kernel: Ints
    start: Ints
    stride: Ints
    dilation: Ints
    out: Ints

    @property
    def pointwise(self) -> bool:
        """Whether input and output elements correspond one to one: the convolution is a plain product."""
        return self.size == self.out and all(k == 1 and s == 0 for k, s in zip(self.kernel, self.start))

    def widened(self) -> Taps:
        """The same with a first axis of length one, so that columns run over all the others."""
        return Taps(
            (1, *self.size), (1, *self.kernel), (0, *self.start), (1, *self.stride), (1, *self.dilation), (1, *self.out)
        )

    def rows(self, first: int, last: int) -> Taps:
        """The part that makes output rows ``first`` to ``last`` of the first axis."""
        start = self.start[0] + first * self.stride[0]
        return Taps(
            self.size, self.kernel, (start, *self.start[1:]), self.stride, self.dilation, (last - first, *self.out[1:])
        )


@lru_cache(maxsize=512)
def convolution_taps(
    size: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints | None = None
) -> Taps:
    """The taps of a convolution with symmetric padding; ``out`` only where it is fewer elements than fit."""
    if out is None:
        out = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel, stride, padding, dilation)
        )
    return Taps(tuple(size), tuple(kernel), tuple(-p for p in padding), tuple(stride), tuple(dilation), tuple(out))


def overlap(first: int, step: int, count: int, size: int) -> tuple[slice, slice]:
    """Which of ``first + step * i``, i < count, lie in [0, size): (slice of i, slice of the places)."""
    low = max(0, -(first // step)) if first < 0 else 0
    high = min(count, (size - 1 - first) // step + 1)
    if high <= low:
        return slice(0, 0), slice(0, 0)
    return slice(low, high), slice(first + low * step, first + (high - 1) * step + 1, step)


class Columns:
    """The columns of one block of images after another, in one buffer.

    ``buffer`` is (images, c, *kernel[1:], phases, rows, *out[1:]): rows of the input that lie a stride apart follow
    each other, so the taps of one row of the kernel are a contiguous range whatever the stride.
    """

    def __init__(self, taps: Taps, images: int, channels: int, groups: int, dtype: Any) -> None:
        self.taps, self.groups = taps, groups
        reach = [i * taps.dilation[0] for i in range(taps.kernel[0])]
        self.phases = sorted({r % taps.stride[0] for r in reach})
        self.at = [(self.phases.index(r % taps.stride[0]), r // taps.stride[0]) for r in reach]
        self.count = max(at for _, at in self.at) + taps.out[0]
        self.width = math.prod(taps.out[1:])
        shape = (images, channels, *taps.kernel[1:], len(self.phases), self.count, *taps.out[1:])
        # Zeros beyond the border of the other axes are written once; every block leaves them alone.
        self.buffer: Array = np.zeros(shape, dtype)
        self.moves = list(self._moves())

    def _moves(self) -> Iterator[tuple[Any, Any, Any]]:
        """(place in the buffer, place in the images, None) of every copy, or, where rows shift as a whole, places in
        buffer and images with their last two axes joined, and the columns to clear afterwards."""
        taps = self.taps
        rest = range(1, len(taps.size))
        rows = [overlap(taps.start[0] + phase, taps.stride[0], self.count, taps.size[0]) for phase in self.phases]
        whole_rows = len(taps.size) > 1 and taps.stride[-2:] == (1, 1) and taps.out[-1] == taps.size[-1]
        for tap in product(*(range(taps.kernel[a]) for a in rest)):
            spans = [
                overlap(taps.start[a] + t * taps.dilation[a], taps.stride[a], taps.out[a], taps.size[a])
                for a, t in zip(rest, tap)
            ]
            shift = taps.start[-1] + tap[-1] * taps.dilation[-1] if tap else 0
            for phase, row in enumerate(rows):
                both = [row, *spans]
                to: tuple[Any, ...] = (slice(None), slice(None), *tap, phase, *(s[0] for s in both))
                origin = (slice(None), slice(None), *(s[1] for s in both))
                if whole_rows and 0 < abs(shift) < taps.size[-1] and to[-2].start < to[-2].stop:
                    yield self._shifted(to, origin, shift)
                else:
                    yield to, origin, None

    def _shifted(self, to: Any, origin: Any, shift: int) -> tuple[Any, Any, Any]:
        """A shift within rows as one long shift: what crosses from row to row lands in columns that are cleared.

        Copies of short rows, 8 or 16 elements, cost three times as much as this.
        """
        width = self.taps.size[-1]
        there = slice(to[-2].start * width + max(0, -shift), to[-2].stop * width - max(0, shift))
        here = slice(origin[-2].start * width + max(0, shift), origin[-2].stop * width - max(0, -shift))
        crossed = slice(0, -shift) if shift < 0 else slice(width - shift, width)
        return (*to[:-2], there), (*origin[:-2], here), (*to[:-1], crossed)

    def fill(self, images: Array) -> list[Array]:
        """The columns of ``images``, per tap of the first axis: (images, groups, c/groups * taps, out elements)."""
        used = self.buffer[: len(images)]
        joined = used.reshape(*used.shape[:-2], -1)
        lines = images.reshape(*images.shape[:-2], -1)
        for to, origin, clear in self.moves:
            if clear is None:
                used[to] = images[origin]
            else:
                joined[to] = lines[origin]
                used[clear] = 0
        flat = used.reshape(len(images), self.groups, -1, len(self.phases), self.count * self.width)
        length = self.taps.out[0] * self.width
        return [flat[:, :, :, phase, at * self.width : at * self.width + length] for phase, at in self.at]


class _Kept(threading.local):
    """Column buffers by what they are for.  One thread's, because virtual ranks are threads."""

    def __init__(self) -> None:
        self.columns: dict[Any, Columns] = {}
        self.bytes = 0


_kept = _Kept()


def columns_for(taps: Taps, images: int, channels: int, groups: int, dtype: Any) -> Columns:
    """Columns with a buffer that the next call of the same shape uses again: fresh memory costs page faults."""
    key = (taps, images, channels, groups, dtype.char)
    found = _kept.columns.get(key)
    if found is None:
        found = Columns(taps, images, channels, groups, dtype)
        if _kept.bytes + found.buffer.nbytes > KEPT_BYTES:
            _kept.columns.clear()
            _kept.bytes = 0
        _kept.columns[key] = found
        _kept.bytes += found.buffer.nbytes
    return found


def blocks(taps: Taps, images: int, channels: int, whole: bool) -> tuple[int, int]:
    """How many images and how many output rows go through the column buffer at a time.

    ``whole``: the columns run over the first axis too.
    """
    per_row = max(1, channels * math.prod(taps.kernel[0 if whole else 1 :]) * math.prod(taps.out[1:]))
    rows = taps.out[0]
    if per_row * rows > 4 * BLOCK:  # an image by itself is too large: a band of rows at a time
        rows = max(1, min(rows, 2 * BLOCK // per_row))
    return max(1, min(images, BLOCK // (per_row * rows))), rows
