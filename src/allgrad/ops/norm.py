"""Normalization over channels and over rows, and the per-channel arithmetic both are made of.

The statistics are outputs beside the normalized values: backward reads them, and batch norm's running averages too.
An ordinary backward is one fused pass; under ``create_graph`` the same gradient is written with recorded ops.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.arithmetic import sqrt
from allgrad.ops.conv import channel_sum
from allgrad.ops.op import Recorded, op
from allgrad.ops.reduce import sum_

Array = Any


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
    if a.ndim == 2 or not a.size:
        return (a * b).sum((0, *range(2, a.ndim)))
    flat = (a.shape[0], a.shape[1], -1)
    return np.einsum("ncl,ncl->nc", a.reshape(flat), b.reshape(flat)).sum(0)


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
    one = x.dtype.type(1)
    share = one / x.dtype.type(max(1, math.prod(x.shape) // max(1, x.shape[1])))
    mean = channel_sum(x) * share
    y = x - _column(mean, x.ndim)
    var = channel_dot(y, y) * share
    scale = one / np.sqrt(var + x.dtype.type(eps))
    if weight is not None:
        scale *= weight
    y *= _column(scale, x.ndim)
    if bias is not None:
        y += _column(bias, x.ndim)
    return y, mean, var


@batch_norm.pull_all
def _batch_norm(gs: Any, x: Array, weight: Array, out: Any, *, eps: float, wanted: Any) -> Any:
    g, g_mean, g_var = gs
    share = 1 / max(1, math.prod(x.shape) // max(1, x.shape[1]))
    recorded = isinstance(g, Recorded) or isinstance(x, Recorded)
    # Under create_graph the statistics are functions of x, so they are written out again.
    mean = channel_sum(x) * share if recorded else out[1]
    centred = x - _column(mean, x.ndim)
    var = channel_dot(centred, centred) * share if recorded else out[2]
    rstd = 1 / sqrt(var + eps)
    g_bias, dot = channel_sum(g), channel_dot(g, centred)
    scale = rstd if weight is None else rstd * weight
    slope = 2 * share * g_var - scale * rstd * rstd * dot * share
    level = share * g_mean - scale * g_bias * share
    if recorded:
        g_x = channel_affine(g, scale) + channel_affine(centred, slope, level)
    else:
        g_x = centred
        g_x *= _column(slope, x.ndim)
        g_x += _column(level, x.ndim)
        g_x += g * _column(scale, x.ndim)
    return g_x, dot * rstd if weight is not None else None, g_bias


def _row_sum(x: Array) -> Array:
    """(n, c) -> (n, 1), as a product."""
    return x @ np.ones((x.shape[1], 1), x.dtype)


def _row_dot(a: Array, b: Array) -> Array:
    return np.einsum("nc,nc->n", a, b)[:, None]


@op(multi=True)
def layer_norm(x: Array, weight: Array, bias: Array, *, eps: float) -> tuple[Array, Array, Array]:
    """Each row shifted and scaled to mean 0 and variance 1, then ``weight`` and ``bias`` per column.

    (n, c), (c,) or None, (c,) or None -> (n, c), mean (n, 1), biased variance (n, 1).
    """
    one = x.dtype.type(1)
    share = one / x.dtype.type(max(1, x.shape[1]))
    mean = _row_sum(x) * share
    y = x - mean
    var = _row_dot(y, y) * share
    y *= one / np.sqrt(var + x.dtype.type(eps))
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return y, mean, var


@layer_norm.pull_all
def _layer_norm(gs: Any, x: Array, weight: Array, out: Any, *, eps: float, wanted: Any) -> Any:
    g, g_mean, g_var = gs
    share = 1 / max(1, x.shape[1])
    if isinstance(g, Recorded) or isinstance(x, Recorded):
        mean = sum_(x, dim=(1,), keepdim=True) * share
        centred = x - mean
        rstd = 1 / sqrt(sum_(centred * centred, dim=(1,), keepdim=True) * share + eps)
        unit = centred * rstd
        inner = g if weight is None else g * weight
        g_x = rstd * (
            inner
            - sum_(inner, dim=(1,), keepdim=True) * share
            - unit * (sum_(inner * unit, dim=(1,), keepdim=True) * share)
        )
        g_x = g_x + g_mean * share + centred * (g_var * (2 * share))
        return g_x, sum_(g * unit, dim=(0,)) if weight is not None else None, sum_(g, dim=(0,))
    rstd = 1 / np.sqrt(out[2] + x.dtype.type(eps))
    unit = x - out[1]
    unit *= rstd
    ones = np.ones(len(x), x.dtype)
    g_weight = np.einsum("nc,nc->c", g, unit) if weight is not None and wanted[1] else None
    g_bias = ones @ g if len(wanted) > 2 and wanted[2] else None
    inner = np.array(g) if weight is None else g * weight
    level = _row_sum(inner) * -share
    slope = _row_dot(inner, unit) * -share
    if (g_var != 0).any() or (g_mean != 0).any():
        level += g_mean * share / rstd
        slope += g_var * (2 * share) / (rstd * rstd)
    unit *= slope
    inner += unit
    inner += level
    inner *= rstd
    return inner, g_weight, g_bias


@op(multi=True)
def rms_norm(x: Array, weight: Array, *, eps: float) -> tuple[Array, Array]:
    """Each row divided by its root mean square, then ``weight`` per column: (n, c), (c,) or None -> (n, c), and the
    mean square (n, 1)."""
    square = _row_dot(x, x) * x.dtype.type(1 / max(1, x.shape[1]))
    y = x * (x.dtype.type(1) / np.sqrt(square + x.dtype.type(eps)))
    if weight is not None:
        y *= weight
    return y, square


@rms_norm.pull_all
def _rms_norm(gs: Any, x: Array, weight: Array, out: Any, *, eps: float) -> Any:
    g, g_square = gs
    share = 1 / max(1, x.shape[1])
    recorded = isinstance(g, Recorded) or isinstance(x, Recorded)
    square = sum_(x * x, dim=(1,), keepdim=True) * share if recorded else out[1]
    rstd = 1 / sqrt(square + eps)
    unit = x * rstd
    inner = g if weight is None else g * weight
    slope = sum_(inner * unit, dim=(1,), keepdim=True) * share
    g_x = rstd * (inner - unit * slope) + x * (g_square * (2 * share))
    return g_x, sum_(g * unit, dim=(0,)) if weight is not None else None
