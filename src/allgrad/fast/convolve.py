"""Convolution of float32 images and its weight gradient, tile by tile; the twins are in ``allgrad.ops.conv_compute``.

Columns as there: for each channel, tap of a row and phase, the rows of the images as that tap sees them, so the taps of
a column of the kernel are the same lines further down.  ``places`` tells where in the columns of an image each weight
(channel, tap of a column, tap of a row) begins; outputs are long lines from there on.

``plan``: start, stride along the first axis, the same and dilation along the second, taps of a row, rows of outputs at a
time, rows of a column, images at a time.  ``phases``: which rows, modulo the stride, the taps of a column fall on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.fast.compiled import exact, summing
from allgrad.fast.tiles import LANES, LOW, ROWS, WIDE, clear, copy, gather, spread, turn

Array = np.ndarray[Any, Any]

_spread_wide, _spread = spread(ROWS, WIDE), spread(ROWS, 1)
_spread_low_wide, _spread_low = spread(LOW, WIDE), spread(LOW, 1)
_gather_wide, _gather = gather(ROWS, WIDE), gather(ROWS, 1)


@exact
def fill(
    x: Array, image: int, shape: Any, first: int, plan: Array, phases: Array, width: int, y: Array, to: int
) -> None:
    """The columns of one image, from output row ``first`` on: x flat, images of ``shape`` (c, h, w)."""
    c, h, w = shape
    down, step, right, apart, dilation, taps, count = plan[0], plan[1], plan[2], plan[3], plan[4], plan[5], plan[7]
    whole = step == 1 and apart == 1 and width == w
    for k in range(c):
        plane = (image * c + k) * h * w
        for t in range(taps):
            shift = right + t * dilation
            low = min(width, -(shift // apart)) if shift < 0 else 0
            high = max(low, min(width, (w - 1 - shift) // apart + 1))
            for phase in phases:
                row = down + phase + first * step
                seen = min(count, -(row // step)) if row < 0 else 0
                end = max(seen, min(count, (h - 1 - row) // step + 1))
                clear(y, to, 1, seen * width)
                clear(y, to + end * width, 1, (count - end) * width)
                origin = plane + (row + seen * step) * w + shift + low * apart
                at = to + seen * width
                if whole and high > low and end > seen:
                    # One long shift; what crosses from row to row is cleared.
                    copy(x, origin, 1, y, at + low, (end - seen) * width - low - (width - high))
                else:
                    for r in range(end - seen):
                        copy(x, origin + r * step * w, apart, y, at + low + r * width, high - low)
                for j in range(low):
                    clear(y, at + j, width, end - seen)
                for j in range(high, width):
                    clear(y, at + j, width, end - seen)
                to += count * width


@exact
def block(row: int, rows: int) -> tuple[int, int]:
    """The tile at or before ``row``: (its first row, its height); the last ones overlap those before."""
    left = rows - row
    if left >= ROWS:
        return row, ROWS
    if left > LOW and rows >= ROWS:
        return rows - ROWS, ROWS
    return min(row, rows - LOW), LOW


@exact
def pack(weight: Array, packed: Array) -> None:
    """Weights (o, c, taps, taps) in the order in which tiles read them: per tile, the rows of each column together."""
    o, c, down, right = weight.shape
    row, at = 0, 0
    while row < o:
        row, high = block(row, o)
        rows, size = weight[row : row + high], c * down * right * high
        into = packed[at : at + size].reshape(c, down, right, high)
        for k in range(c):
            for i in range(down):
                for j in range(right):
                    for r in range(high):
                        into[k, i, j, r] = rows[r, k, i, j]
        at += size
        row += high


@summing
def lines(
    y: Array, to: int, step: int, high: int, shift: Array, row: int,
    packed: Array, at: int, x: Array, origin: int, places: Array, length: int,
) -> None:  # fmt: skip
    """``high`` lines of a product: ``y[to + r step + q] = shift[row + r] + sum of weights * x[origin + places + q]``."""
    terms, q = places.size, 0
    while q < length:
        if length - q >= WIDE * LANES:
            if high == ROWS:
                _spread_wide(y, to + q, step, shift, row, packed, at, x, origin + q, places, terms)
            else:
                _spread_low_wide(y, to + q, step, shift, row, packed, at, x, origin + q, places, terms)
            q += WIDE * LANES
        else:
            q = min(q, length - LANES)
            if high == ROWS:
                _spread(y, to + q, step, shift, row, packed, at, x, origin + q, places, terms)
            else:
                _spread_low(y, to + q, step, shift, row, packed, at, x, origin + q, places, terms)
            q += LANES


@summing
def correlate(x: Array, packed: Array, shift: Array, places: Array, plan: Array, phases: Array, y: Array) -> None:
    """(n, c, h, w), packed weights, (o,) -> ``shift`` plus sums, ``y`` (n, o, h', w'); o >= LOW and h' w' >= LANES."""
    n, c, h, w = x.shape
    o, height, width = y.shape[1:]
    band, several = plan[6], plan[8]
    size = c * plan[5] * phases.size * plan[7] * width
    columns = np.empty(several * size, np.float32)
    flat, out, plane = x.reshape(-1), y.reshape(-1), height * width
    for begin in range(0, height, band):
        first = min(begin, height - band)
        for start in range(0, n, several):
            images = min(several, n - start)
            for i in range(images):
                fill(flat, start + i, (c, h, w), first, plan, phases, width, columns, i * size)
            row, at = 0, 0
            while row < o:
                row, high = block(row, o)
                for i in range(images):
                    to = ((start + i) * o + row) * plane + first * width
                    lines(out, to, plane, high, shift, row, packed, at, columns, i * size, places, band * width)
                at += places.size * high
                row += high


@exact
def turned(g: Array, at: int, plane: int, rows: int, length: int, y: Array, to: int, width: int) -> None:
    """Lines of ``g``, a plane apart, to columns of ``y``: ``y[to + q width + r] = g[at + r plane + q]``."""
    if rows < LANES or length < LANES:
        for r in range(rows):
            for q in range(length):
                y[to + q * width + r] = g[at + r * plane + q]
        return
    for r in range(0, rows, LANES):
        row = min(r, rows - LANES)
        for q in range(0, length, LANES):
            place = min(q, length - LANES)
            turn(g, at + row * plane + place, plane, y, to + place * width + row, width)


@summing
def weight_grad(x: Array, g: Array, places: Array, plan: Array, phases: Array, y: Array) -> None:
    """(n, c, h, w), (n, o, h', w') -> ``y`` (o, c, taps, taps) flattened to (o, terms); ``places`` filled up to whole tiles."""
    n, c, h, w = x.shape
    o, height, width = g.shape[1:]
    band, several = plan[6], plan[8]
    size = c * plan[5] * phases.size * plan[7] * width
    wide = (o + LANES - 1) // LANES * LANES
    columns, sums = np.empty(several * size, np.float32), np.zeros(places.size * wide, np.float32)
    given = np.zeros(several * band * width * wide, np.float32)
    flat, out, plane = x.reshape(-1), g.reshape(-1), height * width
    for first in range(0, height, band):
        length = min(band, height - first) * width
        for start in range(0, n, several):
            images = min(several, n - start)
            for i in range(images):
                fill(flat, start + i, (c, h, w), first, plan, phases, width, columns, i * size)
                turned(out, (start + i) * o * plane + first * width, plane, o, length, given, i * length * wide, wide)
            for k in range(0, places.size, ROWS):
                j = 0
                while j < wide:
                    to, several_beside = k * wide + j, wide - j >= WIDE * LANES
                    for i in range(images):
                        origin, beside = i * size, i * length * wide + j
                        if several_beside:
                            _gather_wide(sums, to, wide, columns, origin, places, k, given, beside, length)
                        else:
                            _gather(sums, to, wide, columns, origin, places, k, given, beside, length)
                    j += WIDE * LANES if several_beside else LANES
    for r in range(o):
        for k in range(y.shape[1]):
            y[r, k] = sums[k * wide + r]
