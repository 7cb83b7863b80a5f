"""``embedding_bag``: rows of a table by index, summed, averaged or maximized per bag."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from allgrad.nn.functional.arguments import same_type, shaped, tensor
from allgrad.nn.functional.embedding import indices_of, padding_row, renormalize
from allgrad.ops import embedding as ops
from allgrad.ops.pool_index import pool_pick
from allgrad.ops.shape import transpose


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Bags of rows, reduced: indices (bags, length), or (n,) with the ``offsets`` (bags,) where bags start,
    (rows, width) -> (bags, width).  ``padding_idx`` counts for nothing; an empty bag is zero."""
    if getattr(weight, "_a", np.zeros(0)).dtype.name in ("int64", "int32") and not _is_index(input):
        raise DtypeError("embedding_bag: the indices come first, then the weight: embedding_bag(input, weight, ...)")
    index, weight = indices_of(input, "embedding_bag"), tensor(weight, "embedding_bag", "weight")
    if per_sample_weights is not None and per_sample_weights._a.shape != index._a.shape:
        raise ArgumentError(
            f"embedding_bag: If per_sample_weights ({list(per_sample_weights._a.shape)}) is not None, then it must have "
            f"the same shape as the input ({list(index._a.shape)})"
        )
    if weight._a.ndim != 2:
        raise ArgumentError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight._a.ndim}")
    flat, bag, bags = _bags(index._a, offsets, include_last_offset)
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"mode has to be one of sum, mean or max, found {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ArgumentError("max mode does not support scaling the gradient by the frequency")
    if per_sample_weights is not None:
        if mode != "sum":
            raise UnsupportedError(
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
                f"(got mode='{mode}'). Please open a feature request on GitHub."
            )
        same_type("embedding_bag", weight, per_sample_weights)
        per_sample_weights = shaped(per_sample_weights, (-1, 1))
    padding = padding_row(padding_idx, len(weight._a))
    if max_norm is not None:
        renormalize(weight, flat, max_norm, norm_type)
    if padding >= 0:
        stay = np.flatnonzero(flat != padding)
        flat, bag = flat[stay], bag[stay]
        if per_sample_weights is not None:
            per_sample_weights = apply(ops.embedding, (per_sample_weights, stay), {})
    rows = apply(ops.embedding, (weight, flat), {"by_frequency": scale_grad_by_freq})
    if per_sample_weights is not None:
        rows = rows * per_sample_weights
    if mode == "max":
        return _largest(rows, bag, bags)
    total = apply(ops.embedding_sum, (rows, bag), {"rows": bags, "padding_idx": -1, "by_frequency": False})
    if mode == "sum":
        return total
    counts = np.maximum(np.bincount(bag, minlength=bags), 1).astype(weight._a.dtype)
    return total * (1 / counts)[:, None]


def _is_index(x: Any) -> bool:
    return getattr(x, "_a", np.zeros(0)).dtype.kind in "iu"


def _bags(index: Any, offsets: Any, include_last: bool) -> tuple[Any, Any, int]:
    """All indices in a row, the bag of each, and how many bags there are."""
    if index.ndim == 2:
        if offsets is not None:
            raise ArgumentError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets).__name__}"
            )
        return index.reshape(-1), np.repeat(np.arange(len(index)), index.shape[1]), len(index)
    if index.ndim != 1:
        raise ArgumentError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {index.ndim}")
    if offsets is None:
        raise ArgumentError("offsets has to be a 1D Tensor but got None")
    starts = offsets._a
    if starts.ndim != 1:
        raise ArgumentError("offsets has to be a 1D Tensor")
    if include_last:
        if not len(starts):
            raise ShapeError("include_last_offset: number of offsets should be at least 1")
        starts, end = starts[:-1], int(starts[-1])
    else:
        end = len(index)
    if len(starts) and int(starts[0]) != 0:
        raise ArgumentError(
            f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, "
            f"got {int(starts[0])}"
        )
    if len(starts) and int(starts[-1]) > len(index):
        raise ArgumentError(
            f"offsets[-1] can not be greater than input's length, but got offsets[-1] of {int(starts[-1])} for "
            f"{len(index)} indices"
        )
    lengths = np.diff(np.append(starts, end))
    if (lengths < 0).any():
        raise ArgumentError(f"embedding_bag: offsets must not decrease, found {starts.tolist()}")
    return index[: int(lengths.sum())], np.repeat(np.arange(len(starts)), lengths), len(starts)


def _largest(rows: Any, bag: Any, bags: int) -> Any:
    """The largest of each column over the rows of each bag; zero for an empty bag."""
    a = rows._a
    best = np.zeros((bags, a.shape[1]), np.int64)
    counts = np.bincount(bag, minlength=bags)
    start = np.cumsum(counts) - counts
    for b in np.flatnonzero(counts):
        best[b] = start[b] + a[start[b] : start[b] + counts[b]].argmax(0)
    if not len(a):
        return rows.sum(0, keepdim=True) * np.zeros((bags, 1), a.dtype)
    picked = apply(pool_pick, (apply(transpose, (rows,), {"dim0": 0, "dim1": 1}), best.T.copy()), {"spatial": 1})
    return apply(transpose, (picked,), {"dim0": 0, "dim1": 1}) * (counts > 0).astype(a.dtype)[:, None]
