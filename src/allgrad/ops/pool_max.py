"""Max pooling over any number of spatial axes, by the taps of its window: one strided slice per tap.

The value needs no index.  Backward compares each tap with the maximum, and the first tap that equals it takes the
gradient, as in PyTorch; with NaN in a window the last NaN takes it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.op import Recorded, op

Array = Any
Ints = tuple[int, ...]

PLANE_BLOCK = 1 << 17
"""Input elements that are compared at a time: small enough that all operands stay in the cache."""


def _taps(kernel: Ints, stride: Ints, dilation: Ints, out: Ints) -> list[tuple[Any, ...]]:
    """For each tap of the window the slice of the padded input that holds it for every output element."""
    return [
        (..., *(slice(i * d, i * d + s * (n - 1) + 1, s) for i, d, s, n in zip(at, dilation, stride, out)))
        for at in np.ndindex(*kernel)
    ]


def _lowest(dtype: Any) -> Any:
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def _padded(x: Array, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, out: Ints) -> Array:
    """``x`` as far as the windows reach, with the lowest value where they reach beyond it."""
    d = len(kernel)
    reach = tuple(s * (n - 1) + e * (k - 1) + 1 for s, n, e, k in zip(stride, out, dilation, kernel))
    if not any(padding) and all(r <= n for r, n in zip(reach, x.shape[-d:])):
        return x
    wide = tuple(max(r, p + n) for r, p, n in zip(reach, padding, x.shape[-d:]))
    padded: Any = np.full((*x.shape[:-d], *wide), _lowest(x.dtype), x.dtype)
    padded[(..., *(slice(p, p + n) for p, n in zip(padding, x.shape[-d:])))] = x
    return padded


@op
def max_pool(x: Array, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, out_size: Ints) -> Array:
    """The largest of each window: (..., *in) -> (..., *out_size).  NaN wins."""
    d = len(kernel)
    size = x.shape[-d:]
    planes = x.reshape(math.prod(x.shape[:-d]), *size)
    y: Any = np.empty((len(planes), *out_size), x.dtype)
    for part in _parts(len(planes), math.prod(size)):
        # Axis by axis, rows first: their neighbours are contiguous, and each axis costs its own taps only.
        seen = _padded(planes[part], kernel, stride, padding, dilation, out_size)
        for axis, k, s, e, n in zip(range(-d, 0), kernel, stride, dilation, out_size):
            last = axis == -1
            taps = [
                seen[(..., slice(i * e, i * e + s * (n - 1) + 1, s), *(slice(None),) * (-axis - 1))] for i in range(k)
            ]
            best = y[part] if last else (taps[0] if k == 1 else np.empty(taps[0].shape, x.dtype))
            if k == 1 and last:
                best[...] = taps[0]
            for i in range(1, k):
                np.maximum(taps[0] if i == 1 else best, taps[i], out=best)
            seen = best
    return y.reshape(*x.shape[:-d], *out_size)


def _parts(planes: int, elements: int) -> Iterator[slice]:
    """Slices of planes, few enough to stay in the cache."""
    step = max(1, PLANE_BLOCK // max(1, elements))
    for start in range(0, planes, step):
        yield slice(start, start + step)


@op
def max_pool_choice(
    x: Array, y: Array, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, out_size: Ints
) -> Array:
    """Which tap holds the maximum ``y`` of each window, counted row by row: -> (..., *out_size), small integers."""
    padded = _padded(x, kernel, stride, padding, dilation, out_size)
    taps = _taps(kernel, stride, dilation, out_size)
    choice = np.zeros(y.shape, np.uint8 if len(taps) < 256 else np.int32)
    nan = np.isnan(y) if x.dtype.kind not in "iu" else np.zeros((), bool)
    for number, tap in enumerate(reversed(taps)):
        # From the last to the first: what is written last, the first tap, stays.
        np.copyto(choice, len(taps) - 1 - number, where=padded[tap] == y)
    if nan.any():
        for number, tap in enumerate(taps):
            np.copyto(choice, number, where=nan & np.isnan(padded[tap]))
    return choice


@op
def max_pool_indices(choice: Array, *, size: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Array:
    """The place of each maximum in the flat spatial axes of the input, int64: what ``return_indices`` gives."""
    out = choice.shape[-len(kernel) :]
    places = np.unravel_index(choice, kernel)
    flat = np.zeros(choice.shape, np.int64)
    for axis, (at, n, s, p, d) in enumerate(zip(places, size, stride, padding, dilation)):
        start = (np.arange(out[axis]) * s - p).reshape(-1, *(1,) * (len(out) - 1 - axis))
        flat = flat * n + at * d + start
    return flat


@op
def max_pool_grad(
    y: Array, choice: Array, *, size: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Array:
    """Put each ``y`` where its maximum was, adding up: (..., *out) -> (..., *size).  Adjoint of ``max_pool_pick``."""
    d, out = len(kernel), y.shape[-len(kernel) :]
    reach = tuple(s * (n - 1) + e * (k - 1) + 1 for s, n, e, k in zip(stride, out, dilation, kernel))
    inside = not any(padding) and all(r <= n for r, n in zip(reach, size))
    wide = size if inside else tuple(max(r, p + n) for r, p, n in zip(reach, padding, size))
    tiled = inside and reach == size and stride == kernel and math.prod(dilation) == 1
    x: Any = (np.empty if tiled else np.zeros)((*y.shape[:-d], *wide), y.dtype)
    for number, tap in enumerate(_taps(kernel, stride, dilation, out)):
        if tiled:  # windows cover the input without overlap: every element is written once
            np.multiply(y, choice == number, out=x[tap])
        else:
            x[tap] += y * (choice == number)
    return x if inside else np.ascontiguousarray(x[(..., *(slice(p, p + n) for p, n in zip(padding, size)))])


@op
def max_pool_pick(x: Array, choice: Array, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Array:
    """Of each window the element that ``choice`` names: (..., *in) -> (..., *out)."""
    out = choice.shape[-len(kernel) :]
    padded = _padded(x, kernel, stride, padding, dilation, out)
    y = np.zeros(choice.shape, x.dtype)
    for number, tap in enumerate(_taps(kernel, stride, dilation, out)):
        np.copyto(y, padded[tap], where=choice == number)
    return y


def _max_pool(
    g: Array, x: Array, out: Array, x_shape: Any, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Array:
    d = len(kernel)
    window = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    if not isinstance(g, Recorded) and np.isfinite(g.sum()) and np.isfinite(out.sum()):
        return _grad_at_once(g, x, out, **window)
    choice = max_pool_choice(x, out, out_size=tuple(g.shape[-d:]), **window)
    return max_pool_grad(g, choice, size=tuple(x_shape[-d:]), **window)


def _grad_at_once(g: Array, x: Array, y: Array, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints) -> Array:
    """The gradient of finite numbers: the first tap that equals the maximum takes it.

    Products with the comparison stand for a choice, which is why infinities are left to the two ops above.
    """
    d = len(kernel)
    size, out = x.shape[-d:], y.shape[-d:]
    shape, planes = x.shape, math.prod(x.shape[:-d])
    x, y, g = x.reshape(planes, *size), y.reshape(planes, *out), g.reshape(planes, *out)
    reach = tuple(s * (n - 1) + e * (k - 1) + 1 for s, n, e, k in zip(stride, out, dilation, kernel))
    inside = not any(padding) and all(r <= n for r, n in zip(reach, size))
    apart = all(s >= e * (k - 1) + 1 for s, e, k in zip(stride, dilation, kernel))  # no element is in two windows
    covered = inside and reach == size and stride == kernel and math.prod(dilation) == 1
    result: Any = (np.empty if covered or not inside else np.zeros)(x.shape, x.dtype)
    if (kernel, stride, dilation) == ((2, 2), (2, 2), (1, 1)) and inside and x.dtype == np.float32 and LITTLE:
        if not covered:
            result = np.zeros(x.shape, x.dtype)
        if fast.suits(x, y, g) and y.flags.c_contiguous and result.flags.c_contiguous:
            fast.kernels("planes").pool_2x2_pull(x, y, np.ascontiguousarray(g), result)
            return result.reshape(shape)
        for part in _parts(planes, math.prod(size)):
            _quarters(x[part], y[part], g[part], result[part])
        return result.reshape(shape)
    taps = _taps(kernel, stride, dilation, out)
    for part in _parts(planes, math.prod(size)):
        seen = _padded(x[part], kernel, stride, padding, dilation, out)
        target = result[part] if inside else np.zeros_like(seen)
        given, largest = g[part], y[part]
        free = np.ones(largest.shape, bool)
        hit = np.empty(largest.shape, bool)
        for tap in taps:
            np.equal(seen[tap], largest, out=hit)
            hit &= free
            free ^= hit
            if apart:
                np.multiply(given, hit, out=target[tap])
            else:
                target[tap] += given * hit
        if not inside:
            result[part] = target[(..., *(slice(p, p + n) for p, n in zip(padding, size)))]
    return result.reshape(shape)


LITTLE = sys.byteorder == "little"


def _quarters(x: Array, y: Array, g: Array, result: Array) -> None:
    """The gradient of 2 x 2 windows in float32, whole rows at a time.

    Maxima and gradients are doubled to the width of the input as pairs in 64-bit words, and the comparisons of one
    window's row are a pair of bytes in a 16-bit word, where "the first one" is arithmetic.
    """
    height, width = y.shape[1:]
    wide = [_doubled(a) for a in (y, g)]
    free = None
    for row in (0, 1):
        rows = (slice(None), slice(row, 2 * height, 2), slice(0, 2 * width))
        hit = np.equal(x[rows], wide[0])
        pair = hit.view(np.uint16)
        left = pair & np.uint16(1)
        pair &= ~(left << np.uint16(8))  # the left one of two equal ones
        if free is None:
            free = pair == 0
        else:
            pair *= free  # only where the row above had none
        np.multiply(wide[1], hit, out=result[rows])


def _doubled(a: Array) -> Array:
    """Each float32 twice: (n, h, w) -> (n, h, 2 w)."""
    words = np.ascontiguousarray(a).view(np.uint32).astype(np.uint64)
    words *= np.uint64(0x1_0000_0001)
    return words.view(np.float32)


max_pool.pull(x=_max_pool)
max_pool_grad.pull(
    y=lambda g, choice, *, kernel, stride, padding, dilation: max_pool_pick(
        g, choice, kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )
)
max_pool_pick.pull(
    x=lambda g, x_shape, choice, *, kernel, stride, padding, dilation: max_pool_grad(
        g,
        choice,
        size=tuple(x_shape[-len(kernel) :]),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
)
