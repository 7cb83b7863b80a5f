"""Elements picked along a dimension or by a mask: gather, take, select, narrow and their kin."""

from __future__ import annotations

from operator import index as as_int
from typing import Any

import numpy as np

from allgrad.autograd.explain import broadcast_shape
from allgrad.autograd.record import apply, wrap
from allgrad.dtypes import from_np
from allgrad.errors import DtypeError, IndexRangeError, ShapeError
from allgrad.functions.promote import into
from allgrad.functions.shape import dim_arg, tensor_arg
from allgrad.ops import index as index_ops
from allgrad.ops import index_dim as dim_ops
from allgrad.ops import scatter as scatter_ops
from allgrad.ops.shape import expand, reshape, slice_

Array = np.ndarray[Any, Any]


def index_arg(index: Any, function: str) -> Any:
    """``index`` if it is a Tensor of int64 or int32."""
    index = tensor_arg(index, function, "index")
    if index._a.dtype not in (np.int64, np.int32):
        found = from_np(index._a.dtype)
        raise DtypeError(f"{function}(): Expected dtype int32/int64 for index, but got {found!r}")
    return index


def check_range(index: Array, size: int, dim: int) -> None:
    """IndexRangeError unless all of ``index`` lie in 0 .. size - 1."""
    if index.size:
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= size:
            bad = low if low < 0 else high
            raise IndexRangeError(f"index {bad} is out of bounds for dimension {dim} with size {size}")


def vector_arg(index: Any, function: str) -> Any:
    """``index`` as a vector of int64 or int32."""
    index = index_arg(index, function)
    if index._a.ndim > 1:
        raise IndexRangeError(
            f"{function}(): Index is supposed to be a vector, but got dim: {index._a.ndim} and size: "
            f"{list(index._a.shape)}"
        )
    return index if index._a.ndim else apply(reshape, (index,), {"shape": (1,)})


