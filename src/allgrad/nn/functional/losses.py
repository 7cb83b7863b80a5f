"""Losses that compare element with element."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply, wrap
from allgrad.context import ctx
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.promote import promoted
from allgrad.nn.functional.arguments import floating, reduction_of, tensor, type_name
from allgrad.ops import loss_elementwise as ops
from allgrad.ops.arithmetic import exp, log
from allgrad.ops.compare_choice import clamp
from allgrad.ops.math_binary import xlogy


def reduce_loss(loss: Any, reduction: str) -> Any:
    """The mean (nan over nothing), the sum, or the loss itself."""
    if reduction == "none":
        return loss
    return mean_of(loss.mean(), loss._a.size) if reduction == "mean" else loss.sum()


def mean_of(loss: Any, count: Any) -> Any:
    """``loss``, which is a sum divided by ``count``: noted where somebody weighs losses by it."""
    if ctx.mean_losses is not None and loss._node is not None:
        ctx.mean_losses[loss._node.seq] = float(count)
    return loss


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


def weighted(loss: Any, weight: Any, reduction: str) -> Any:
    """The loss times ``weight``; the mean divides by the sum of the weights."""
    if weight._a.shape != loss._a.shape:
        raise ShapeError("Inputs and weight must have the same size.")
    loss = loss * weight
    if reduction == "none":
        return loss
    return mean_of(loss.sum() / weight.sum(), weight._a.sum()) if reduction == "mean" else loss.sum()


def _compared(op: Any, x: Any, y: Any, weight: Any, reduction: str, **settings: Any) -> Any:
    """A fused comparison op, weighted or not."""
    if weight is not None:
        return weighted(apply(op, (x, y), {"reduction": "none", **settings}), weight, reduction)
    loss = apply(op, (x, y), {"reduction": reduction, **settings})
    if ctx.mean_losses is not None and reduction == "mean":
        mean_of(loss, np.broadcast(x._a, y._a).size)
    return loss


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
    return _compared(ops.mse_loss, x, y, weight, reduction)


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The absolute difference: (...), (...) -> () or (...)."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = pair("l1_loss", input, target)
    return _compared(ops.l1_loss, x, y, weight, reduction)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """``d**2 / (2 beta)`` for differences under ``beta``, ``|d| - beta / 2`` beyond: (...), (...) -> () or (...)."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = pair("smooth_l1_loss", input, target)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss does not support negative values for beta, found {beta}")
    if beta == 0:
        return _compared(ops.l1_loss, x, y, None, reduction)
    return _compared(ops.huber_loss, x, y, None, reduction, delta=float(beta)) / beta


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """``d**2 / 2`` for differences up to ``delta``, ``delta * (|d| - delta / 2)`` beyond: (...), (...) -> () or (...)."""
    reduction = reduction_of(None, None, reduction)
    x, y = pair("huber_loss", input, target)
    if delta <= 0:
        raise ArgumentError(f"huber_loss does not support non-positive values for delta, found {delta}")
    return _compared(ops.huber_loss, x, y, weight, reduction, delta=float(delta))


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Binary cross-entropy in nats of probabilities: (...), (...) -> () or (...).  Scores belong in the function
    with logits, which is stable."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = floating(input, "binary_cross_entropy"), tensor(target, "binary_cross_entropy", "target")
    if x._a.shape != y._a.shape:
        raise ShapeError(
            f"Using a target size ({y.shape}) that is different to the input size ({x.shape}) is deprecated. Please "
            "ensure they have the same size."
        )
    if x._a.dtype != y._a.dtype:
        raise DtypeError(f"Found dtype {type_name(y)} but expected {type_name(x)}; convert the target, target.float()")
    for what, a in (("input", x._a), ("target", y._a)):
        if a.size and not (a.min() >= 0 and a.max() <= 1):
            raise ArgumentError(f"all elements of {what} should be between 0 and 1, found {a.min()} to {a.max()}")
    loss = apply(ops.bce, (x, y), {})
    return reduce_loss(loss if weight is None else loss * weight, reduction)


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
    return reduce_loss(loss if weight is None else loss * weight, reduction)


