"""Max, average and adaptive pooling in one, two and three dimensions."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, ShapeError
from allgrad.nn.functional.arguments import Ints, floating, ints, tensor
from allgrad.ops import pool_avg, pool_max


def check_input(x: Any, d: int, name: str) -> None:
    """ShapeError unless (n, c, ...) or (c, ...) with nothing empty but the batch."""
    ndim = x._a.ndim
    if ndim not in (d + 1, d + 2):
        raise ShapeError(
            f"{name}: Expected {d + 1}D or {d + 2}D (batch mode) tensor for input, but got: {list(x._a.shape)}"
        )
    if 0 in x._a.shape[1 if ndim == d + 2 else 0 :]:
        raise ShapeError(
            f"{name}: Expected {d + 1}D or {d + 2}D (batch mode) tensor with optional 0 dim batch size for input, but "
            f"got: {list(x._a.shape)}"
        )


def _windows(
    x: Any, d: int, name: str, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Kernel, stride, padding, dilation and output sizes, checked."""
    kernel = ints(kernel_size, d, name, "kernel_size")
    empty = stride is None or (isinstance(stride, (tuple, list)) and len(stride) == 0)
    strides = kernel if empty else ints(stride, d, name, "stride")
    paddings, dilations = ints(padding, d, name, "padding"), ints(dilation, d, name, "dilation")
    if any(k <= 0 for k in kernel):
        raise ArgumentError(f"{name}: kernel size should be greater than zero, but got {list(kernel)}")
    if any(s <= 0 for s in strides):
        raise ArgumentError(f"{name}: stride should be greater than zero, but got {list(strides)}")
    if any(e <= 0 for e in dilations):
        raise ArgumentError(f"{name}: dilation should be greater than zero, but got {list(dilations)}")
    for p, k, e in zip(paddings, kernel, dilations):
        if p < 0:
            raise ArgumentError(f"{name}: pad must be non-negative, but got pad: {p}")
        if p > (e * (k - 1) + 1) // 2:
            raise ArgumentError(
                f"{name}: pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                f"dilation={e}"
            )
    size = x._a.shape[-d:]
    out = []
    for n, k, s, p, e in zip(size, kernel, strides, paddings, dilations):
        room = n + 2 * p - e * (k - 1) - 1
        length = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (length - 1) * s >= n + p:
            length -= 1  # the last window must start inside the input or its left padding
        out.append(length)
    if any(n <= 0 for n in out):
        raise ShapeError(
            f"Given input size: {list(x._a.shape)}. Calculated output size: {[*x._a.shape[:-d], *out]}. "
            "Output size is too small"
        )
    return kernel, strides, paddings, dilations, tuple(out)


def _max_pool(
    d: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: bool
) -> Any:
    name = f"max_pool{d}d"
    x = tensor(input, name)
    check_input(x, d, name)
    kernel, strides, paddings, dilations, out = _windows(x, d, name, kernel_size, stride, padding, dilation, ceil_mode)
    meta = {"kernel": kernel, "stride": strides, "padding": paddings, "dilation": dilations}
    y = apply(pool_max.max_pool, (x,), {**meta, "out_size": out})
    if not indices:
        return y
    choice = pool_max.max_pool_choice.forward(x._a, y._a, out_size=out, **meta)
    places = apply(pool_max.max_pool_indices, (choice,), {**meta, "size": tuple(x._a.shape[-d:])})
    return y, places


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window: (n, c, length) -> (n, c, length'); with indices if asked for."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window: (n, c, h, w) -> (n, c, h', w'); with its place in the flat h * w if asked for."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window: (n, c, d, h, w) -> (n, c, d', h', w'); with indices if asked for."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    d: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    name = f"avg_pool{d}d"
    x = floating(input, name)
    check_input(x, d, name)
    if divisor_override == 0:
        raise ArgumentError("divisor must be not zero: divisor_override=0")
    kernel, strides, paddings, _, out = _windows(x, d, name, kernel_size, stride, padding, 1, ceil_mode)
    meta = {"kernel": kernel, "stride": strides, "padding": paddings, "out_size": out}
    total = apply(pool_avg.window_sum, (x,), meta)
    size = tuple(x._a.shape[-d:])
    factor = pool_avg.shares(size, kernel, strides, paddings, out, count_include_pad, divisor_override)
    return total * (factor if isinstance(factor, float) else factor.astype(x._a.dtype))


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window: (n, c, length) -> (n, c, length')."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window: (n, c, h, w) -> (n, c, h', w'); ``divisor_override`` divides in place of the count."""
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window: (n, c, d, h, w) -> (n, c, d', h', w')."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
