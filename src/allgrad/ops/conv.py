"""Convolution over any number of spatial axes, and its two adjoints.

The three are one trilinear form seen from its three sides, so each is the derivative of the others and the rule
of derivation never leaves this file:

    conv(x, w)            (n, c, *in), (o, c/groups, *kernel) -> (n, o, *out)
    conv_input_grad(y, w) (n, o, *out), w                     -> (n, c, *in)      also: transposed convolution
    conv_weight_grad(x,y) x, (n, o, *out)                     -> (o, c/groups, *kernel)

Settings are tuples, one entry per spatial axis.  How the numbers are computed is in ``conv_compute``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.conv_columns import convolution_taps
from allgrad.ops.conv_compute import correlate, input_grad, weight_grad
from allgrad.ops.op import op
from allgrad.ops.shape import expand, slice_

Array = Any
Ints = tuple[int, ...]


@op
def conv(
    x: Array, weight: Array, bias: Array = None, *, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """Cross-correlation, as every library calls it: (n, c, *in), (o, c/groups, *kernel), (o,) -> (n, o, *out)."""
    return correlate(
        x, weight, bias, convolution_taps(x.shape[2:], weight.shape[2:], stride, padding, dilation), groups
    )


@op
def conv_input_grad(
    y: Array,
    weight: Array,
    bias: Array = None,
    *,
    size: Ints,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
) -> Array:
    """The adjoint of ``conv`` in its input, plus a bias per channel: -> (n, c, *size)."""
    taps = convolution_taps(size, weight.shape[2:], stride, padding, dilation, y.shape[2:])
    return input_grad(y, weight, bias, taps, groups)


@op
def conv_weight_grad(
    x: Array, y: Array, *, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> Array:
    """The adjoint of ``conv`` in its weight: -> (o, c/groups, *kernel)."""
    taps = convolution_taps(x.shape[2:], kernel, stride, padding, dilation, y.shape[2:])
    return weight_grad(x, y, kernel, taps, groups)


def _cropped(y: Array, shape: Any) -> Array:
    """The first elements of each spatial axis, as many as ``shape`` has.

    A transposed convolution with output padding is given fewer than a convolution of its result would make.
    """
    if tuple(y.shape[2:]) == tuple(shape[2:]):
        return y
    return slice_(y, index=(slice(None), slice(None), *(slice(0, n) for n in shape[2:])))


@op
def channel_sum(x: Array) -> Array:
    """The sum over all axes but the second: (n, c, ...) -> (c,), the gradient of a bias per channel."""
    if not x.size:
        return np.zeros(x.shape[1], x.dtype)
    if x.dtype.kind != "f" or x.dtype.itemsize < 4 or x.ndim == 2:
        return x.sum((0, *range(2, x.ndim)))
    rows = x.reshape(x.shape[0] * x.shape[1], -1)
    # A product with ones streams at memory speed; NumPy's sum over short rows does not.
    return (rows @ np.ones(rows.shape[1], x.dtype)).reshape(x.shape[:2]).sum(0)


channel_sum.pull(x=lambda g, x_shape: expand(g.reshape(-1, *(1,) * (len(x_shape) - 2)), shape=tuple(x_shape)))

conv.pull(
    x=lambda g, x_shape, weight, *, stride, padding, dilation, groups: conv_input_grad(
        g, weight, size=tuple(x_shape[2:]), stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    weight=lambda g, x, weight_shape, *, stride, padding, dilation, groups: conv_weight_grad(
        x, g, kernel=tuple(weight_shape[2:]), stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    bias=lambda g: channel_sum(g),
)
conv_input_grad.pull(
    y=lambda g, weight, y_shape, *, stride, padding, dilation, groups: _cropped(
        conv(g, weight, stride=stride, padding=padding, dilation=dilation, groups=groups), y_shape
    ),
    weight=lambda g, y, weight_shape, *, stride, padding, dilation, groups: conv_weight_grad(
        g, y, kernel=tuple(weight_shape[2:]), stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    bias=lambda g: channel_sum(g),
)
conv_weight_grad.pull(
    x=lambda g, x_shape, y, *, stride, padding, dilation, groups: conv_input_grad(
        y, g, size=tuple(x_shape[2:]), stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    y=lambda g, x, y_shape, *, stride, padding, dilation, groups: _cropped(
        conv(x, g, stride=stride, padding=padding, dilation=dilation, groups=groups), y_shape
    ),
)
