"""Convolution of images by compiled tiles (``allgrad.fast.convolve``): where they apply, and where their columns lie."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.conv_columns import BLOCK, Taps

Array = Any
LEAST = 16
"""Output elements of an image that fill a vector of a tile."""
OUTPUTS, OUTPUTS_OF_GRADIENT = 6, 8
"""Output channels from which tiles are full enough to win: rows of a tile there, half a vector in the weight gradient."""


def suits(taps: Taps, groups: int, outputs: int, *arrays: Any) -> bool:
    """Whether float32 images, their weights or gradients, go to the compiled tiles, which then have so many outputs."""
    first = arrays[0]
    return (
        outputs >= OUTPUTS
        and len(taps.size) == 2
        and groups == 1
        and fast.worth(first.size)
        and math.prod(taps.out) >= LEAST
        and math.prod(taps.kernel) > 1
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
    band = max(math.ceil(height / max(1, bands)), math.ceil(LEAST / width))
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
