"""Keys of ``x[key]`` taken apart: a basic part that makes a view, an advanced part that picks from it."""

from __future__ import annotations

from operator import index as as_int
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable
from allgrad.errors import ArgumentError, DtypeError, IndexRangeError

Array = Any
Key = tuple[Any, ...]
ALL = slice(None)
_SEQUENCE_AS_TUPLE = 32  # PyTorch reads shorter lists that hold tensors, slices or lists as tuples


_BASIC = frozenset({int, slice, type(None), type(Ellipsis)})


def as_basic(key: Any) -> Key | None:
    """A key of ints, slices, None and one Ellipsis as NumPy takes it for a view; None for any other key."""
    parts = key if type(key) is tuple else (key,)
    dots = False
    for k in parts:
        kind = type(k)
        if kind not in _BASIC:
            return None
        if kind is slice:
            if k.step is not None and (type(k.step) is not int or k.step < 1):
                return None
        elif k is Ellipsis:
            if dots:
                return None
            dots = True
    return parts if dots else (*parts, ...)


def parse(key: Any, shape: tuple[int, ...]) -> tuple[Key | None, Key | None]:
    """The basic part of a key and the advanced part of what that leaves; None for a part that does nothing."""
    parts = _as_tuple(key)
    used = sum(_consumes(k) for k in parts)
    if used > len(shape):
        if not shape and len(parts) == 1 and not isinstance(parts[0], Variable):
            raise IndexRangeError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert "
                "a 0-dim tensor to a number"
            )
        raise IndexRangeError(f"too many indices for tensor of dimension {len(shape)}: {used} given")
    basic: list[Any] = []
    picks: dict[int, Array] = {}  # dimension after the basic part -> index array
    dim = out = 0  # dimensions of x consumed, dimensions of the view made
    plain_so_far = False
    for k in parts:
        if k is ALL:
            basic.append(k)
            dim, out = dim + 1, out + 1
        elif k is Ellipsis:
            if not plain_so_far:
                skip = len(shape) - used
                basic.extend((ALL,) * skip)
                dim, out = dim + skip, out + skip
                plain_so_far = True
        elif k is None:
            basic.append(None)
            out += 1
        elif isinstance(k, slice):
            basic.append(_slice(k))
            dim, out = dim + 1, out + 1
        elif isinstance(k, (bool, np.bool_)):
            basic.append(None)
            picks[out] = np.zeros(1 if k else 0, np.int64)
            out += 1
        elif isinstance(k, np.ndarray):
            if k.dtype.kind == "b":
                arrays = _mask_indices(k, dim, shape)
            else:
                check_places(k, dim, shape[dim])
                arrays = (k.astype(np.int64),)  # a copy: the index tensor may be changed before backward
            for a in arrays:
                picks[out] = a
                basic.append(ALL)
                dim, out = dim + 1, out + 1
        else:
            n = shape[dim]
            if not -n <= k < n:
                raise IndexRangeError(f"index {k} is out of bounds for dimension {dim} with size {n}")
            basic.append(k)
            dim += 1
    if picks:
        arrays_ = list(picks.values())
        try:
            np.broadcast_shapes(*[a.shape for a in arrays_])
        except ValueError:
            raise IndexRangeError(
                "shape mismatch: indexing tensors could not be broadcast together with shapes "
                + ", ".join(str(list(a.shape)) for a in arrays_)
            ) from None
    advanced = tuple(picks.get(i, ALL) for i in range(max(picks) + 1)) if picks else None
    view = (*basic, ...) if any(k is not ALL for k in basic) or (parts and not picks) else None
    return view if view is not None or picks else (...,), advanced


def _as_tuple(key: Any) -> list[Any]:
    """The parts of a key: ints, slices, None, Ellipsis, bools and arrays."""
    if isinstance(key, tuple):
        parts: Any = key
    elif (
        isinstance(key, list)
        and len(key) < _SEQUENCE_AS_TUPLE
        and any(k is None or k is Ellipsis or isinstance(k, (Variable, slice, list, tuple, np.ndarray)) for k in key)
    ):
        parts = key
    else:
        parts = (key,)
    return [_part(k) for k in parts]


def _part(k: Any) -> Any:
    if k is None or k is Ellipsis or isinstance(k, (int, np.bool_)):
        return k
    if isinstance(k, slice):
        return ALL if k.start is None and k.stop is None and k.step is None else k
    if isinstance(k, (list, range, tuple)):
        k = np.asarray(_nested(k))
        if k.size == 0:
            k = k.astype(np.int64)
    elif isinstance(k, Variable):
        k = k._a
    elif not isinstance(k, (np.ndarray, np.integer)):
        if isinstance(k, str):
            raise DtypeError(f"new(): invalid data type 'str': {k!r} is no index")
        try:
            return as_int(k)
        except TypeError:
            raise IndexRangeError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                f"(got {type(k).__name__})"
            ) from None
    if k.dtype == np.bool_ and not k.ndim:
        return bool(k)
    if k.dtype == np.uint8:
        return k.astype(np.bool_) if k.ndim else bool(k)
    if isinstance(k, np.integer) or (not k.ndim and k.dtype.kind in "iu"):
        return int(k)
    if k.dtype not in (np.bool_, np.int64, np.int32):
        raise IndexRangeError(f"tensors used as indices must be long, int, byte or bool tensors, found {k.dtype}")
    return k


def _nested(k: Any) -> Any:
    if isinstance(k, Variable):
        return k._a
    return [_nested(i) for i in k] if isinstance(k, (list, tuple, range)) else k


def _consumes(k: Any) -> int:
    """How many dimensions of x a part of a key uses up."""
    if k is None or k is Ellipsis or isinstance(k, (bool, np.bool_)):
        return 0
    return k.ndim if isinstance(k, np.ndarray) and k.dtype.kind == "b" else 1


def _slice(k: slice) -> slice:
    if k.step is not None:
        step = as_int(k.step)
        if step == 0:
            raise ArgumentError("slice step cannot be zero")
        if step < 0:
            raise ArgumentError(f"step must be greater than zero, found {step}; flip() the tensor instead")
    try:
        return slice(*[None if i is None else as_int(i) for i in (k.start, k.stop, k.step)])
    except TypeError:
        raise DtypeError(f"slice indices must be integers or None or have an __index__ method: {k}") from None


def check_mask(mask: tuple[int, ...], dim: int, shape: tuple[int, ...], position: int) -> None:
    if len(mask) + dim > len(shape):
        raise IndexRangeError(f"too many indices for tensor of dimension {len(shape)}: {len(mask) + dim} given")
    for i, n in enumerate(mask):
        if n != shape[dim + i]:
            raise IndexRangeError(
                f"The shape of the mask {list(mask)} at index {i} does not match the shape of the indexed tensor "
                f"{list(shape)} at index {dim + i}"
            )


def _mask_indices(mask: Array, dim: int, shape: tuple[int, ...]) -> tuple[Array, ...]:
    check_mask(mask.shape, dim, shape, dim)
    return np.nonzero(mask)


def check_places(k: Array, dim: int, n: int) -> None:
    """IndexRangeError unless all of ``k`` name one of ``n`` slices, from either end."""
    if k.size:
        low, high = int(k.min()), int(k.max())
        if low < -n or high >= n:
            bad = low if low < -n else high
            raise IndexRangeError(f"index {bad} is out of bounds for dimension {dim} with size {n}")
