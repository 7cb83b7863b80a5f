"""Elements in another order or repeated: flips, rolls, tiles, diagonals, triangles, windows."""

from __future__ import annotations

from math import prod
from operator import index as as_int
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply, wrap
from allgrad.dtypes import to_dtype
from allgrad.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from allgrad.functions.promote import into
from allgrad.functions.shape import dim_arg, dims_arg, sizes_arg, tensor_arg
from allgrad.functions.shape import transpose as swap
from allgrad.ops import layout as ops
from allgrad.ops.index_dim import index_select
from allgrad.ops.layout_strided import as_strided as strided_op
from allgrad.ops.shape import reshape

Shape = tuple[int, ...]


def flip(input: Any, dims: Any) -> Any:
    """The order of ``dims`` reversed; a copy."""
    input = tensor_arg(input, "flip")
    return apply(ops.flip, (input,), {"dims": dims_arg(dims, input._a.ndim) if input._a.ndim else ()})


def fliplr(input: Any) -> Any:
    """Columns in reverse order."""
    if input._a.ndim < 2:
        raise ShapeError(f"Input must be >= 2-d, found {input._a.ndim}-d")
    return flip(input, (1,))


def flipud(input: Any) -> Any:
    """Rows in reverse order."""
    if input._a.ndim < 1:
        raise ShapeError("Input must be >= 1-d, found 0-d")
    return flip(input, (0,))


def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """Turned by ``k`` quarters in the plane of ``dims``, from the first towards the second."""
    input = tensor_arg(input, "rot90")
    if len(dims) != 2:
        raise ShapeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input._a.ndim < 2:
        raise ShapeError(f"expected total dims >= 2, but got total dims = {input._a.ndim}")
    a, b = (dim_arg(d, input._a.ndim) for d in dims)
    if a == b:
        raise ShapeError(f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}")
    k %= 4
    if k == 1:
        return swap(flip(input, (b,)), a, b)
    if k == 2:
        return flip(input, (a, b))
    return flip(swap(input, a, b), (b,)) if k == 3 else input.clone()


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Elements moved by ``shifts`` along ``dims`` (all as one if not given), those beyond the end in at the front."""
    input = tensor_arg(input, "roll")
    shifts = sizes_arg((shifts,), "roll")
    dims = () if dims is None else sizes_arg((dims,), "roll")
    if not shifts:
        raise ShapeError("`shifts` required")
    if not dims and len(shifts) == 1:
        shape = input._a.shape
        flat = apply(reshape, (input,), {"shape": (input._a.size,)})
        return apply(reshape, (apply(ops.roll, (flat,), {"shifts": shifts, "dims": (0,)}),), {"shape": shape})
    if len(shifts) != len(dims):
        raise ShapeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    n = input._a.ndim
    if n == 0:
        raise IndexRangeError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    return apply(ops.roll, (input,), {"shifts": shifts, "dims": tuple(dim_arg(d, n) for d in dims)})


def tile(input: Any, dims: Any) -> Any:
    """Repeated ``dims`` times along its last dimensions; missing numbers are ones."""
    input = tensor_arg(input, "tile")
    times = sizes_arg((dims,), "tile")
    return repeat(input, (1,) * (input._a.ndim - len(times)) + times)


def repeat(input: Any, repeats: Shape) -> Any:
    """Repeated along each dimension; more numbers than dimensions add dimensions at the front."""
    shape = input._a.shape
    lead = len(repeats) - len(shape)
    if lead < 0:
        raise ShapeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: "
            f"{len(repeats)} < {len(shape)}"
        )
    if any(n < 0 for n in repeats):
        raise ShapeError(f"Trying to create tensor with negative dimension: repeat{tuple(repeats)} of {list(shape)}")
    if lead:
        input = apply(reshape, (input,), {"shape": (1,) * lead + shape})
    return apply(ops.tile, (input,), {"times": repeats})


def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Each slice of ``dim`` repeated next to itself: one number for all or one for each; flattened without ``dim``.

    Called with counts alone, the positions 0, 1, ... each repeated so often.
    """
    input = tensor_arg(input, "repeat_interleave")
    if repeats is None:
        _check_counts(input._a)
        return wrap(np.repeat(np.arange(input._a.size), input._a))
    if dim is None:
        input, dim = apply(reshape, (input,), {"shape": (input._a.size,)}), 0
    if input._a.ndim == 0:
        input = apply(reshape, (input,), {"shape": (1,)})
    at = dim_arg(dim, input._a.ndim)
    n = input._a.shape[at]
    if isinstance(repeats, Variable) and repeats._a.size > 1:
        counts = repeats._a
        _check_counts(counts)
        if counts.size != n:
            raise ShapeError(f"repeats must have the same size as input along dim, but got {counts.size} and {n}")
        _check_output(output_size, int(counts.sum()))
        return apply(index_select, (input, wrap(np.repeat(np.arange(n), counts))), {"dim": at})
    if isinstance(repeats, Variable):
        _check_counts(repeats._a)
        times = int(repeats._a.reshape(-1)[0])
    else:
        times = as_int(repeats)
    if times < 0:
        raise ArgumentError(f"repeats can not be negative, found {times}")
    _check_output(output_size, times * n)
    return apply(ops.repeat_each, (input,), {"times": times, "dim": at})


def _check_counts(counts: Any) -> None:
    if counts.ndim > 1:
        raise ShapeError(f"repeats must be 0-dim or 1-dim tensor, found {counts.ndim}-dim")
    if counts.dtype not in (np.int64, np.int32):
        raise DtypeError(f"repeats has to be Long or Int tensor, found {counts.dtype}")
    if counts.size and counts.min() < 0:
        raise ArgumentError(f"repeats can not be negative, found {int(counts.min())}")


