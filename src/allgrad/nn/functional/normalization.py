"""Normalization by batch, layer, group, instance and root mean square."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.inplace import bump
from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, ShapeError
from allgrad.nn.functional.arguments import floating, shaped
from allgrad.ops import norm as ops
from allgrad.ops import norm_rows
from allgrad.ops.arithmetic import cast
from allgrad.ops.padding import pad_constant
from allgrad.ops.pool_avg import window_sum


def _per_channel(x: Any, name: str, **vectors: Any) -> None:
    channels = x._a.shape[1]
    for what, v in vectors.items():
        if v is not None and v._a.shape != (channels,):
            raise ShapeError(f"{name}: {what} should contain {channels} elements not {v._a.size}")


def _average(running: Any, new: Any, momentum: float) -> None:
    """``running`` moves towards ``new`` by ``momentum``, in place, outside the graph."""
    a = running._a
    a *= a.dtype.type(1 - momentum)
    a += (new * momentum).astype(a.dtype, copy=False)
    bump(running, "batch_norm_")


def _update(running_mean: Any, running_var: Any, mean: Any, var: Any, count: int, momentum: float) -> None:
    """Running statistics after one batch; the variance enters unbiased, with n - 1."""
    if running_mean is not None:
        _average(running_mean, mean, momentum)
    if running_var is not None:
        _average(running_var, var * (count / (count - 1) if count > 1 else math.nan), momentum)


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel to mean 0 and variance 1, times ``weight`` plus ``bias``: (n, c, ...) -> (n, c, ...).

    In training by the batch's statistics, which also move the running ones by ``momentum`` (the variance with n - 1);
    else by the running ones.
    """
    x = floating(input, "batch_norm")
    if x._a.ndim < 2:
        raise ShapeError(f"batch_norm: expected input (n, c, ...), found size {list(x._a.shape)}")
    _per_channel(x, "batch_norm", running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    count = x._a.size // max(1, x._a.shape[1])
    if training:
        if count == 1:
            raise ShapeError(
                f"Expected more than 1 value per channel when training, got input size {list(x._a.shape)}; "
                "call model.eval(), or use a larger batch"
            )
        y, mean, var = _normalized(x, weight, bias, eps)
        _update(running_mean, running_var, mean._a, var._a, count, momentum)
        return y
    if running_mean is None or running_var is None:
        raise ArgumentError("Expected running_mean and running_var to be defined when training=False")
    rstd = 1 / (running_var + eps).sqrt()
    scale = rstd if weight is None else rstd * weight
    shift = -running_mean * scale if bias is None else bias - running_mean * scale
    return apply(ops.channel_affine, (x, _as(scale, x), _as(shift, x)), {})


def _as(v: Any, x: Any) -> Any:
    """``v`` in the dtype of ``x``; None stays None."""
    return v if v is None or v._a.dtype == x._a.dtype else apply(cast, (v,), {"dtype": x._a.dtype})


def _normalized(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    """batch_norm with its statistics, in float32 for half precision."""
    if x._a.dtype.itemsize == 2:
        wide = apply(cast, (x,), {"dtype": np.dtype(np.float32)})
        y, mean, var = _normalized(wide, _as(weight, wide), _as(bias, wide), eps)
        return _as(y, x), mean, var
    return apply(ops.batch_norm, (x, _as(weight, x), _as(bias, x)), {"eps": eps})


def _rows(x: Any, shape: Any, name: str) -> tuple[Any, tuple[int, ...], int]:
    """The input as rows over its trailing ``shape``."""
    shape = tuple(int(n) for n in shape) if isinstance(shape, (tuple, list)) else (int(shape),)
    if not shape:
        raise ShapeError(
            f"{name}: Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, "
            "but got normalized_shape = []"
        )
    found = x._a.shape
    if len(found) < len(shape) or found[len(found) - len(shape) :] != shape:
        wanted = "".join(f", {n}" for n in shape)
        raise ShapeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*{wanted}], but got input of size"
            f"{list(found)}"
        )
    width = math.prod(shape)
    return shaped(x, (x._a.size // max(1, width), width)), shape, width


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Each sample's trailing axes to mean 0 and variance 1, times ``weight`` plus ``bias``: (..., *shape) -> same."""
    x = floating(input, "layer_norm")
    rows, shape, width = _rows(x, normalized_shape, "layer_norm")
    for what, v in (("weight", weight), ("bias", bias)):
        if v is not None and v._a.shape != shape:
            raise ShapeError(
                f"Expected {what} to be of same shape as normalized_shape, but got {what} of shape "
                f"{list(v._a.shape)} and normalized_shape = {list(shape)}"
            )
    weight, bias = (None if v is None else shaped(v, (width,)) for v in (weight, bias))
    return shaped(_layer_norm(rows, weight, bias, eps), x._a.shape)


def _layer_norm(rows: Any, weight: Any, bias: Any, eps: float) -> Any:
    if rows._a.dtype.itemsize == 2:
        wide = apply(cast, (rows,), {"dtype": np.dtype(np.float32)})
        return _as(_layer_norm(wide, _as(weight, wide), _as(bias, wide), eps), rows)
    return apply(norm_rows.layer_norm, (rows, _as(weight, rows), _as(bias, rows)), {"eps": eps})[0]


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """Each sample's trailing axes divided by their root mean square, times ``weight``; eps defaults to the dtype's."""
    x = floating(input, "rms_norm")
    rows, shape, width = _rows(x, normalized_shape, "rms_norm")
    if weight is not None and weight._a.shape != shape:
        raise ShapeError(
            f"Expected weight to be of same shape as normalized_shape, but got weight of shape {list(weight._a.shape)} "
            f"and normalized_shape = {list(shape)}"
        )
    half = x._a.dtype.itemsize == 2
    wide = apply(cast, (rows,), {"dtype": np.dtype(np.float32)}) if half else rows
    if eps is None:
        eps = float(np.finfo(wide._a.dtype).eps)
    scale = None if weight is None else _as(shaped(weight, (width,)), wide)
    y = apply(norm_rows.rms_norm, (wide, scale), {"eps": eps})[0]
    return shaped(_as(y, x), x._a.shape)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Each group of channels of each sample to mean 0 and variance 1: (n, c, ...) -> (n, c, ...)."""
    x = floating(input, "group_norm")
    found = x._a.shape
    if len(found) < 2:
        raise ShapeError(f"Expected at least 2 dimensions for input tensor but received {len(found)}")
    if num_groups <= 0:
        raise ArgumentError(f"Expected num groups to be greater than 0, got {num_groups}")
    if found[1] % num_groups:
        raise ShapeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape {list(found)} "
            f"and num_groups={num_groups}"
        )
    if found[0] * (found[1] // num_groups) * math.prod(found[2:]) == 1:
        raise ShapeError(f"Expected more than 1 value per channel when training, got input size {list(found)}")
    for what, v in (("weight", weight), ("bias", bias)):
        if v is not None and v._a.shape != (found[1],):
            raise ShapeError(
                f"Expected {what} to be a vector of size equal to the number of channels in input, but got {what} of "
                f"shape {list(v._a.shape)} and input of shape {list(found)}"
            )
    groups = found[0] * num_groups
    rows = shaped(x, (groups, x._a.size // max(1, groups)))
    y = shaped(_layer_norm(rows, None, None, eps), found)
    return _scaled(y, weight, bias)


def _scaled(y: Any, weight: Any, bias: Any) -> Any:
    """``y * weight + bias`` per channel; None leaves that part out."""
    weight, bias = _as(weight, y), _as(bias, y)
    if weight is not None:
        return apply(ops.channel_affine, (y, weight) if bias is None else (y, weight, bias), {})
    return y if bias is None else y + shaped(bias, (-1,) + (1,) * (y._a.ndim - 2))


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each sample to mean 0 and variance 1: (n, c, ...) -> (n, c, ...)."""
    x = floating(input, "instance_norm")
    if x._a.ndim < 2:
        raise ShapeError(f"instance_norm: expected input (n, c, ...), found size {list(x._a.shape)}")
    _per_channel(x, "instance_norm", running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    n, c = x._a.shape[:2]
    count = math.prod(x._a.shape[2:])
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if count == 1:
        raise ShapeError(f"Expected more than 1 spatial element when training, got input size {list(x._a.shape)}")
    y, mean, var = _normalized(shaped(x, (1, n * c, *x._a.shape[2:])), None, None, eps)
    if running_mean is not None or running_var is not None:
        _update(running_mean, running_var, mean._a.reshape(n, c).mean(0), var._a.reshape(n, c).mean(0), count, momentum)
    return _scaled(shaped(y, x._a.shape), weight, bias)


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """``x / (k + alpha * mean(x**2 over size neighbouring channels))**beta``: (n, c, ...) -> (n, c, ...)."""
    x = floating(input, "local_response_norm")
    found = x._a.shape
    if len(found) < 3:
        raise ShapeError(f"Expected 3D or higher dimensionality input (got {len(found)} dimensions)")
    if x._a.size == 0:
        return x
    squares = shaped(x * x, (found[0], found[1], -1))
    pads = ((size // 2, (size - 1) // 2), (0, 0))
    meta = {"kernel": (size, 1), "stride": (1, 1), "padding": (0, 0), "out_size": (found[1], squares._a.shape[2])}
    total = apply(window_sum, (apply(pad_constant, (squares,), {"pads": pads}),), meta)
    return x / shaped(total * (alpha / size) + k, found) ** beta
