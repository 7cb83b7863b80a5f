"""A copy with one view of it replaced: what views do in place, without changing the input."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import apply
from allgrad.dtypes import from_np
from allgrad.errors import IndexRangeError, ShapeError
from allgrad.functions.promote import to
from allgrad.functions.scatter import number_like
from allgrad.functions.shape import dim_arg
from allgrad.ops import index as index_ops
from allgrad.ops import layout as layout_ops

Key = tuple[Any, ...]


def _same_slice(src: Any, shape: tuple[int, ...]) -> None:
    if src._a.shape != shape:
        raise ShapeError(
            "expected src to have a size equal to the slice of self. "
            f"src size = {list(src._a.shape)}, slice size = {list(shape)}"
        )


def select_scatter(input: Any, src: Any, dim: int, index: int) -> Any:
    """A copy of ``input`` with ``src`` as slice ``index`` of ``dim``."""
    shape = input._a.shape
    at = dim_arg(dim, len(shape))
    if not shape or not -shape[at] <= index < shape[at]:
        raise IndexRangeError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at dimension {at}"
        )
    _same_slice(src, shape[:at] + shape[at + 1 :])
    src = to(src, from_np(input._a.dtype))
    return apply(index_ops.put_slice, (input, src), {"index": (slice(None),) * at + (int(index), ...)})


def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """A copy of ``input`` with ``src`` in place of ``start:end:step`` of ``dim``."""
    shape = input._a.shape
    at = dim_arg(dim, len(shape))
    if step <= 0:
        raise ShapeError(f"slice step must be positive, found {step}")
    lo, hi, _ = slice(start, end).indices(shape[at])
    place = slice(lo, max(lo, hi), step)
    _same_slice(src, shape[:at] + (len(range(lo, max(lo, hi), step)),) + shape[at + 1 :])
    src = to(src, from_np(input._a.dtype))
    return apply(index_ops.put_slice, (input, src), {"index": (slice(None),) * at + (place,)})


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """A copy of ``input`` with ``src`` on the diagonals of ``dim1`` and ``dim2``."""
    n = input._a.ndim
    a, b = dim_arg(dim1, n), dim_arg(dim2, n)
    meta = {"offset": int(offset), "dim1": a, "dim2": b}
    _same_slice(src, layout_ops.diagonal.forward(input._a, **meta).shape)
    return apply(layout_ops.diagonal_put, (input, to(src, from_np(input._a.dtype))), meta)


def fill_diagonal(x: Any, fill_value: Any, wrap_around: bool) -> Any:
    """``fill_diagonal_``: one number on the main diagonal of ``x``, in place."""
    shape = x._a.shape
    if len(shape) < 2:
        raise ShapeError(f"dimensions must larger than 1, found {len(shape)}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ShapeError(f"all dimensions of input must be of equal length, found {list(shape)}")
    key: Key = (np.arange(min(shape)),) * len(shape)
    if wrap_around and len(shape) == 2 and shape[0] > shape[1]:
        key = np.unravel_index(np.arange(0, x._a.size, shape[1] + 1), shape)
    return apply_inplace(index_ops.index_put, x, (number_like(x, fill_value),), {"key": key, "accumulate": False})
