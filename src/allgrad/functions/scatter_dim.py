"""Whole slices written or added by a vector of indices, elements by masks and by flat places."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.explain import broadcast_shape
from allgrad.autograd.record import Variable, apply, wrap
from allgrad.dtypes import from_np
from allgrad.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from allgrad.functions.dims import scalar_name
from allgrad.functions.index import check_value_dtype, fit_value, indexed_shape
from allgrad.functions.index_dim import check_range, flat_places, index_arg, vector_arg
from allgrad.functions.index_key import parse
from allgrad.functions.promote import into, to
from allgrad.functions.scatter import number_like, run, scatter_reduce
from allgrad.functions.shape import dim_arg, tensor_arg
from allgrad.ops import index as index_ops
from allgrad.ops import index_dim as ops
from allgrad.ops.shape import expand, reshape, slice_

Key = tuple[Any, ...]


def _dim_args(input: Any, dim: int, index: Any, source: Any, name: str) -> tuple[Any, int, Any, Any]:
    """Checked arguments of an index_* function; 0-d tensors as vectors of one element."""
    input, index = tensor_arg(input, name), vector_arg(index, name)
    source = tensor_arg(source, name, "source")
    at = dim_arg(dim, input._a.ndim)
    if source._a.dtype != input._a.dtype:
        raise DtypeError(
            f"{name}(): self ({scalar_name(input)}) and source ({scalar_name(source)}) must have the same scalar type"
        )
    if source._a.ndim != input._a.ndim and not (input._a.ndim == 1 and source._a.ndim == 0):
        raise ShapeError(
            f"{name}(): source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(input._a.shape)} source.shape = {list(source._a.shape)}"
        )
    if not source._a.ndim:
        source = apply(reshape, (source,), {"shape": (1,)})
    shape, given, count = input._a.shape or (1,), source._a.shape, index._a.size
    if len(given) != len(shape) or given[:at] != shape[:at] or given[at + 1 :] != shape[at + 1 :]:
        if len(given) > at and given[at] != count:
            raise IndexRangeError(
                f"{name}(): Number of indices ({count}) should be equal to source.size(dim): ({given[at]}), for dim: {at}"
            )
        raise ShapeError(
            f"{name}(): source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = {list(shape)} source.shape = {list(given)}"
        )
    if given[at] != count:
        raise IndexRangeError(
            f"{name}(): Number of indices ({count}) should be equal to source.size(dim): ({given[at]}), for dim: {at}"
        )
    check_range(index._a, shape[at], at)
    return input, at, index, source


def by_index(op: Any, input: Any, dim: int, index: Any, source: Any, inplace: bool) -> Any:
    """``index_add`` or ``index_copy`` after the checks, in place or not."""
    input, at, index, source = _dim_args(input, dim, index, source, op.name + ("_" if inplace else ""))
    if input._a.ndim:
        return run(op, input, (source, index), {"dim": at}, inplace)
    line = apply(reshape, (input,), {"shape": (1,)})
    found = run(op, line, (source, index), {"dim": 0}, inplace)
    return input if inplace else apply(reshape, (found,), {"shape": ()})


def scaled(source: Any, alpha: Any) -> Any:
    """``alpha * source`` in the dtype of ``source``."""
    return source if alpha == 1 else to(source * alpha, source.dtype)


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """``alpha`` times slice i of ``source`` added to slice ``index[i]`` of ``dim``."""
    return into(by_index(ops.index_add, input, dim, index, scaled(source, alpha), False), out)


def index_copy(input: Any, dim: int, index: Any, source: Any, *, out: Any = None) -> Any:
    """Slice i of ``source`` in place of slice ``index[i]`` of ``dim``."""
    return into(by_index(ops.index_copy, input, dim, index, source, False), out)


def filled_by_index(input: Any, dim: int, index: Any, value: Any, inplace: bool) -> Any:
    """``index_fill`` and ``index_fill_``."""
    input, index = tensor_arg(input, "index_fill"), vector_arg(index, "index_fill")
    at = dim_arg(dim, input._a.ndim)
    n = input._a.shape[at] if input._a.ndim else 1
    i = index._a
    if i.size and (int(i.min()) < -n or int(i.max()) >= n):
        bad = next(int(k) for k in i if not -n <= k < n)
        raise IndexRangeError(f"index {bad} is out of bounds for dimension {at} with size {n}")
    if i.size and i.min() < 0:
        index = wrap(np.where(i < 0, i + n, i))
    value = single(input, value, "index_fill_")
    if input._a.ndim:
        return run(ops.index_copy, input, (value, index), {"dim": at}, inplace)
    line = apply(reshape, (input,), {"shape": (1,)})
    found = run(ops.index_copy, line, (value, index), {"dim": 0}, inplace)
    return input if inplace else apply(reshape, (found,), {"shape": ()})


def single(x: Any, value: Any, name: str) -> Any:
    """One value, a number or a 0-d Tensor, in the dtype of ``x``."""
    if isinstance(value, Variable):
        if value._a.ndim:
            raise ShapeError(
                f"{name} only supports a 0-dimensional value tensor, but got tensor with {value._a.ndim} dimension(s)."
            )
        return to(value, from_np(x._a.dtype))
    return number_like(x, value)


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """The slices of ``dim`` named by ``index`` filled with one value."""
    return filled_by_index(input, dim, index, value, False)


def index_reduce(
    input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True, out: Any = None
) -> Any:
    """Slices of ``source`` combined with slices ``index`` of ``dim``: prod, mean, amax or amin."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ArgumentError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    input, at, index, source = _dim_args(input, dim, index, source, "index_reduce")
    line = (1,) * at + (-1,) + (1,) * (source._a.ndim - at - 1)
    spread = wrap(np.broadcast_to(index._a.reshape(line), source._a.shape))
    return scatter_reduce(input, at, spread, source, reduce, include_self=include_self, out=out)


