"""Rows of a table by index, and one_hot."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.inplace import bump
from allgrad.autograd.record import apply, wrap
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.nn.functional.arguments import tensor, type_name
from allgrad.ops import embedding as ops


def indices_of(x: Any, name: str) -> Any:
    """Whole-number indices, int64 or int32."""
    x = tensor(x, name)
    if x._a.dtype.name not in ("int64", "int32"):
        raise DtypeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{type_name(x)} instead; convert with indices.long()"
        )
    return x


def padding_row(padding_idx: int | None, rows: int) -> int:
    """The row that gets no gradient, counted from 0; -1 for none."""
    if padding_idx is None:
        return -1
    if not -rows <= padding_idx < rows:
        raise ArgumentError(f"Padding_idx must be within num_embeddings: found {padding_idx} for {rows} rows")
    return padding_idx % rows


def renormalize(weight: Any, index: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows that are looked up down to ``max_norm``, in place and outside the graph."""
    ops.check_rows(index, len(weight._a))
    rows = np.unique(index)
    found = weight._a[rows]
    norms = np.linalg.norm(found, ord=norm_type, axis=1)
    long = norms > max_norm
    if long.any():
        weight._a[rows[long]] = found[long] * (max_norm / (norms[long] + 1e-7)).astype(found.dtype)[:, None]
        bump(weight, "embedding_renorm_")


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of a table: indices (...), (rows, width) -> (..., width).

    The row ``padding_idx`` gets no gradient; rows longer than ``max_norm`` are shortened in place first; gradients
    are dense also with ``sparse``.
    """
    index, weight = indices_of(input, "embedding"), tensor(weight, "embedding", "weight")
    if weight._a.ndim != 2:
        raise ShapeError(f"'weight' must be 2-D, found size {list(weight._a.shape)}")
    padding = padding_row(padding_idx, len(weight._a))
    if max_norm is not None:
        renormalize(weight, index._a, max_norm, norm_type)
    return apply(ops.embedding, (weight, index), {"padding_idx": padding, "by_frequency": scale_grad_by_freq})


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Class indices as rows of zeros with a one: (...) int64 -> (..., classes) int64; by default up to the largest."""
    a = tensor._a
    if a.dtype.name != "int64":
        raise DtypeError("one_hot is only applicable to index tensor of type LongTensor; convert with tensor.long()")
    if a.size and int(a.min()) < 0:
        raise ArgumentError("Class values must be non-negative.")
    if a.size == 0 and num_classes <= 0:
        raise ArgumentError("Can not infer total number of classes from empty tensor: give num_classes")
    if num_classes != -1 and num_classes < 1:
        raise ArgumentError("num_classes should be positive")
    classes = int(a.max()) + 1 if num_classes == -1 else num_classes
    if a.size and int(a.max()) >= classes:
        raise ArgumentError(f"Class values must be smaller than num_classes: found {int(a.max())} for {classes}")
    return wrap((a[..., None] == np.arange(classes)).astype(np.int64))
