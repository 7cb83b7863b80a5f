"""Activation functions made of straight pieces.  Their gradients at the kinks are PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.arithmetic import gate, tie
from allgrad.ops.blocks import bounded
from allgrad.ops.op import op

Array = Any


@op
def hardtanh(x: Array, *, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """x limited to [min_val, max_val]; derivative 0 at both ends (``clamp`` has 1 there)."""
    return bounded(x, min_val, max_val)


hardtanh.pull(
    x=lambda g, x, *, min_val, max_val: gate(tie(g, x), ((x <= min_val) | (x >= max_val)) == False)  # noqa: E712 - nan passes
)


@op
def leaky_relu(x: Array, *, negative_slope: float = 0.01) -> Array:
    """x above 0, else ``negative_slope * x``, whose slope also holds at 0."""
    slope = x.dtype.type(negative_slope)
    y = x * slope
    return np.maximum(x, y) if 0 <= negative_slope <= 1 else np.where(x > 0, x, y)


leaky_relu.pull(x=lambda g, x, *, negative_slope: leaky_gate(tie(g, x), x > 0, slope=negative_slope))


@op
def leaky_gate(x: Array, mask: Array, *, slope: float) -> Array:
    """``x`` where the mask holds, else ``slope * x``."""
    factor = np.asarray(mask).astype(x.dtype)
    factor *= x.dtype.type(1.0 - slope)
    factor += x.dtype.type(slope)
    return np.where(mask, x, x * x.dtype.type(slope)) if np.ndim(factor) == 0 else np.multiply(factor, x, out=factor)


leaky_gate.pull(x=lambda g, mask, *, slope: leaky_gate(g, mask, slope=slope))


@op
def threshold(x: Array, *, threshold: float, value: float) -> Array:
    """x above the threshold, else ``value``."""
    return np.where(x <= threshold, x.dtype.type(value), x)


threshold.pull(x=lambda g, x, *, threshold: gate(tie(g, x), (x <= threshold) == False))  # noqa: E712 - nan passes


@op
def softshrink(x: Array, *, lambd: float = 0.5) -> Array:
    """x moved towards 0 by ``lambd``; 0 nearer than that."""
    return x - bounded(x, -lambd, lambd)


softshrink.pull(x=lambda g, x, *, lambd: gate(tie(g, x), ((x >= -lambd) & (x <= lambd)) == False))  # noqa: E712


@op
def hardshrink(x: Array, *, lambd: float = 0.5) -> Array:
    """x farther than ``lambd`` from 0, else 0."""
    return gate.forward(x, ~((x >= -lambd) & (x <= lambd)))


hardshrink.pull(x=lambda g, x, *, lambd: gate(tie(g, x), ((x >= -lambd) & (x <= lambd)) == False))  # noqa: E712


@op
def hardsigmoid(x: Array) -> Array:
    """``clamp(x + 3, 0, 6) / 6``."""
    kind = x.dtype.type
    y = np.asarray(x + kind(3))
    y = np.asarray(bounded(y, 0, 6))
    y *= kind(1 / 6)
    return y


hardsigmoid.pull(x=lambda g, x: gate(tie(g, x) * (1 / 6), (x > -3) & (x < 3)))


@op
def hardswish(x: Array) -> Array:
    """``x * clamp(x + 3, 0, 6) / 6``."""
    y = hardsigmoid.forward(x)
    y *= x
    return y


hardswish.pull(x=lambda g, x: g * hardswish_slope(x))


@op
def hardswish_slope(x: Array) -> Array:
    """Derivative of ``hardswish``: 0 up to -3, 1 from 3 on (and for nan), ``x / 3 + 1/2`` between."""
    kind = x.dtype.type
    y = np.asarray(x * kind(1 / 3))
    y += kind(0.5)
    y = np.asarray(gate.forward(y, (x > -3) & (x < 3)))
    y += np.logical_not(x < 3).astype(x.dtype)
    return y


hardswish_slope.pull(x=lambda g, x: gate(g * (1 / 3), (x > -3) & (x < 3)))
