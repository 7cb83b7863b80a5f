"""Values found: unique ones, places in a sorted sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import from_np
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.promote import into, is_number, plain
from allgrad.functions.shape import dim_arg, tensor_arg

Array = np.ndarray[Any, Any]


def _answer(values: Array, inverse: Array, counts: Array, return_inverse: bool, return_counts: bool) -> Any:
    found = [values] + [inverse] * return_inverse + [counts] * return_counts
    made = tuple(wrap(np.ascontiguousarray(a) if a.ndim else a) for a in found)
    return made if len(made) > 1 else made[0]


def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The different elements, or slices of ``dim``, in ascending order (whatever ``sorted`` says); no gradient.

    With them, if asked for, which of them each element is, and how often each occurs.  Every nan is one of its own.
    """
    a = tensor_arg(input, "unique")._a
    axis = None if dim is None else dim_arg(dim, a.ndim)
    if axis is not None and a.shape[axis] == 0:
        if any(n == 0 for i, n in enumerate(a.shape) if i != axis):
            raise ShapeError(
                f"There are 0 sized dimensions, and they aren't selected, so unique cannot be applied: {list(a.shape)}"
            )
        none = np.empty(0, np.int64)
        return _answer(a, none, none, return_inverse, return_counts)
    if axis is None and a.dtype.kind in "iu" and a.size:
        low, high = int(a.min()), int(a.max())
        if high - low < 4 * a.size:  # counting is ten times faster than sorting
            shifted = (a.reshape(-1) - a.dtype.type(low)).astype(np.int64)
            counts = np.bincount(shifted, minlength=high - low + 1)
            present = counts > 0
            values = (np.flatnonzero(present) + low).astype(a.dtype)
            inverse = (np.cumsum(present) - 1)[shifted].reshape(a.shape) if return_inverse else shifted
            return _answer(values, inverse, counts[present], return_inverse, return_counts)
    values, inverse, counts = np.unique(a, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    # NumPy 2.0 alone gives the inverse along an axis more dimensions.
    inverse = inverse.reshape(a.shape if axis is None else (a.shape[axis],))
    return _answer(values, inverse, counts, return_inverse, return_counts)


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, or slices of ``dim``, that differ from the one before; no gradient."""
    a = tensor_arg(input, "unique_consecutive")._a
    rows = a.reshape(-1, 1) if dim is None else np.moveaxis(a, dim_arg(dim, a.ndim), 0)
    n = len(rows)
    new = np.ones(n, bool)
    if n > 1:
        new[1:] = (rows[1:] != rows[:-1]).reshape(n - 1, -1).any(1)
    starts = np.flatnonzero(new)
    inverse = np.cumsum(new) - 1
    counts = np.diff(np.append(starts, n))
    if dim is None:
        values, inverse = a.reshape(-1)[starts], inverse.reshape(a.shape)
    else:
        values = np.take(a, starts, axis=dim)
    return _answer(values, inverse.astype(np.int64), counts.astype(np.int64), return_inverse, return_counts)


def _side(right: bool, side: str | None, name: str) -> Any:
    if side is not None and side not in ("left", "right"):
        raise ArgumentError(f"torch.{name}(): side can only be 'left' or 'right' but got {side}")
    if right and side == "left":
        raise ArgumentError(
            f"torch.{name}(): side and right can't be set to opposites, got side of left while right was True"
        )
    return "right" if right else side or "left"


def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    out: Any = None,
    sorter: Any = None,
) -> Any:
    """Where each value would go in an ascending sequence (its last dimension): before equal ones, or after them.

    (n,), (...) -> (...); or (..., n), (..., k) -> (..., k) row by row.  ``sorter`` is the order that sorts.
    """
    edges = tensor_arg(sorted_sequence, "searchsorted", "sorted_sequence")._a
    where = _side(right, side, "searchsorted")
    scalar = is_number(input)
    x = np.asarray(plain(input)) if scalar else tensor_arg(input, "searchsorted")._a
    if edges.ndim != 1 and (x.ndim == 0 or edges.shape[:-1] != x.shape[:-1]):
        what = (
            "input value can be a scalar only when boundaries tensor dimension is 1, but"
            if scalar or not x.ndim
            else (
                "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value "
                "tensor must match, but"
            )
        )
        raise ShapeError(
            f"torch.searchsorted(): {what} we got boundaries tensor {list(edges.shape)} and input value tensor "
            f"{list(x.shape)}"
        )
    if sorter is not None:
        order = tensor_arg(sorter, "searchsorted", "sorter")._a
        if order.shape != edges.shape:
            raise ShapeError(
                "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(edges.shape)} and got sorter tensor {list(order.shape)}"
            )
        if order.dtype != np.int64:
            raise DtypeError(
                f"torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {from_np(order.dtype)!r}"
            )
        edges = np.take_along_axis(edges, order, -1)
    if edges.ndim == 1:
        found = np.asarray(np.searchsorted(edges, x, where))
    else:
        found = np.empty(x.shape, np.int64)
        flat = found.reshape(-1, x.shape[-1])
        for row, e, v in zip(flat, edges.reshape(-1, edges.shape[-1]), x.reshape(-1, x.shape[-1])):
            row[:] = np.searchsorted(e, v, where)
    return into(wrap(found.astype(np.int32 if out_int32 else np.int64)), out)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False, out: Any = None) -> Any:
    """The bucket between ascending ``boundaries`` (a vector) that each value falls into."""
    edges = tensor_arg(boundaries, "bucketize", "boundaries")
    if edges._a.ndim != 1:
        raise ShapeError(f"boundaries tensor must be 1 dimension, but got dim({edges._a.ndim})")
    if not isinstance(input, Variable) and not is_number(input):
        input = tensor_arg(input, "bucketize")
    return searchsorted(edges, input, out_int32=out_int32, right=right, out=out)
