"""Tensors joined along a dimension, and cut apart."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_int
from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.dtypes import from_np, promote_types
from allgrad.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from allgrad.functions.promote import into, to
from allgrad.functions.shape import dim_arg, tensor_arg
from allgrad.functions.shape_broadcast import atleast_1d, atleast_2d, atleast_3d
from allgrad.ops import shape as ops


def _tensors(tensors: Any, function: str) -> list[Any]:
    """The tensors of a list, in the dtype they promote to together (0-d ones count as much as others)."""
    if isinstance(tensors, Variable) or not isinstance(tensors, (tuple, list)):
        raise DtypeError(
            f"{function}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    found = [tensor_arg(x, function, "tensors") for x in tensors]
    if found and any(x._a.dtype != found[0]._a.dtype for x in found):
        d = from_np(found[0]._a.dtype)
        for x in found[1:]:
            d = promote_types(d, from_np(x._a.dtype))
        found = [to(x, d) for x in found]
    return found


def cat(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Joined along ``dim``; the other lengths must agree.  Vectors without elements are passed over."""
    xs = _tensors(tensors, "cat")
    if not xs:
        raise ArgumentError("torch.cat(): expected a non-empty list of Tensors")
    for i, x in enumerate(xs):
        if x._a.ndim == 0:
            raise ShapeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    first = xs[0]._a.shape
    if any(x._a.shape != first for x in xs):
        # An empty vector has no say in the number of dimensions: lists that grow from torch.tensor([]) rely on it.
        full = [x for x in xs if x._a.shape != (0,)]
        xs = full or xs[:1]
        first = xs[0]._a.shape
        at = dim_arg(dim, len(first))
        for i, x in enumerate(xs):
            shape = x._a.shape
            if len(shape) != len(first):
                raise ShapeError(f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}")
            for d, (n, m) in enumerate(zip(first, shape)):
                if d != at and n != m:
                    raise ShapeError(
                        f"Sizes of tensors must match except in dimension {at}. Expected size {n} but got size {m} for "
                        f"tensor number {i} in the list."
                    )
    return into(apply(ops.cat, tuple(xs), {"dim": dim_arg(dim, len(first))}), out)


concat = concatenate = cat


def stack(tensors: Any, dim: int = 0, *, out: Any = None) -> Any:
    """Joined along a new dimension ``dim``; all shapes must agree."""
    xs = _tensors(tensors, "stack")
    if not xs:
        raise ShapeError("stack expects a non-empty TensorList")
    first = xs[0]._a.shape
    at = dim_arg(dim, len(first) + 1)
    for i, x in enumerate(xs):
        if x._a.shape != first:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                f"{list(x._a.shape)} at entry {i}"
            )
    return into(apply(ops.stack, tuple(xs), {"dim": at}), out)


def hstack(tensors: Any, *, out: Any = None) -> Any:
    """Joined along dimension 1; vectors along 0."""
    xs = list(atleast_1d(tuple(_nonempty(tensors, "hstack"))))
    return cat(xs, 0 if xs[0]._a.ndim == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Any = None) -> Any:
    """Joined along dimension 0; vectors as rows."""
    return cat(list(atleast_2d(tuple(_nonempty(tensors, "vstack")))), 0, out=out)


row_stack = vstack


def dstack(tensors: Any, *, out: Any = None) -> Any:
    """Joined along dimension 2."""
    return cat(list(atleast_3d(tuple(_nonempty(tensors, "dstack")))), 2, out=out)


def column_stack(tensors: Any, *, out: Any = None) -> Any:
    """Joined along dimension 1; vectors as columns."""
    xs = _nonempty(tensors, "column_stack")
    columns = [apply(ops.reshape, (x,), {"shape": (x._a.size, 1)}) if x._a.ndim <= 1 else x for x in xs]
    return cat(columns, 1, out=out)


def _nonempty(tensors: Any, function: str) -> list[Any]:
    xs = _tensors(tensors, function)
    if not xs:
        raise ShapeError(f"{function} expects a non-empty TensorList")
    return xs


