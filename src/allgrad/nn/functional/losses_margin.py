"""Margin losses: on pairs and triplets of vectors, and on the scores of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from allgrad.functions.promote import promoted
from allgrad.nn.functional.arguments import floating, reduction_of, shaped, tensor, type_name
from allgrad.nn.functional.distance import pairwise_distance
from allgrad.nn.functional.losses import reduce_loss
from allgrad.ops.arithmetic import relu
from allgrad.ops.compare_choice import clamp, minimum
from allgrad.ops.loss import pick_columns
from allgrad.ops.loss_elementwise import softplus_minus
from allgrad.ops.pool_index import pool_pick


def _above_zero(x: Any) -> Any:
    return apply(clamp, (x,), {"min": 0})


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``max(0, margin - target * (input1 - input2))``: target 1 wants input1 the larger, -1 the smaller."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y, t = (tensor(a, "margin_ranking_loss") for a in (input1, input2, target))
    if not x._a.ndim == y._a.ndim == t._a.ndim:
        raise ShapeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {x.shape}, input2: {y.shape}, target: {t.shape} "
        )
    return reduce_loss(_above_zero(-t * (x - y) + margin), reduction)


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1: (n, d), (n, d), (n,) -> () or (n,)."""
    reduction = reduction_of(size_average, reduce, reduction)
    name = "cosine_embedding_loss"
    x, y, t = tensor(input1, name, "input1"), tensor(input2, name, "input2"), tensor(target, name, "target")
    if t._a.ndim not in (0, 1):
        raise ShapeError(f"{name}: 0D or 1D target tensor expected, multi-target not supported")
    wanted = t._a.ndim + 1
    if x._a.ndim != wanted or y._a.ndim != wanted:
        raise ShapeError(
            f"{t._a.ndim}D target tensor expects {wanted}D input tensors, but found inputs with sizes "
            f"{list(x._a.shape)} and {list(y._a.shape)}."
        )
    x, y = promoted(x, y)
    x = floating(x, name)
    eps = 1e-12
    cos = (x * y).sum(-1) / (((x * x).sum(-1) + eps) * ((y * y).sum(-1) + eps)).sqrt()
    kind = cos._a.dtype
    loss = (1 - cos) * (t._a == 1).astype(kind) + _above_zero(cos - margin) * (t._a == -1).astype(kind)
    return reduce_loss(loss, reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``max(0, |anchor - positive|_p - |anchor - negative|_p + margin)``: (n, d) three times -> () or (n,)."""
    reduction = reduction_of(size_average, reduce, reduction)
    if margin <= 0:
        raise ArgumentError(f"margin must be greater than 0, got {margin}")
    ndims = {tensor(x, "triplet_margin_loss")._a.ndim for x in (anchor, positive, negative)}
    if len(ndims) > 1:
        raise ShapeError(
            "triplet_margin_loss: The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor._a.ndim}D, positive {positive._a.ndim}D, and negative "
            f"{negative._a.ndim}D inputs"
        )
    return _triplet(lambda a, b: pairwise_distance(a, b, p, eps), anchor, positive, negative, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """``triplet_margin_loss`` with a distance of one's own."""
    reduction = reduction_of(None, None, reduction)
    if margin <= 0:
        raise ArgumentError(f"margin must be greater than 0, got {margin}")
    if not anchor._a.ndim == positive._a.ndim == negative._a.ndim:
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor._a.ndim}D, positive {positive._a.ndim}D, and negative {negative._a.ndim}D inputs"
        )
    return _triplet(distance_function or pairwise_distance, anchor, positive, negative, margin, swap, reduction)


def _triplet(
    distance: Callable[[Any, Any], Any], a: Any, p: Any, n: Any, margin: float, swap: bool, reduction: str
) -> Any:
    near, far = distance(a, p), distance(a, n)
    if swap:
        far = apply(minimum, (far, distance(p, n)), {})
    return reduce_loss(_above_zero(margin + near - far), reduction)


