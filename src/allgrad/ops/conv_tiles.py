"""Convolution of images by compiled tiles (``allgrad.fast.convolve``): where they apply, and where their columns lie."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.conv_columns import BLOCK, Taps

Array = Any
LANES = 16
"""Numbers in the widest vectors: a tile is so many output elements wide, or so many output channels for weights."""
ROWS = 6
"""Output channels that fill the smaller of the tiles."""


def suits(x: Array, weight: Array, taps: Taps, groups: int) -> bool:
    """Whether a convolution goes to the compiled tiles: where planes are large against what a last tile has too much."""
    places = math.prod(taps.out)
    large = places >= 4 * LANES or (places >= LANES and x.shape[1] >= 256)
    return large and len(weight) >= ROWS and _tiled(taps, groups, x, weight)


def suits_weight_grad(x: Array, g: Array, taps: Taps, groups: int) -> bool:
    """The same for its weight gradient: four fifths of the vectors of output channels must be filled."""
    o = g.shape[1]
    filled = o * 5 >= -(-o // LANES) * LANES * 4
    return filled and math.prod(taps.out) >= LANES and _tiled(taps, groups, x, g)


def _tiled(taps: Taps, groups: int, *arrays: Any) -> bool:
    return (
        len(taps.size) == 2
        and groups == 1
        and math.prod(taps.kernel) > 1
        and fast.worth(arrays[0].size)
        and all([type(a) is np.ndarray and a.dtype == np.float32 and a.size > 0 for a in arrays])
    )


def correlate(x: Array, weight: Array, bias: Any, taps: Taps) -> Array:
    """(n, c, h, w), (o, c, *kernel), (o,) or None -> (n, o, *out)."""
    kernels = fast.kernels("convolve")
    o = len(weight)
    places, plan, phases = _plan(taps, x.shape[1], 1, len(x))
    packed = np.empty((o + 8) * math.prod(weight.shape[1:]), np.float32)
    kernels.pack(weight, packed)
    shift = np.zeros(o, np.float32) if bias is None else np.ascontiguousarray(bias, np.float32)
    y: Array = np.empty((len(x), o, *taps.out), np.float32)
    kernels.correlate(np.ascontiguousarray(x), packed, shift, places, plan, phases, y)
    return y


def weight_grad(x: Array, g: Array, taps: Taps) -> Array:
    """(n, c, h, w), (n, o, *out) -> (o, c, *kernel)."""
    places, plan, phases = _plan(taps, x.shape[1], 8, len(x))
    y: Array = np.empty((g.shape[1], x.shape[1] * math.prod(taps.kernel)), np.float32)
    fast.kernels("convolve").weight_grad(np.ascontiguousarray(x), np.ascontiguousarray(g), places, plan, phases, y)
    return y.reshape(g.shape[1], x.shape[1], *taps.kernel)


@lru_cache(maxsize=256)
def _plan(taps: Taps, channels: int, multiple: int, images: int) -> tuple[Array, Array, Array]:
    """``places``, ``plan`` and ``phases`` of the kernels; places are filled up to a multiple with the first one."""
    (down, right), (height, width), (stride, apart) = taps.kernel, taps.out, taps.stride
    reach = [t * taps.dilation[0] for t in range(down)]
    phases = sorted({r % stride for r in reach})
    below = max(r // stride for r in reach)
    per_row = channels * right * len(phases) * width
    bands = math.ceil(per_row * (height + below) / (2 * BLOCK))  # an image by itself may be too large
    band = max(math.ceil(height / max(1, bands)), math.ceil(LANES / width))
    count = band + below
    several = max(1, min(images, BLOCK // (per_row * count)))
    places = [
        ((c * right + j) * len(phases) + phases.index(r % stride)) * count * width + r // stride * width
        for c in range(channels)
        for r in reach
        for j in range(right)
    ]
    places += places[:1] * (-len(places) % multiple)
    plan = (taps.start[0], stride, taps.start[1], apart, taps.dilation[1], right, band, count, several)
    return np.array(places, np.int64), np.array(plan, np.int64), np.array(phases, np.int64)
