"""A convolution and its two adjoints as products over columns (``conv_columns``), a block of images at a time.

Where compiled kernels are installed, float32 images go to ``conv_tiles``; what is here is their reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from allgrad.ops import conv_tiles
from allgrad.ops.conv_columns import Columns, Taps, blocks, columns_for, overlap
from allgrad.ops.conv_depthwise import depthwise, depthwise_weight_grad

Array = Any
Ints = tuple[int, ...]


def _wide(*arrays: Any) -> list[Any]:
    """Half precision in float32, where there are products; the rest unchanged."""
    return [a.astype(np.float32) if a is not None and a.dtype.itemsize == 2 else a for a in arrays]


def _per_channel(v: Array, axes: int) -> Array:
    return v.reshape(-1, *(1,) * axes)


def correlate(x: Array, weight: Array, bias: Any, taps: Taps, groups: int) -> Array:
    """Products of what the taps see with the weight: (n, c, *size), (o, c/groups, *kernel), (o,) -> (n, o, *out)."""
    dtype = x.dtype
    x, weight, bias = _wide(x, weight, bias)
    n, o = len(x), len(weight)
    y: Array = np.empty((n, o, *taps.out), x.dtype)
    if not y.size:
        return y.astype(dtype, copy=False)
    if conv_tiles.suits(x, weight, taps, groups):
        return conv_tiles.correlate(x, weight, bias, taps)
    if weight.shape[1] == 1 and o == groups:
        depthwise(x, weight, y, taps)
        if bias is not None:
            y += _per_channel(bias, len(taps.out))
        return y.astype(dtype, copy=False)
    target = y.reshape(n, groups, o // groups, -1)
    shift = None if bias is None else bias.reshape(groups, -1, 1)
    if taps.pointwise:
        np.matmul(weight.reshape(groups, o // groups, -1), x.reshape(n, groups, weight.shape[1], -1), out=target)
        if shift is not None:
            target += shift
        return y.astype(dtype, copy=False)
    # Few channels: the products are too thin to be taken apart, so columns run over all axes.
    whole = taps.kernel[0] > 1 and weight.shape[1] * math.prod(taps.kernel[1:]) < o // groups
    kernels = _by_first_tap(weight, groups, whole)
    more: Array = None
    for images, columns, place in _passes(x, taps, groups, whole):
        part = target[images, :, :, place]
        found = columns.fill(x[images] if not whole else x[images, :, None])
        all_of_it = part
        pieces = _pieces(kernels[0].shape, columns.taps.out, part.shape[-1])
        if pieces > 1:
            part, found = _split(part, pieces), [_split(f, pieces) for f in found]
        np.matmul(_beside(kernels[0], pieces), found[0], out=part)
        if len(kernels) > 1:
            if more is None or more.shape != part.shape:
                more = np.empty(part.shape, y.dtype)
            for kernel, column in zip(kernels[1:], found[1:]):
                np.matmul(_beside(kernel, pieces), column, out=more)
                part += more
        if shift is not None:
            all_of_it += shift
    return y.astype(dtype, copy=False)


SMALL = 1_000_000
"""Multiplications below which OpenBLAS takes its kernel for small products, which packs nothing: 100 to 115 GFLOP/s
where larger ones run at 80 to 95 (measured with AVX-512)."""


def _pieces(kernel: Ints, out: Ints, length: int) -> int:
    """Into how many equal parts to cut the columns so that each product is a small one; 1 if that is not possible."""
    most = SMALL // max(1, kernel[1] * kernel[2])
    if length <= most:
        return 1
    rows = out[0]
    for pieces in range(2, rows + 1):
        if rows % pieces == 0 and length // pieces <= most:
            return pieces if length // pieces >= 48 else 1
    return 1


def _split(x: Array, pieces: int) -> Array:
    """(images, groups, rows, length) -> (images, groups, pieces, rows, length / pieces), a view."""
    return x.reshape(*x.shape[:3], pieces, -1).swapaxes(2, 3)


def _beside(kernel: Array, pieces: int) -> Array:
    return kernel if pieces == 1 else kernel[:, None]


def _passes(x: Array, taps: Taps, groups: int, whole: bool) -> Iterator[tuple[slice, Columns, slice]]:
    """(images, their columns, which output elements these are) for every pass through the buffer."""
    n, c = x.shape[:2]
    width = math.prod(taps.out[1:])
    images, rows = blocks(taps, n, c, whole)
    for first in range(0, taps.out[0], rows):
        last = min(taps.out[0], first + rows)
        band = taps if (first, last) == (0, taps.out[0]) else taps.rows(first, last)
        columns = columns_for(band.widened() if whole else band, images, c, groups, x.dtype)
        for start in range(0, n, images):
            yield slice(start, min(n, start + images)), columns, slice(first * width, last * width)


def _by_first_tap(weight: Array, groups: int, whole: bool) -> list[Array]:
    """Weight matrices, one per tap of the first axis: (groups, o/groups, c/groups * other taps)."""
    o, c = weight.shape[:2]
    if whole:
        return [weight.reshape(groups, o // groups, -1)]
    k = weight.shape[2]
    split = weight.reshape(groups, o // groups, c, k, -1)
    return [np.ascontiguousarray(split[:, :, :, i]).reshape(groups, o // groups, -1) for i in range(k)]


def input_grad(y: Array, weight: Array, bias: Any, taps: Taps, groups: int) -> Array:
    """The adjoint of ``correlate`` in its input: (n, o, *out), (o, c/groups, *kernel) -> (n, c, *size); plus a bias.

    Input elements that lie a stride apart see the same taps, so each such phase is a convolution of ``y`` of its
    own, without stride, with the kernel reversed.
    """
    dtype = y.dtype
    y, weight, bias = _wide(y, weight, bias)
    o, c = len(weight), weight.shape[1] * groups
    turned = weight.reshape(groups, o // groups, c // groups, *taps.kernel).swapaxes(1, 2)
    turned = turned.reshape(c, o // groups, *taps.kernel)
    shape = (len(y), c, *taps.size)
    single = all(s == 1 for s in taps.stride) and math.prod(shape) > 0
    x: Array = np.zeros(() if single else shape, y.dtype)
    for picks, places, sub in _phases(taps):
        found = correlate(y, turned[(slice(None), slice(None), *picks)], None, sub, groups)
        if single:
            x = found
        else:
            x[(slice(None), slice(None), *places)] = found
    if bias is not None:
        x += _per_channel(bias, len(taps.size))
    return x.astype(dtype, copy=False)


@lru_cache(maxsize=256)
def _phases(taps: Taps) -> list[tuple[Any, Any, Taps]]:
    """(taps of the weight, input elements, the convolution of ``y`` that makes them) of each phase that sees something."""
    found = []
    for phase in product(*map(range, taps.stride)):
        parts = [part for axis, p in enumerate(phase) if (part := _phase(taps, axis, p)) is not None]
        if len(parts) == len(phase):
            picks, places, starts, steps, counts = zip(*parts)
            kernel = tuple(len(range(*pick.indices(n))) for pick, n in zip(picks, taps.kernel))
            found.append((picks, places, Taps(taps.out, kernel, starts, (1,) * len(starts), steps, counts)))
    return found


def _phase(taps: Taps, axis: int, phase: int) -> tuple[slice, slice, int, int, int] | None:
    """One axis of one phase: (taps, reversed; input elements; start; step between taps; how many elements).

    Input element ``start + stride * u + phase`` (u whole) is seen by the taps t with t * dilation = phase mod stride.
    """
    start, stride, dilation = taps.start[axis], taps.stride[axis], taps.dilation[axis]
    seen = [t for t in range(taps.kernel[axis]) if t * dilation % stride == phase]
    spans = overlap(start + phase, stride, 1 << 40, taps.size[axis])
    count = spans[0].stop - spans[0].start
    if not seen or not count:
        return None
    apart = seen[1] - seen[0] if len(seen) > 1 else 1
    step = apart * dilation // stride if len(seen) > 1 else 1
    last = seen[-1] * dilation // stride
    pick = slice(seen[-1], seen[0] - 1 if seen[0] else None, -apart)
    return pick, spans[1], spans[0].start - last, step, count


def weight_grad(x: Array, y: Array, kernel: Ints, taps: Taps, groups: int) -> Array:
    """The adjoint of ``correlate`` in its weight: (n, c, *size), (n, o, *out) -> (o, c/groups, *kernel)."""
    dtype = x.dtype
    x, y = _wide(x, y)
    n, c = x.shape[:2]
    o = y.shape[1]
    if conv_tiles.suits_weight_grad(x, y, taps, groups):
        return conv_tiles.weight_grad(x, y, taps)
    if c == groups == o:
        return depthwise_weight_grad(x, y, kernel, taps).astype(dtype, copy=False)
    whole = kernel[0] > 1 and c // groups * math.prod(kernel[1:]) < 8
    count = 1 if whole else kernel[0]
    total: Array = np.zeros((count, groups, c // groups * math.prod(kernel) // max(1, count), o // groups), x.dtype)
    if total.size and y.size:
        flat = y.reshape(n, groups, o // groups, -1).swapaxes(2, 3)
        # A product with a transposed right side runs at two thirds of the speed: worth a copy unless it is thin.
        turn = o // groups >= 24
        if taps.pointwise:
            total[0] = np.matmul(x.reshape(n, groups, c // groups, -1), flat).sum(0)
        else:
            for images, columns, place in _passes(x, taps, groups, whole):
                given = np.ascontiguousarray(flat[images, :, place]) if turn else flat[images, :, place]
                for i, column in enumerate(columns.fill(x[images] if not whole else x[images, :, None])):
                    total[i] += np.matmul(column, given).sum(0)
    rest = kernel if whole else kernel[1:]
    split = total.reshape(count, groups, c // groups, math.prod(rest), o // groups)
    # (first tap, group, channel, other taps, output) -> (group, output, channel, first tap, other taps)
    w = split.transpose(1, 4, 2, 0, 3).reshape(o, c // groups, *kernel)
    return np.ascontiguousarray(w).astype(dtype, copy=False)