def _class_rows(name: str, x: Any, target: Any, wanted: tuple[int, ...]) -> Any:
    """Class indices for rows of scores, checked; int64."""
    a = target._a
    if a.dtype != np.int64:
        raise DtypeError(f"{name}: expected scalar type Long but found {type_name(target)}; convert target.long()")
    if a.shape != wanted:
        raise ShapeError(f"inconsistent target size, expected {list(wanted)} but got {list(a.shape)} in {name}")
    return a


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``sum_j max(0, margin - score[target] + score[j])**p / classes`` over the other classes: (n, c), (n,) -> ()."""
    reduction = reduction_of(size_average, reduce, reduction)
    name = "multi_margin_loss"
    if p not in (1, 2):
        raise ArgumentError(f"only p == 1 and p == 2 supported, found p={p}")
    x = floating(input, name)
    if weight is not None and weight._a.ndim != 1:
        raise ShapeError("weight must be one-dimensional")
    if x._a.ndim not in (1, 2) or 0 in x._a.shape[-1:]:
        raise ShapeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(x._a.shape)}"
        )
    single = x._a.ndim == 1
    rows = shaped(x, (1, x._a.shape[0])) if single else x
    n, classes = rows._a.shape
    t = tensor(target, name, "target")
    wanted = t._a.shape if single and t._a.shape in ((), (1,)) else (n,)
    index = _class_rows(name, rows, t, wanted).reshape(-1)
    if index.size and (index.min() < 0 or index.max() >= classes):
        raise IndexRangeError(
            f"{name}: target out of range: found {index.min()} to {index.max()} for {classes} classes"
        )
    own = shaped(apply(pick_columns, (rows, index), {}), (n, 1))
    cost = apply(relu, (margin - own + rows,), {})
    if p == 2:
        cost = cost * cost
    kind = rows._a.dtype
    share = (np.arange(classes) != index[:, None]).astype(kind) / kind.type(classes)
    if weight is not None:
        if len(weight._a) != classes:
            raise ShapeError(f"inconsistent weight size, expected {classes} but got {len(weight._a)}")
        share = share * weight._a[index][:, None]
    loss = (cost * share).sum(1)
    if single:
        return loss.sum()
    return reduce_loss(loss, reduction)


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """``sum max(0, 1 - score[label] + score[other]) / classes`` over each row's labels and other classes.

    Labels are class indices from the left up to the first -1: (n, c), (n, c) int64 -> () or (n,).
    """
    reduction = reduction_of(size_average, reduce, reduction)
    name = "multilabel_margin_loss"
    x, t = floating(input, name), tensor(target, name, "target")
    if x._a.ndim not in (1, 2) or 0 in x._a.shape[-1:]:
        raise ShapeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(x._a.shape)}"
        )
    index = _class_rows(name, x, t, x._a.shape)
    classes = x._a.shape[-1]
    if index.size and (index.min() < -1 or index.max() >= classes):
        raise IndexRangeError(
            f"{name}: target out of range: found {index.min()} to {index.max()} for {classes} classes"
        )
    rows, index = shaped(x, (-1, classes)) if x._a.ndim == 1 else x, index.reshape(-1, classes)
    n = len(index)
    labels = np.cumsum(index < 0, axis=1) == 0  # up to the first -1
    is_label = np.zeros((n, classes), bool)
    where_rows, where_columns = np.nonzero(labels)
    is_label[where_rows, index[where_rows, where_columns]] = True
    widest = max(1, int(labels.sum(1).max(initial=0)))
    labels = labels[:, :widest]
    own = apply(pool_pick, (rows, np.where(labels, index[:, :widest], 0)), {"spatial": 1})
    cost = apply(relu, (1 - shaped(own, (n, widest, 1)) + shaped(rows, (n, 1, classes)),), {})
    share = (labels[:, :, None] & ~is_label[:, None, :]).astype(rows._a.dtype) / rows._a.dtype.type(classes)
    loss = (cost * share).sum((1, 2))
    return loss.sum() if x._a.ndim == 1 else reduce_loss(loss, reduction)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Binary cross-entropy of each class's score, averaged over classes: (n, c), (n, c) -> () or (n,)."""
    reduction = reduction_of(size_average, reduce, reduction)
    x, y = promoted(
        tensor(input, "multilabel_soft_margin_loss"), tensor(target, "multilabel_soft_margin_loss", "target")
    )
    cost = apply(softplus_minus, (floating(x, "multilabel_soft_margin_loss"),), {})
    cost = cost + (1 - y) * x
    if weight is not None:
        cost = cost * weight
    return reduce_loss(cost.mean(-1), reduction)
