"""Losses that compare element with element."""

from __future__ import annotations

import math
import warnings
from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ShapeError
from allgrad.functions.promote import promoted
from allgrad.nn.functional.arguments import floating, reduction_of, tensor
from allgrad.ops import loss_elementwise as ops


def reduce_loss(loss: Any, reduction: str) -> Any:
    """The mean, the sum, or the loss itself."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def pair(name: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Both as floating Tensors of one dtype; PyTorch's warning when they only broadcast."""
    x, y = tensor(input, name), tensor(target, name, "target")
    if x._a.shape != y._a.shape:
        warnings.warn(
            f"Using a target size ({y.shape}) that is different to the input size ({x.shape}). This will likely lead "
            "to incorrect results due to broadcasting. Please ensure they have the same size.",
            UserWarning,
            stacklevel=3,
        )
    x, y = promoted(x, y)
    return floating(x, name), y


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The squared difference: (...), (...) -> () or (...)."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = pair("mse_loss", input, target)
    if weight is not None:
        return weighted(apply(ops.mse_loss, (x, y), {"reduction": "none"}), weight, reduction)
    return apply(ops.mse_loss, (x, y), {"reduction": reduction})


def weighted(loss: Any, weight: Any, reduction: str) -> Any:
    """The loss times ``weight``; the mean divides by the sum of the weights."""
    if weight._a.shape != loss._a.shape:
        raise ShapeError("Inputs and weight must have the same size.")
    loss = loss * weight
    if reduction == "none":
        return loss
    return loss.sum() / weight.sum() if reduction == "mean" else loss.sum()


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """Binary cross-entropy in nats of ``sigmoid(input)``, stable for large scores: (...), (...) -> () or (...)."""
    reduction = reduction_of(size_average, reduce, reduction)
    name = "binary_cross_entropy_with_logits"
    x, y = floating(input, name), tensor(target, name, "target")
    if x._a.shape != y._a.shape:
        raise ShapeError(f"Target size ({y.shape}) must be the same as input size ({x.shape})")
    x, y = promoted(x, y)
    loss = apply(ops.bce_with_logits, (x, y, pos_weight), {})
    if weight is not None:
        loss = loss * weight
    return reduce_loss(loss, reduction) if loss._a.size or reduction != "mean" else loss.sum() * math.nan