def put_by_key(input: Any, indices: Any, values: Any, accumulate: bool, inplace: bool) -> Any:
    """``index_put`` and ``index_put_``."""
    input = tensor_arg(input, "index_put")
    if not isinstance(indices, (tuple, list)):
        raise DtypeError(
            f"index_put(): argument 'indices' (position 2) must be tuple of Tensors, not {type(indices).__name__}"
        )
    values = tensor_arg(values, "index_put", "values")
    key = tuple(slice(None) if i is None else tensor_arg(i, "index_put", "indices") for i in indices)
    key = tuple(wrap(i._a.reshape(1)) if isinstance(i, Variable) and not i._a.ndim else i for i in key)
    _, advanced = parse(key, input._a.shape)
    if advanced is None:
        raise ArgumentError("index_put(): at least one index tensor is needed")
    check_value_dtype(input, values, indices)
    values = fit_value(to(values, from_np(input._a.dtype)), indexed_shape(input._a.shape, advanced), True)
    return run(index_ops.index_put, input, (values,), {"key": advanced, "accumulate": bool(accumulate)}, inplace)


def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """``values`` at ``indices``, a tuple of index tensors or masks; repeated places keep one or add up."""
    return put_by_key(input, indices, values, accumulate, False)


def put_flat(input: Any, index: Any, source: Any, accumulate: bool, inplace: bool) -> Any:
    """``put`` and ``put_``."""
    input, index = tensor_arg(input, "put"), index_arg(index, "put")
    source = tensor_arg(source, "put", "source")
    if source._a.dtype != input._a.dtype:
        raise DtypeError(
            f"put_(): self and source expected to have the same dtype, but got self.dtype = {scalar_name(input)} "
            f"and source.dtype = {scalar_name(source)}"
        )
    if source._a.size != index._a.size:
        raise IndexRangeError(
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{source._a.size}, index.numel() = {index._a.size}"
        )
    key = np.unravel_index(flat_places(index._a, input._a.size), input._a.shape) if input._a.ndim else ()
    if source._a.shape != index._a.shape:
        source = apply(reshape, (source,), {"shape": index._a.shape})
    if key:
        meta = {"key": tuple(key), "accumulate": bool(accumulate)}
        return run(index_ops.index_put, input, (source,), meta, inplace)
    line = apply(reshape, (input,), {"shape": (1,)})
    found = put_flat(line, index, source, accumulate, inplace)
    return input if inplace else apply(reshape, (found,), {"shape": ()})


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """``source`` at places of the flattened input."""
    return put_flat(input, index, source, accumulate, False)


# -- masks ---------------------------------------------------------------------------------------------


def _mask(mask: Any, name: str) -> Any:
    mask = tensor_arg(mask, name, "mask")
    if mask._a.dtype.kind != "b":
        raise DtypeError(f"{name} only supports boolean masks, but got mask with dtype {from_np(mask._a.dtype)!r}")
    return mask


def filled_by_mask(input: Any, mask: Any, value: Any, inplace: bool) -> Any:
    """``masked_fill`` and ``masked_fill_``."""
    input, mask = tensor_arg(input, "masked_fill"), _mask(mask, "masked_fill_")
    shape = broadcast_shape(input._a, mask._a)
    if inplace and shape != input._a.shape:
        raise ShapeError(f"output with shape {list(input._a.shape)} doesn't match the broadcast shape {list(shape)}")
    return run(index_ops.masked_fill, input, (single(input, value, "masked_fill_"), mask), {}, inplace)


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """One value, a number or a 0-d Tensor, where ``mask`` is true; both are broadcast."""
    return filled_by_mask(input, mask, value, False)


def scattered_by_mask(input: Any, mask: Any, source: Any, inplace: bool) -> Any:
    """``masked_scatter`` and ``masked_scatter_``."""
    input, mask = tensor_arg(input, "masked_scatter"), _mask(mask, "masked_scatter_")
    source = tensor_arg(source, "masked_scatter", "source")
    if source._a.dtype != input._a.dtype:
        raise DtypeError(
            f"masked_scatter: expected self and source to have same dtypes but got {scalar_name(input)} and "
            f"{scalar_name(source)}"
        )
    shape = broadcast_shape(input._a, mask._a)
    if input._a.shape != shape:
        if inplace:
            raise ShapeError(
                f"output with shape {list(input._a.shape)} doesn't match the broadcast shape {list(shape)}"
            )
        input = apply(expand, (input,), {"shape": shape})
    if mask._a.shape != shape:
        mask = apply(expand, (mask,), {"shape": shape})
    count = int(np.count_nonzero(mask._a))
    if source._a.size < count:
        raise ShapeError(f"Number of elements of source < number of ones in mask: {source._a.size} < {count}")
    line = apply(reshape, (source,), {"shape": (source._a.size,)})
    values = apply(slice_, (line,), {"index": (slice(0, count),)})
    return run(index_ops.masked_put, input, (values, mask), {}, inplace)


def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """The elements of ``source``, in order, where ``mask`` is true."""
    return scattered_by_mask(input, mask, source, False)