def _check_output(expected: int | None, found: int) -> None:
    if expected is not None and expected != found:
        raise ArgumentError(f"allocated size does not match required size: output_size {expected}, required {found}")


# -- diagonals and triangles ---------------------------------------------------------------------------


def _plane(x: Any, dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    a, b = dim_arg(dim1, ndim), dim_arg(dim2, ndim)
    if a == b:
        raise ShapeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return a, b


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonals of ``dim1`` and ``dim2`` as the last dimension, as a view; ``offset`` > 0 lies above."""
    input = tensor_arg(input, "diagonal")
    a, b = _plane(input, dim1, dim2, input._a.ndim)
    return apply(ops.diagonal, (input,), {"offset": int(offset), "dim1": a, "dim2": b})


def diag(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """A vector as a diagonal matrix, or the diagonal of a matrix."""
    input = tensor_arg(input, "diag")
    if input._a.ndim == 1:
        return into(diag_embed(input, diagonal), out)
    if input._a.ndim != 2:
        raise ShapeError(f"diag(): Supports 1D or 2D tensors. Got {input._a.ndim}D")
    found = apply(ops.diagonal, (input,), {"offset": int(diagonal), "dim1": 0, "dim2": 1})
    return into(found.clone(), out)


def diagflat(input: Any, offset: int = 0) -> Any:
    """A diagonal matrix of all elements."""
    input = tensor_arg(input, "diagflat")
    return diag_embed(apply(reshape, (input,), {"shape": (input._a.size,)}), offset)


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The last dimension as diagonals of matrices in the new dimensions ``dim1`` and ``dim2``, zeros elsewhere."""
    input = tensor_arg(input, "diag_embed")
    shape = input._a.shape
    if not shape:
        raise IndexRangeError("diag_embed: a 0-d tensor has no last dimension")
    a, b = _plane(input, dim1, dim2, len(shape) + 1)
    side = shape[-1] + abs(offset)
    rest = iter(shape[:-1])
    new = tuple(side if d in (a, b) else next(rest) for d in range(len(shape) + 1))
    return apply(ops.diagonal_place, (input,), {"shape": new, "offset": int(offset), "dim1": a, "dim2": b})


def matrices(input: Any, name: str) -> Any:
    """``input`` if it has two dimensions at least."""
    input = tensor_arg(input, name)
    if input._a.ndim < 2:
        raise ShapeError(f"{name}: input tensor must have at least 2 dimensions, found {input._a.ndim}")
    return input


def tril(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """Zeros above ``diagonal``."""
    return into(apply(ops.tril, (matrices(input, "tril"),), {"diagonal": int(diagonal)}), out)


def triu(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """Zeros below ``diagonal``."""
    return into(apply(ops.triu, (matrices(input, "triu"),), {"diagonal": int(diagonal)}), out)


def _triangle(row: int, col: int, offset: int, dtype: Any, mask: Any) -> Any:
    if row < 0 or col < 0:
        raise ShapeError(f"row and col must be non-negative, got {row} and {col}")
    kind = np.int64 if dtype is None else to_dtype(dtype).np
    return wrap(np.stack(np.nonzero(mask)).astype(kind))


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
) -> Any:
    """Rows and columns of the elements on and below a diagonal: (2, n)."""
    return _triangle(row, col, offset, dtype, np.tri(max(row, 0), max(col, 0), offset, dtype=bool))


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
) -> Any:
    """Rows and columns of the elements on and above a diagonal: (2, n)."""
    return _triangle(row, col, offset, dtype, ~np.tri(max(row, 0), max(col, 0), offset - 1, dtype=bool))


# -- windows and strides -------------------------------------------------------------------------------


def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """Windows of ``size`` along ``dimension``, ``step`` apart, as a new last dimension; a view."""
    shape = input._a.shape
    at = dim_arg(dimension, len(shape))
    n = shape[at] if shape else 1
    if size < 0:
        raise ShapeError(f"size is {size} but must be >= 0")
    if size > n:
        raise ShapeError(f"maximum size for tensor at dimension {at} is {n} but size is {size}")
    if step <= 0:
        raise ShapeError(f"step is {step} but must be > 0")
    if not shape:
        return apply(ops.windows, (apply(reshape, (input,), {"shape": (1,)}),), {"dim": 0, "size": size, "step": 1})[0]
    return apply(ops.windows, (input,), {"dim": at, "size": size, "step": step})


def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """A view of the memory of ``input`` by explicit strides, in elements."""
    input = tensor_arg(input, "as_strided")
    size, stride = sizes_arg((size,), "as_strided"), sizes_arg((stride,), "as_strided")
    if len(size) != len(stride):
        raise ShapeError(f"mismatch in length of strides and shape: {list(stride)} and {list(size)}")
    if any(s < 0 for s in stride):
        raise ShapeError(f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}")
    if any(n < 0 for n in size):
        raise ShapeError(f"as_strided: sizes must not be negative, found {list(size)}")
    a = input._a
    start = input.storage_offset()
    offset = start if storage_offset is None else storage_offset
    memory = a.base if isinstance(a.base, np.ndarray) else a
    reach = offset + 1 + sum((n - 1) * s for n, s in zip(size, stride))
    if prod(size) and (offset < 0 or reach > memory.size):
        raise ShapeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset} require {reach} elements "
            f"and are out of bounds for memory of {memory.size}"
        )
    geometry = (a.shape, tuple(s // a.itemsize for s in a.strides))
    meta = {"size": size, "stride": stride, "offset": offset - start, "geometry": geometry}
    return apply(strided_op, (input,), meta)
