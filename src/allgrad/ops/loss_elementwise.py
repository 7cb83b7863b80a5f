"""Losses that compare element with element, each one fused op: difference, penalty, mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.ops.arithmetic import sigmoid
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
