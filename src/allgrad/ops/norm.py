"""Normalization over channels, and the per-channel arithmetic it is made of.

The statistics are outputs beside the normalized values: backward reads them, and batch norm's running averages too.
An ordinary backward is one fused pass; under ``create_graph`` the same gradient is written with recorded ops.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.arithmetic import sqrt
from allgrad.ops.conv import channel_sum
from allgrad.ops.op import Recorded, op

Array = Any

BLOCK = 1 << 16
"""Elements that go through the passes of a normalization at a time: 256 KiB of float32, so that they stay in cache."""


WIDE = 16
"""Elements of a plane from which the compiled loops over planes are the faster ones."""


def spans(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows, about BLOCK elements each."""
    step = max(1, BLOCK // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def _column(v: Array, ndim: int) -> Array:
    """A per-channel vector, shaped to broadcast over (n, c, ...)."""
    return v.reshape(-1, *(1,) * (ndim - 2))


@op
def channel_affine(x: Array, scale: Array, shift: Array = None) -> Array:
    """``x * scale + shift`` per channel: (n, c, ...), (c,), (c,) -> (n, c, ...)."""
    y = x * _column(scale, x.ndim)
    if shift is not None:
        y += _column(shift, x.ndim)
    return y


@op
def channel_dot(a: Array, b: Array) -> Array:
    """The inner product of each channel: (n, c, ...), (n, c, ...) -> (c,)."""
    if a.ndim == 2 or a.shape[2:] == (1,) or not a.size:
        return (a * b).sum((0, *range(2, a.ndim)))
    flat = (a.shape[0], a.shape[1], -1)
    return np.vecdot(a.reshape(flat), b.reshape(flat)).sum(0)


channel_affine.pull(
    x=lambda g, scale: channel_affine(g, scale),
    scale=lambda g, x: channel_dot(g, x),
    shift=lambda g: channel_sum(g),
)
channel_dot.pull(a=lambda g, b: channel_affine(b, g), b=lambda g, a: channel_affine(a, g))


@op(multi=True)
def batch_norm(x: Array, weight: Array, bias: Array, *, eps: float) -> tuple[Array, Array, Array]:
    """Each channel shifted and scaled to mean 0 and variance 1 over the batch, then ``weight`` and ``bias``.

    (n, c, ...), (c,) or None, (c,) or None -> (n, c, ...), mean (c,), biased variance (c,).
    """
    kind = x.dtype.type
    images = _planes(x)
    n, c = images.shape[:2]
    if fast.suits(x) and images.shape[2] >= WIDE:
        return _batch_norm_compiled(images, weight, bias, eps, x.shape)
    width = math.prod(images.shape[1:])
    share = kind(1 / max(1, math.prod(x.shape) // max(1, c)))
    mean, squares = channel_sum.forward(x) * share, np.zeros(c, x.dtype)
    for part in spans(n, width):
        squares += channel_dot.forward(images[part], images[part])
    var = squares * share - mean * mean
    y: Array = np.empty(images.shape, x.dtype)
    # The mean of squares is exact enough only where the mean itself is not much larger than the deviations.
    near = _near(mean, var)
    if not near:
        squares.fill(0)
        for part in spans(n, width):
            rows = np.subtract(images[part], mean[:, None], out=y[part])
            squares += channel_dot.forward(rows, rows)
        var = squares * share
    scale = kind(1) / np.sqrt(var + kind(eps))
    if weight is not None:
        scale *= weight
    shift = -mean * scale if near else np.zeros(c, x.dtype)
    if bias is not None:
        shift += bias
    for part in spans(n, width):
        rows = np.multiply(images[part] if near else y[part], scale[:, None], out=y[part])
        rows += shift[:, None]
    return y.reshape(x.shape), mean, var


def _batch_norm_compiled(images: Array, weight: Any, bias: Any, eps: float, shape: Any) -> tuple[Array, Array, Array]:
    c = images.shape[1]
    mean, var = np.empty((2, c), np.float32)
    kernels, y = fast.kernels("planes"), np.empty_like(images)
    kernels.moments(images, mean, var)
    scale = 1 / np.sqrt(var + np.float32(eps))
    if weight is not None:
        scale *= weight
    shift = np.zeros(c, np.float32) if bias is None else np.ascontiguousarray(bias)
    kernels.scaled(images, mean, scale, shift, y)
    return y.reshape(shape), mean, var


def _planes(x: Array) -> Array:
    """(n, c, ...) -> (n, c, elements)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _near(mean: Array, var: Array) -> bool:
    """Whether means are small against deviations, so that differences of sums lose at most a digit."""
    return bool((mean * mean <= 4 * var).all())


batch_norm.reads = (1, 2)  # a ReLU that follows may change the normalized values in place


@batch_norm.pull_all
def _batch_norm(gs: Any, x: Array, weight: Array, out: Any, *, eps: float, wanted: Any) -> Any:
    g, g_mean, g_var = gs
    share = 1 / max(1, math.prod(x.shape) // max(1, x.shape[1]))
    recorded = isinstance(g, Recorded) or isinstance(x, Recorded)
    if not recorded:
        return _batch_norm_at_once(g, g_mean, g_var, x, weight, out[1], out[2], eps, share)
    # Under create_graph the statistics are functions of x, so they are written out again.
    mean = channel_sum(x) * share
    centred = x - _column(mean, x.ndim)
    rstd = 1 / sqrt(channel_dot(centred, centred) * share + eps)
    g_bias, dot = channel_sum(g), channel_dot(g, centred)
    scale = rstd if weight is None else rstd * weight
    slope = 2 * share * g_var - scale * rstd * rstd * dot * share
    level = share * g_mean - scale * g_bias * share
    g_x = channel_affine(g, scale) + channel_affine(centred, slope, level)
    return g_x, dot * rstd if weight is not None else None, g_bias


def _batch_norm_at_once(
    g: Array, g_mean: Array, g_var: Array, x: Array, weight: Any, mean: Array, var: Array, eps: float, share: float
) -> Any:
    shape, x, g = x.shape, _planes(x), _planes(g)
    n, width = len(x), math.prod(x.shape[1:])
    rstd = 1 / np.sqrt(var + x.dtype.type(eps))
    scale = rstd if weight is None else rstd * weight
    if fast.suits(x, g) and x.shape[2] >= WIDE:
        kernels, g, compiled = fast.kernels("planes"), np.ascontiguousarray(g), np.empty_like(x)
        g_bias, dot = np.empty((2, x.shape[1]), np.float32)
        kernels.dots(g, x, mean, g_bias, dot)
        slope = (2 * share * g_var - scale * rstd * rstd * dot * share).astype(np.float32, copy=False)
        level = (share * g_mean - scale * g_bias * share).astype(np.float32, copy=False)
        kernels.combined(g, x, mean, scale, slope, level, compiled)
        return compiled.reshape(shape), dot * rstd if weight is not None else None, g_bias
    g_bias = channel_sum.forward(g)
    dot = np.zeros(x.shape[1], x.dtype)
    near = _near(mean, var)
    for part in spans(n, width):
        dot += channel_dot.forward(g[part], x[part] if near else x[part] - mean[:, None])
    if near:
        dot -= mean * g_bias
    slope = 2 * share * g_var - scale * rstd * rstd * dot * share
    level = share * g_mean - scale * g_bias * share
    if near:
        level -= slope * mean
    g_x: Array = np.empty(x.shape, x.dtype)
    for part in spans(n, width):
        rows = g_x[part]
        if near:
            np.multiply(x[part], slope[:, None], out=rows)
        else:
            np.subtract(x[part], mean[:, None], out=rows)
            rows *= slope[:, None]
        rows += level[:, None]
        rows += g[part] * scale[:, None]
    return g_x.reshape(shape), dot * rstd if weight is not None else None, g_bias