def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False, out: Any = None) -> Any:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0; the shape of ``index``, which may be smaller than ``input``."""
    input, index = tensor_arg(input, "gather"), index_arg(index, "gather")
    return into(_gather(input, dim_arg(dim, input._a.ndim), index), out)


def _gather(input: Any, at: int, index: Any) -> Any:
    x, i = input._a, index._a
    if i.size == 0:
        return wrap(np.empty(i.shape, x.dtype))
    if max(x.ndim, 1) != max(i.ndim, 1):
        raise ShapeError(
            f"Index tensor must have the same number of dimensions as input tensor, found {i.ndim} and {x.ndim}"
        )
    if not x.ndim:
        input = apply(reshape, (input,), {"shape": (1,)})
        x = input._a
    shape = i.shape
    if not shape:
        index = apply(reshape, (index,), {"shape": (1,)})
    for d, (n, m) in enumerate(zip(index._a.shape, x.shape)):
        if d != at and n > m:
            raise ShapeError(
                f"Size does not match at dimension {d} expected index {list(shape)} to be no larger than self "
                f"{list(x.shape)} apart from dimension {at}"
            )
    check_range(i, x.shape[at], at)
    found = apply(scatter_ops.gather, (input, index), {"dim": at})
    return found if shape else apply(reshape, (found,), {"shape": ()})


def take_along_dim(input: Any, indices: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """``gather`` with broadcasting, and negative indices from the end; of the flattened input without ``dim``."""
    input, indices = tensor_arg(input, "take_along_dim"), index_arg(indices, "take_along_dim")
    if dim is None:
        input = apply(reshape, (input,), {"shape": (input._a.size,)})
        indices = apply(reshape, (indices,), {"shape": (indices._a.size,)})
        dim = 0
    at, n = dim_arg(dim, input._a.ndim), input._a.ndim
    if indices._a.ndim != n:
        raise ShapeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{n} dimensions for input, and {indices._a.ndim} dimensions for indices"
        )
    x, i = input._a, indices._a
    shape = broadcast_shape(*(np.empty(a.shape[:at] + (1,) + a.shape[at + 1 :], np.int8) for a in (x, i)))
    size = x.shape[at]
    if i.size and i.min() < 0:
        i = np.where(i < 0, i + size, i)
    spread = np.broadcast_to(i, (*shape[:at], i.shape[at], *shape[at + 1 :]))
    input = apply(expand, (input,), {"shape": (*shape[:at], size, *shape[at + 1 :])})
    return into(_gather(input, at, wrap(spread)), out)


def take(input: Any, index: Any) -> Any:
    """Elements of the flattened input, in the shape of ``index``; negative ones count from the end."""
    input, index = tensor_arg(input, "take"), index_arg(index, "take")
    flat = apply(reshape, (input,), {"shape": (input._a.size,)})
    return apply(index_ops.index, (flat,), {"key": (flat_places(index._a, input._a.size),)})


def flat_places(index: Array, count: int) -> Array:
    """A copy of ``index`` without negative ones, checked against the number of elements."""
    if index.size:
        low, high = int(index.min()), int(index.max())
        if low < -count or high >= count:
            bad = low if low < -count else high
            raise IndexRangeError(f"out of range: tried to access index {bad} on a tensor of {count} elements.")
    return np.where(index < 0, index + count, index).astype(np.int64)


def index_select(input: Any, dim: int, index: Any, *, out: Any = None) -> Any:
    """The slices of ``dim`` that the vector ``index`` names, copied."""
    input, index = tensor_arg(input, "index_select"), vector_arg(index, "index_select")
    at = dim_arg(dim, input._a.ndim)
    if not input._a.ndim:
        if index._a.size != 1:
            raise ShapeError(f"index_select(): Index to scalar can have only 1 value, got {index._a.size} value(s)")
        return into(apply(reshape, (index_select(input.reshape(1), 0, index),), {"shape": ()}), out)
    n = input._a.shape[at]
    if index._a.size and (int(index._a.min()) < 0 or int(index._a.max()) >= n):
        bad = next(int(i) for i in index._a if not 0 <= i < n)
        raise IndexRangeError(f"index out of range in self: index {bad}, dimension {at} has size {n}")
    return into(apply(dim_ops.index_select, (input, index), {"dim": at}), out)


def select(input: Any, dim: int, index: Any) -> Any:
    """One slice of ``dim``, without it, as a view."""
    input = tensor_arg(input, "select")
    shape = input._a.shape
    if not shape:
        raise IndexRangeError("select() cannot be applied to a 0-dim tensor.")
    at, i = dim_arg(dim, len(shape)), as_int(index)
    if not -shape[at] <= i < shape[at]:
        raise IndexRangeError(f"select(): index {i} out of range for tensor of size {list(shape)} at dimension {at}")
    return apply(slice_, (input,), {"index": (slice(None),) * at + (i, ...)})


def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """``length`` slices of ``dim`` from ``start``, as a view."""
    input = tensor_arg(input, "narrow")
    shape = input._a.shape
    if not shape:
        raise ShapeError("narrow() cannot be applied to a 0-dim tensor.")
    at, first = dim_arg(dim, len(shape)), as_int(start)
    n = shape[at]
    if length < 0:
        raise ShapeError(f"narrow(): length must be non-negative, found {length}.")
    if not -n <= first <= n:
        raise IndexRangeError(f"start out of range (expected to be in range of [{-n}, {n}], but got {first})")
    first = first + n if first < 0 else first
    if first + length > n:
        raise ShapeError(f"start ({first}) + length ({length}) exceeds dimension size ({n}).")
    return apply(slice_, (input,), {"index": (slice(None),) * at + (slice(first, first + length),)})


def narrow_copy(input: Any, dim: int, start: int, length: int) -> Any:
    """``narrow``, copied."""
    return narrow(input, dim, start, length).clone()


def masked_select(input: Any, mask: Any, *, out: Any = None) -> Any:
    """The elements where ``mask`` is true, in one dimension; both are broadcast."""
    input, mask = tensor_arg(input, "masked_select"), tensor_arg(mask, "masked_select", "mask")
    if mask._a.dtype.kind != "b":
        raise DtypeError(f"masked_select: expected BoolTensor for mask, found {from_np(mask._a.dtype)!r}")
    shape = broadcast_shape(input._a, mask._a)
    if input._a.shape != shape:
        input = apply(expand, (input,), {"shape": shape})
    if mask._a.shape != shape:
        mask = apply(expand, (mask,), {"shape": shape})
    return into(apply(index_ops.masked_select, (input, mask), {}), out)


def nonzero(input: Any, *, as_tuple: bool = False, out: Any = None) -> Any:
    """Indices of all elements that are not zero: (n, ndim), or one vector per dimension."""
    a = tensor_arg(input, "nonzero")._a
    if as_tuple:
        return tuple(wrap(i) for i in np.nonzero(a if a.ndim else a.reshape(1)))
    return into(wrap(np.argwhere(a)), out)


def argwhere(input: Any) -> Any:
    """Indices of all elements that are not zero: (n, ndim)."""
    return nonzero(input)


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Positions in the flattened array of ``shape`` as one index tensor per dimension."""
    indices = index_arg(indices, "unravel_index")
    sizes = (int(shape),) if isinstance(shape, int) else tuple(as_int(n) for n in shape)
    try:
        found = np.unravel_index(indices._a, sizes)
    except ValueError as error:
        raise IndexRangeError(f"unravel_index: {error}") from None
    return tuple(wrap(np.asarray(i)) for i in found)
