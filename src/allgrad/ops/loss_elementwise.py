"""Losses that compare element with element, each one fused op: difference, penalty, mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.arithmetic import log, sigmoid
from allgrad.ops.compare_choice import clamp
from allgrad.ops.op import op

Array = Any


def reduced(loss: Array, reduction: str) -> Array:
    """The loss itself, its sum, or its mean (nan over nothing)."""
    if reduction == "none":
        return loss
    total = loss.sum()
    return np.asarray(total / loss.dtype.type(loss.size) if reduction == "mean" else total, loss.dtype)


def share(*shapes: Any, reduction: str) -> float:
    """What one element counts in the result: 1, or 1/n for the mean over the broadcast shape."""
    n = math.prod(np.broadcast_shapes(*shapes)) if reduction == "mean" else 1
    return 1 / n if n else float("nan")


@op
def mse_loss(x: Array, y: Array, *, reduction: str = "mean") -> Array:
    """``(x - y)**2``, reduced."""
    d = np.subtract(x, y)
    if reduction == "none":
        return d * d
    flat = d.reshape(-1)
    total = flat @ flat
    return np.asarray(total / d.dtype.type(d.size) if reduction == "mean" else total, d.dtype)


mse_loss.pull(
    x=lambda g, x, y, *, reduction: (x - y) * (g * (2 * share(x.shape, y.shape, reduction=reduction))),
    y=lambda g, x, y, *, reduction: (y - x) * (g * (2 * share(x.shape, y.shape, reduction=reduction))),
)


@op
def softplus_minus(x: Array) -> Array:
    """``log(1 + exp(-x))``, without overflow: minus the logarithm of the sigmoid."""
    y = np.abs(x)
    y = np.log1p(np.exp(-y))
    y -= np.minimum(x, 0)
    return y


softplus_minus.pull(x=lambda g, x: g * (sigmoid(x) - 1))


@op
def bce_with_logits(x: Array, y: Array, pos_weight: Array = None) -> Array:
    """Binary cross-entropy of ``sigmoid(x)`` against ``y`` in nats; the term of ``y`` times ``pos_weight``."""
    cost = softplus_minus.forward(x)
    if pos_weight is not None:
        cost = cost * (1 + (pos_weight - 1) * y)
    cost += (1 - y) * x
    return cost


def _bce_x(g: Array, x: Array, y: Array, pos_weight: Array) -> Array:
    if pos_weight is None:
        return g * (sigmoid(x) - y)
    return g * ((1 - y) + ((pos_weight - 1) * y + 1) * (sigmoid(x) - 1))


def _bce_y(g: Array, x: Array, pos_weight: Array) -> Array:
    return -g * x if pos_weight is None else g * ((pos_weight - 1) * softplus_minus(x) - x)


bce_with_logits.pull(x=_bce_x, y=_bce_y, pos_weight=lambda g, x, y: g * y * softplus_minus(x))


@op
def step_sign(x: Array) -> Array:
    """-1, 0 or 1 by the sign of ``x``; its derivative is zero."""
    return np.sign(x)


@op
def step_inside(x: Array, *, limit: float) -> Array:
    """One where ``|x| < limit``, else zero; its derivative is zero."""
    return (np.abs(x) < limit).astype(x.dtype)


@op
def step_clip(x: Array, *, limit: float) -> Array:
    """``x`` limited to ``[-limit, limit]``: the slope of ``huber_loss``."""
    return np.clip(x, x.dtype.type(-limit), x.dtype.type(limit))


step_sign.pull(x=lambda g: g * 0)
step_inside.pull(x=lambda g: g * 0)
step_clip.pull(x=lambda g, x, *, limit: g * step_inside(x, limit=limit))


@op
def l1_loss(x: Array, y: Array, *, reduction: str = "mean") -> Array:
    """``|x - y|``, reduced."""
    d = np.subtract(x, y)
    return reduced(np.abs(d, out=d) if d.ndim else np.abs(d), reduction)


l1_loss.pull(
    x=lambda g, x, y, *, reduction: step_sign(x - y) * (g * share(x.shape, y.shape, reduction=reduction)),
    y=lambda g, x, y, *, reduction: step_sign(y - x) * (g * share(x.shape, y.shape, reduction=reduction)),
)


@op
def huber_loss(x: Array, y: Array, *, delta: float, reduction: str = "mean") -> Array:
    """``d**2 / 2`` for differences up to ``delta``, ``delta * (|d| - delta / 2)`` beyond, reduced."""
    d = np.abs(np.subtract(x, y))
    near = np.minimum(d, d.dtype.type(delta))
    # Both branches are near * (d - near / 2).
    return reduced(np.asarray(near * (d - near * d.dtype.type(0.5))), reduction)


huber_loss.pull(
    x=lambda g, x, y, *, delta, reduction: (
        step_clip(x - y, limit=delta) * (g * share(x.shape, y.shape, reduction=reduction))
    ),
    y=lambda g, x, y, *, delta, reduction: (
        step_clip(y - x, limit=delta) * (g * share(x.shape, y.shape, reduction=reduction))
    ),
)


@op
def bce(x: Array, y: Array) -> Array:
    """Binary cross-entropy of probabilities in nats; logarithms are cut off at -100, as in PyTorch."""
    low = x.dtype.type(-100)
    return -(y * np.maximum(np.log(x), low) + (1 - y) * np.maximum(np.log1p(-x), low))


bce.pull(
    x=lambda g, x, y: g * (x - y) / clamp(x * (1 - x), min=1e-12),
    y=lambda g, x: g * (log(1 - x) - log(x)),
)