def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """``target * (log(target) - input)``, ``input`` being log-probabilities: (...), (...) -> () or (...).

    ``batchmean``, the sum over the length of the first axis, is the divergence of its definition; ``mean`` is not.
    """
    if size_average is None and reduce is None and reduction == "batchmean":
        kind = "sum"
    else:
        kind = reduction = reduction_of(size_average, reduce, reduction)
        if reduction == "mean":
            warnings.warn(
                "reduction: 'mean' divides the total loss by both the batch size and the support size."
                "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
                "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
                UserWarning,
                stacklevel=2,
            )
    x, y = promoted(tensor(input, "kl_div"), tensor(target, "kl_div", "target"))
    x = floating(x, "kl_div")
    loss = apply(exp, (y,), {}) * (y - x) if log_target else apply(xlogy, (y, y), {}) - y * x
    loss = reduce_loss(loss, kind)
    return loss / x._a.shape[0] if reduction == "batchmean" and x._a.ndim else loss


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``exp(input) - target * input``, or with ``log_input=False`` ``input - target * log(input + eps)``; ``full``
    adds Stirling's log(target!) for targets over 1: (...), (...) -> () or (...)."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = promoted(tensor(input, "poisson_nll_loss"), tensor(target, "poisson_nll_loss", "target"))
    x = floating(x, "poisson_nll_loss")
    loss = apply(exp, (x,), {}) - y * x if log_input else x - y * apply(log, (x + eps,), {})
    if full:
        large = (y._a > 1).astype(y._a.dtype)
        safe = y * large + (1 - large)
        loss = loss + (safe * apply(log, (safe,), {}) - safe + 0.5 * apply(log, (2 * math.pi * safe,), {})) * large
    return reduce_loss(loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """``(log(var) + (input - target)**2 / var) / 2``, ``var`` at least ``eps``; ``full`` adds log(2 pi) / 2.

    ``var`` has the input's shape, or that without or with one for the last axis, or is a number.
    """
    x, y = tensor(input, "gaussian_nll_loss"), tensor(target, "gaussian_nll_loss", "target")
    if not isinstance(var, Variable):
        if var < 0:
            raise ArgumentError("var has negative entry/entries")
        var = wrap(np.full(x._a.shape, var, x._a.dtype))
    elif var._a.size and (var._a < 0).any():
        raise ArgumentError("var has negative entry/entries")
    found, shape = var._a.shape, x._a.shape
    if found != shape:
        if found == shape[:-1]:
            var = var.unsqueeze(-1)
        elif not (len(found) == len(shape) and found[:-1] == shape[:-1] and found[-1] == 1):
            raise ShapeError(f"var is of incorrect size: {list(found)} for input {list(shape)}")
    reduction = reduction_of(None, None, reduction)
    # Limited from below outside the graph: the gradient in var passes also where it is cut.
    var = var + np.maximum(var._a.dtype.type(eps) - var._a, 0)
    d = x - y
    loss = 0.5 * (apply(log, (var,), {}) + d * d / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce_loss(loss, reduction)


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``log(1 + exp(-target * input))`` for targets of 1 and -1: (...), (...) -> () or (...)."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = promoted(tensor(input, "soft_margin_loss"), tensor(target, "soft_margin_loss", "target"))
    return reduce_loss(apply(ops.softplus_minus, (floating(x * y, "soft_margin_loss"),), {}), reduction)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1: (...), (...) -> () or (...)."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = tensor(input, "hinge_embedding_loss"), tensor(target, "hinge_embedding_loss", "target")
    x = floating(x, "hinge_embedding_loss")
    kind = x._a.dtype
    far = apply(clamp, (margin - x,), {"min": 0})
    return reduce_loss(far * (y._a != 1).astype(kind) + x * (y._a != -1).astype(kind), reduction)
