"""Normalization of rows: layer norm and root-mean-square norm, a block of rows at a time.

As in ``norm``, the statistics are outputs, an ordinary backward is one fused pass, and under ``create_graph`` the same
gradient is written with recorded ops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.arithmetic import sqrt
from allgrad.ops.norm import spans
from allgrad.ops.op import Recorded, op
from allgrad.ops.reduce import sum_

Array = Any


def _given(v: Any, otherwise: float, x: Array) -> Array:
    """A vector of columns, constant where there is none."""
    return np.full(x.shape[1], otherwise, x.dtype) if v is None else np.ascontiguousarray(v)


@op(multi=True)
def layer_norm(x: Array, weight: Array, bias: Array, *, eps: float) -> tuple[Array, Array, Array]:
    """Each row shifted and scaled to mean 0 and variance 1, then ``weight`` and ``bias`` per column.

    (n, c), (c,) or None, (c,) or None -> (n, c), mean (n, 1), biased variance (n, 1).
    """
    kind = x.dtype.type
    n, c = x.shape
    share = kind(1 / max(1, c))
    y: Array = np.empty(x.shape, x.dtype)
    var: Array = np.empty((n, 1), x.dtype)
    if fast.suits(x):
        mean = np.empty((n, 1), x.dtype)
        factors, shift = _given(weight, 1, x), _given(bias, 0, x)
        fast.kernels("rows").layer_norm(x, factors, shift, eps, y, mean.reshape(-1), var.reshape(-1))
        return y, mean, var
    # A product with a vector of shares is the fastest mean of short rows that NumPy has.
    mean = (x @ np.full(c, share, x.dtype))[:, None]
    for part in spans(n, c):
        rows = np.subtract(x[part], mean[part], out=y[part])
        var[part, 0] = np.vecdot(rows, rows) * share
        rows *= kind(1) / np.sqrt(var[part] + kind(eps))
        if weight is not None:
            rows *= weight
        if bias is not None:
            rows += bias
    return y, mean, var


layer_norm.reads = (1, 2)


@layer_norm.pull_all
def _layer_norm(gs: Any, x: Array, weight: Array, out: Any, *, eps: float, wanted: Any) -> Any:
    g, g_mean, g_var = gs
    share = 1 / max(1, x.shape[1])
    if not (isinstance(g, Recorded) or isinstance(x, Recorded)):
        return _layer_norm_at_once(g, g_mean, g_var, x, weight, out[1], out[2], eps, share)
    centred = x - sum_(x, dim=(1,), keepdim=True) * share
    rstd = 1 / sqrt(sum_(centred * centred, dim=(1,), keepdim=True) * share + eps)
    unit = centred * rstd
    inner = g if weight is None else g * weight
    level = sum_(inner, dim=(1,), keepdim=True) * share
    slope = sum_(inner * unit, dim=(1,), keepdim=True) * share
    g_x = rstd * (inner - level - unit * slope) + g_mean * share + centred * (g_var * (2 * share))
    return g_x, sum_(g * unit, dim=(0,)) if weight is not None else None, sum_(g, dim=(0,))


def _layer_norm_at_once(
    g: Array, g_mean: Array, g_var: Array, x: Array, weight: Any, mean: Array, var: Array, eps: float, share: float
) -> Any:
    kind = x.dtype.type
    n, c = x.shape
    factors = _given(weight, 1, x)
    g_x: Array = np.empty(x.shape, x.dtype)
    g_weight, g_bias = np.zeros(c, x.dtype), np.zeros(c, x.dtype)
    beside = bool((g_var != 0).any() or (g_mean != 0).any())
    if not beside and fast.suits(x, g):
        statistics = mean.reshape(-1), var.reshape(-1)
        fast.kernels("rows").layer_norm_pull(
            np.ascontiguousarray(g), x, factors, eps, *statistics, g_x, g_weight, g_bias
        )
        return g_x, g_weight if weight is not None else None, g_bias
    rstd = kind(1) / np.sqrt(var + kind(eps))
    for part in spans(n, c):
        given, scale = g[part], rstd[part]
        centred = x[part] - mean[part]
        both = given * centred
        # All four sums are products with a vector: over columns with the weights, over rows with the scales.
        g_weight += scale[:, 0] @ both
        g_bias += np.ones(len(given), x.dtype) @ given
        slope = (both @ factors)[:, None] * (scale * scale * scale * kind(-share))
        level = (given @ factors)[:, None] * (scale * kind(-share))
        if beside:
            slope += g_var[part] * kind(2 * share)
            level += g_mean[part] * kind(share)
        rows = np.multiply(given, scale, out=g_x[part])
        if weight is not None:
            rows *= weight
        centred *= slope
        centred += level
        rows += centred
    return g_x, g_weight if weight is not None else None, g_bias


@op(multi=True)
def rms_norm(x: Array, weight: Array, *, eps: float) -> tuple[Array, Array]:
    """Each row divided by its root mean square, then ``weight`` per column: (n, c), (c,) or None -> (n, c), and the
    mean square (n, 1)."""
    kind = x.dtype.type
    square = (np.vecdot(x, x) * kind(1 / max(1, x.shape[1])))[:, None]
    scale = kind(1) / np.sqrt(square + kind(eps))
    y: Array = np.empty(x.shape, x.dtype)
    for part in spans(*x.shape):
        rows = np.multiply(x[part], scale[part], out=y[part])
        if weight is not None:
            rows *= weight
    return y, square


rms_norm.reads = (1,)


@rms_norm.pull_all
def _rms_norm(gs: Any, x: Array, weight: Array, out: Any, *, eps: float) -> Any:
    g, g_square = gs
    share = 1 / max(1, x.shape[1])
    if not (isinstance(g, Recorded) or isinstance(x, Recorded)):
        return _rms_norm_at_once(g, g_square, x, weight, out[1], eps, share)
    rstd = 1 / sqrt(sum_(x * x, dim=(1,), keepdim=True) * share + eps)
    unit = x * rstd
    inner = g if weight is None else g * weight
    slope = sum_(inner * unit, dim=(1,), keepdim=True) * share
    g_x = rstd * (inner - unit * slope) + x * (g_square * (2 * share))
    return g_x, sum_(g * unit, dim=(0,)) if weight is not None else None


def _rms_norm_at_once(g: Array, g_square: Array, x: Array, weight: Any, square: Array, eps: float, share: float) -> Any:
    kind = x.dtype.type
    n, c = x.shape
    factors = np.ones(c, x.dtype) if weight is None else weight
    rstd = kind(1) / np.sqrt(square + kind(eps))
    g_x: Array = np.empty(x.shape, x.dtype)
    g_weight = np.zeros(c, x.dtype)
    for part in spans(n, c):
        given, scale = g[part], rstd[part]
        both = given * x[part]
        g_weight += scale[:, 0] @ both
        slope = (both @ factors)[:, None] * (scale * scale * scale * kind(-share)) + g_square[part] * kind(2 * share)
        rows = np.multiply(given, scale, out=g_x[part])
        if weight is not None:
            rows *= weight
        rows += x[part] * slope
    return g_x, g_weight if weight is not None else None
