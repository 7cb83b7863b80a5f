"""Losses over classes: ``cross_entropy`` and ``nll_loss``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply
from allgrad.context import ctx
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.nn.functional.activations import log_softmax
from allgrad.nn.functional.arguments import floating, is_floating, reduction_of, same_type, shaped, tensor, type_name
from allgrad.nn.functional.losses import mean_of
from allgrad.ops import loss as ops
from allgrad.ops.shape import permute


def _rows(x: Any) -> Any:
    """(n, c, d1, ...) -> (n * d1 * ..., c), recorded."""
    if x._a.ndim == 2:
        return x
    order = (0, *range(2, x._a.ndim), 1)
    return shaped(apply(permute, (x,), {"dims": order}), (-1, x._a.shape[1]))


def _check_target(x: Any, target: Any, name: str) -> None:
    """Class indices (n, d1, ...) for scores (n, c, d1, ...); without batch () for (c,)."""
    if target._a.dtype.name not in ("int64", "uint8"):
        raise DtypeError(
            f"{name}: expected scalar type Long but found {type_name(target)}: class indices are int64; convert with "
            "target.long()"
        )
    found, wanted = target._a.shape, x._a.shape
    if len(wanted) == 1:
        if found not in ((), (1,)):
            raise ShapeError(
                f"{name}: for input of size {list(wanted)} expected a target of size [], got {list(found)}"
            )
        return
    if not found or found[0] != wanted[0]:
        raise ShapeError(
            f"Expected input batch_size ({wanted[0]}) to match target batch_size ({found[0] if found else 0})."
        )
    if found[1:] != wanted[2:]:
        raise ShapeError(
            f"{name}: expected target of size {[wanted[0], *wanted[2:]]} for input of size {list(wanted)}, got "
            f"{list(found)}"
        )


def _check_weight(weight: Any, x: Any, classes: int, name: str) -> Any:
    if weight is None:
        return None
    weight = tensor(weight, name, "weight")
    same_type(name, x, weight)
    if weight._a.shape != (classes,):
        raise ShapeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of "
            f"shape: {list(weight._a.shape)}"
        )
    return weight


def _plain(input: Any, target: Any) -> bool:
    """Whether these are float32 scores (n, c) and as many int64 class indices, and nobody weighs mean losses."""
    if not (isinstance(input, Variable) and isinstance(target, Variable)) or ctx.mean_losses is not None:
        return False
    x, y = input._a, target._a
    return x.ndim == 2 and y.ndim == 1 and len(x) == len(y) and x.dtype == np.float32 and y.dtype == np.int64


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Negative log-likelihood in nats of the target under ``softmax(input)``.

    Scores (n, c, d1, ...) or (c,); target int64 class indices (n, d1, ...) or (), or floating probabilities of the
    scores' shape.  ``mean`` divides by the weights of the targets that count, for probabilities by n * d1 * ....
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if weight is None and not label_smoothing and reduction != "none" and _plain(input, target):
        meta = {"ignore_index": ignore_index, "smoothing": 0.0, "reduction": reduction}
        return apply(ops.cross_entropy, (input, target._a, None), meta)
    x, target = floating(input, "cross_entropy"), tensor(target, "cross_entropy", "target")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if x._a.ndim == 0:
        raise ShapeError("cross_entropy: expected scores (n, c, ...) or (c,), found a 0-d input")
    classes = x._a.shape[0 if x._a.ndim == 1 else 1]
    weight = _check_weight(weight, x, classes, "cross_entropy")
    if is_floating(target) and target._a.shape == x._a.shape:
        return _cross_entropy_of_probabilities(x, target, weight, ignore_index, reduction, label_smoothing)
    _check_target(x, target, "cross_entropy")
    rows = x if x._a.ndim > 1 else shaped(x, (1, classes))
    labels = target._a.reshape(-1).astype(np.int64, copy=False)
    meta = {"ignore_index": ignore_index, "smoothing": label_smoothing, "reduction": reduction}
    # Weights get no gradient here, as in PyTorch for class indices.
    loss = apply(ops.cross_entropy, (_rows(rows), labels, None if weight is None else weight._a), meta)
    if ctx.mean_losses is not None and reduction == "mean":
        valid = labels[labels != ignore_index]
        mean_of(loss, valid.size if weight is None else weight._a[valid].sum(dtype=np.float64))
    return shaped(loss, target._a.shape) if reduction == "none" else loss


def _cross_entropy_of_probabilities(
    x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float
) -> Any:
    if ignore_index >= 0:
        raise ArgumentError("ignore_index is not supported for floating point target")
    axis = 0 if x._a.ndim == 1 else 1
    classes = x._a.shape[axis]
    same_type("cross_entropy", x, target)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    cost = log_softmax(x, axis) * target
    if weight is not None:
        cost = cost * shaped(weight, (classes,) + (1,) * (x._a.ndim - 1 - axis))
    loss = -cost.sum(axis)
    if reduction == "none":
        return loss
    count = max(1, x._a.size // max(1, classes)) if x._a.size else 0
    return mean_of(loss.sum() / count, count) if reduction == "mean" else loss.sum()


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Minus the log-probability of the target: (n, c, d1, ...), (n, d1, ...) -> () or (n, d1, ...)."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, target = floating(input, "nll_loss"), tensor(target, "nll_loss", "target")
    if x._a.ndim == 0:
        raise ShapeError("nll_loss: input tensor should be 1D or more, found a 0-d input")
    classes = x._a.shape[0 if x._a.ndim == 1 else 1]
    weight = _check_weight(weight, x, classes, "nll_loss")
    _check_target(x, target, "nll_loss")
    rows = _rows(x if x._a.ndim > 1 else shaped(x, (1, classes)))
    labels = target._a.reshape(-1).astype(np.int64, copy=False)
    valid = ops.check_classes(labels, classes, ignore_index)
    safe = labels if valid is None else np.where(valid, labels, 0)
    share = np.ones(len(safe), x._a.dtype) if weight is None else weight._a[safe]
    if valid is not None:
        share = share * valid.astype(x._a.dtype)
        safe = np.where(valid, safe, -1)
    loss = apply(ops.pick_columns, (rows, safe), {}) * -share
    if reduction == "none":
        return shaped(loss, target._a.shape)
    if reduction == "sum":
        return loss.sum()
    count = float(share.sum(dtype=np.float64))
    # The mean over nothing is nan; its gradient is zero, as in PyTorch.
    return mean_of(loss.sum() / count if count else loss.sum() + math.nan, count)