def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Pieces of these lengths, as views."""
    input = tensor_arg(input, "split_with_sizes")
    at = _cut_dim(input, dim, "split")
    sizes = tuple(as_int(n) for n in split_sizes)
    n = input._a.shape[at]
    if any(s < 0 for s in sizes):
        raise ShapeError(f"split_with_sizes expects split_sizes have only non-negative entries, but got {list(sizes)}")
    if sum(sizes) != n:
        raise ShapeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {at}), "
            f"but got split_sizes={list(sizes)}"
        )
    return apply(ops.split, (input,), {"sizes": sizes, "dim": at})


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Pieces of one length (the last may be shorter) or of the lengths given, as views."""
    tensor = tensor_arg(tensor, "split", "tensor")
    if isinstance(split_size_or_sections, (tuple, list)):
        return split_with_sizes(tensor, split_size_or_sections, dim)
    at = _cut_dim(tensor, dim, "split")
    size, n = as_int(split_size_or_sections), tensor._a.shape[at]
    if size < 0:
        raise ShapeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0:
        if n:
            raise ShapeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
        sizes: tuple[int, ...] = (0,)
    else:
        sizes = (size,) * (n // size) + ((n % size,) if n % size or not n else ())
    return apply(ops.split, (tensor,), {"sizes": sizes, "dim": at})


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` pieces of equal length (the last may be shorter), as views."""
    input = tensor_arg(input, "chunk")
    if as_int(chunks) <= 0:
        raise ShapeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    at = _cut_dim(input, dim, "chunk")
    n = input._a.shape[at]
    if n == 0:
        return apply(ops.split, (input,), {"sizes": (0,) * chunks, "dim": at})
    return split(input, -(-n // chunks), at)


def _apart(pieces: tuple[Any, ...], x: Any, dim: int) -> tuple[Any, ...]:
    """The same pieces as views of their own, which may be changed in place."""
    lead, start, found = (slice(None),) * dim, 0, []
    for piece in pieces:
        stop = start + piece._a.shape[dim]
        found.append(apply(ops.slice_, (x,), {"index": (*lead, slice(start, stop))}))
        start = stop
    return tuple(found)


def unsafe_split(tensor: Any, split_size: int, dim: int = 0) -> tuple[Any, ...]:
    """``split`` whose pieces may be changed in place."""
    return _apart(split(tensor, split_size, dim), tensor, dim_arg(dim, tensor._a.ndim))


def unsafe_split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """``split_with_sizes`` whose pieces may be changed in place."""
    return _apart(split_with_sizes(input, split_sizes, dim), input, dim_arg(dim, input._a.ndim))


def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """``chunk`` whose pieces may be changed in place."""
    return _apart(chunk(input, chunks, dim), input, dim_arg(dim, input._a.ndim))


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Exactly that many nearly equal pieces, or pieces between the given positions, as views."""
    input = tensor_arg(input, "tensor_split")
    at = _cut_dim(input, dim, "tensor_split")
    n = input._a.shape[at]
    where = indices_or_sections
    if isinstance(where, Variable):
        where = where._a.tolist()
    if isinstance(where, (tuple, list)):
        ends = [as_int(i) for i in where]
        pieces = []
        for start, stop in zip([0, *ends], [*ends, n]):
            key = slice(start, stop)
            lo, hi, _ = key.indices(n)
            pieces.append(apply(ops.slice_, (input,), {"index": (slice(None),) * at + (slice(lo, max(lo, hi)),)}))
        return tuple(pieces)
    parts = as_int(where)
    if parts <= 0:
        raise ShapeError(f"number of sections must be larger than 0, got {parts}")
    short, longer = divmod(n, parts)
    return apply(ops.split, (input,), {"sizes": (short + 1,) * longer + (short,) * (parts - longer), "dim": at})


def hsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """``tensor_split`` along dimension 1, for vectors 0."""
    input = tensor_arg(input, "hsplit")
    if input._a.ndim < 1:
        raise ShapeError(
            "torch.hsplit requires a tensor with at least 1 dimension, but got a tensor with 0 dimensions!"
        )
    return _even_split(input, indices_or_sections, 0 if input._a.ndim == 1 else 1, "hsplit")


def vsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """``tensor_split`` along dimension 0 of at least a matrix."""
    input = tensor_arg(input, "vsplit")
    if input._a.ndim < 2:
        n = input._a.ndim
        raise ShapeError(
            f"torch.vsplit requires a tensor with at least 2 dimension, but got a tensor with {n} dimensions!"
        )
    return _even_split(input, indices_or_sections, 0, "vsplit")


def dsplit(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """``tensor_split`` along dimension 2."""
    input = tensor_arg(input, "dsplit")
    if input._a.ndim < 3:
        n = input._a.ndim
        raise ShapeError(
            f"torch.dsplit requires a tensor with at least 3 dimension, but got a tensor with {n} dimensions!"
        )
    return _even_split(input, indices_or_sections, 2, "dsplit")


def _even_split(input: Any, where: Any, dim: int, function: str) -> tuple[Any, ...]:
    n = input._a.shape[dim]
    if not isinstance(where, (tuple, list, Variable)) and (where <= 0 or n % where):
        raise ShapeError(
            f"torch.{function} attempted to split along dimension {dim}, but the size of the dimension {n} is not "
            f"divisible by the split_size {where}!"
        )
    return tensor_split(input, where, dim)


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """All slices along ``dim``, without it, as views."""
    input = tensor_arg(input, "unbind")
    if input._a.ndim == 0:
        raise IndexRangeError(f"Dimension specified as {dim} but tensor has no dimensions")
    return apply(ops.unbind, (input,), {"dim": dim_arg(dim, input._a.ndim)})


def _cut_dim(x: Any, dim: int, function: str) -> int:
    if x._a.ndim == 0:
        raise ShapeError(f"{function} expects at least a 1-dimensional tensor")
    return dim_arg(dim, x._a.ndim)
