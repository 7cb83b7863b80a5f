"""``x[key]`` and ``x[key] = value`` with PyTorch's rules.

A key is taken apart into a basic part (ints, slices, None, Ellipsis: a view) and an advanced part (index tensors
and masks: a copy) of that view.  As in PyTorch, and unlike NumPy, an int never counts as an index tensor.
"""

from __future__ import annotations

from operator import index as as_int
from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import Variable, apply, wrap
from allgrad.dtypes import from_np
from allgrad.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from allgrad.functions.promote import plain, to
from allgrad.ops import index as ops
from allgrad.ops.shape import slice_

Array = Any
Key = tuple[Any, ...]
ALL = slice(None)
_SEQUENCE_AS_TUPLE = 32  # PyTorch reads shorter lists that hold tensors, slices or lists as tuples


def getitem(x: Any, key: Any) -> Any:
    """``x[key]``: a view for ints, slices, None and Ellipsis; a copy for index tensors and masks."""
    if type(key) is int:
        shape = x._a.shape
        if shape and -shape[0] <= key < shape[0]:
            return apply(slice_, (x,), {"index": (key, ...)})
    elif isinstance(key, Variable) and key._a.dtype.kind == "b" and key._a.ndim:
        _check_mask(key._a.shape, 0, x._a.shape, 0)
        return apply(ops.masked_select, (x, key), {})
    basic, advanced = parse(key, x._a.shape)
    if basic is not None:
        x = apply(slice_, (x,), {"index": basic})
    return x if advanced is None else apply(ops.index, (x,), {"key": advanced})


def setitem(x: Any, key: Any, value: Any) -> None:
    """``x[key] = value``, recorded: no gradient reaches what was overwritten; ``value`` gets that of its place."""
    if isinstance(key, Variable) and key._a.dtype.kind == "b" and key._a.ndim:
        _check_mask(key._a.shape, 0, x._a.shape, 0)
        shape = (int(np.count_nonzero(key._a)), *x._a.shape[key._a.ndim :])
        apply_inplace(ops.masked_put, x, (_value(x, value, shape, True, key), key))
        return
    basic, advanced = parse(key, x._a.shape)
    if advanced is None:
        if basic is None:
            basic = (...,)
        slot = x._a[basic]
        if not _same_place(x, slot, value):
            apply_inplace(ops.put_slice, x, (_value(x, value, slot.shape, False),), {"index": basic})
        return
    if basic is not None:
        x = apply(slice_, (x,), {"index": basic})
    shape = indexed_shape(x._a.shape, advanced)
    apply_inplace(ops.index_put, x, (_value(x, value, shape, True, key),), {"key": advanced, "accumulate": False})


def _same_place(x: Any, slot: Array, value: Any) -> bool:
    """Whether ``value`` is that very part of ``x``, as in ``x[i] += 1``, so that it is there already."""
    if not isinstance(value, Variable) or value._view is None:
        return False
    base = x if x._view is None else x._view.base
    a = value._a
    return (
        value._view.base is base
        and a.shape == slot.shape
        and a.strides == slot.strides
        and a.dtype == slot.dtype
        and a.__array_interface__["data"] == slot.__array_interface__["data"]
    )


def _value(x: Any, value: Any, shape: tuple[int, ...], advanced: bool, key: Any = None) -> Any:
    """``value`` in the dtype of ``x`` and a shape that broadcasts to ``shape``."""
    d = from_np(x._a.dtype)
    if isinstance(value, (np.ndarray, np.generic)):
        value = plain(value) if isinstance(value, np.generic) else wrap(value)
    if not isinstance(value, Variable):
        value = plain(value)
        if not isinstance(value, (bool, int, float)):
            raise DtypeError(f"can't assign a {type(value).__name__} to a torch.{d.name} Tensor")
        return np.asarray(value).astype(x._a.dtype)
    if value._a.dtype != x._a.dtype:
        if advanced:
            check_value_dtype(x, value, key)
        value = to(value, d)
    return fit_value(value, shape, advanced)


def check_value_dtype(x: Any, value: Any, key: Any) -> None:
    """Errors if a Tensor is to be written at index tensors of one of another dtype; masks take one value of any."""
    parts = key if isinstance(key, (tuple, list)) else (key,)
    masked = any(isinstance(k, Variable) and k._a.dtype.kind == "b" for k in parts)
    if value._a.dtype != x._a.dtype and not (masked and value._a.size == 1):
        raise DtypeError(
            f"Index put requires the source and destination dtypes match, got {from_np(x._a.dtype)!r} for the destination "
            f"and {from_np(value._a.dtype)!r} for the source."
        )


def fit_value(value: Any, shape: tuple[int, ...], advanced: bool) -> Any:
    """``value`` without leading ones that ``shape`` has not; ShapeError if it does not broadcast to ``shape``."""
    old = value._a.shape
    extra = max(0, len(old) - len(shape))
    new = old[extra:]
    lead = len(shape) - len(new)
    if any(n != 1 for n in old[:extra]) or any(n not in (1, shape[i + lead]) for i, n in enumerate(new)):
        if advanced:
            raise ShapeError(
                f"shape mismatch: value tensor of shape {list(old)} cannot be broadcast to indexing result of shape "
                f"{list(shape)}"
            )
        bad = next((i for i, n in enumerate(new) if n not in (1, shape[i + lead])), 0)
        raise ShapeError(
            f"The expanded size of the tensor ({shape[bad + lead] if shape else 1}) must match the existing size "
            f"({new[bad] if new else old[0]}) at non-singleton dimension {bad + lead}.  Target sizes: {list(shape)}.  "
            f"Tensor sizes: {list(old)}"
        )
    if extra:
        value = apply(slice_, (value,), {"index": (0,) * extra + (...,)})
    return value


def indexed_shape(shape: tuple[int, ...], key: Key) -> tuple[int, ...]:
    """The shape of ``x[key]`` for index arrays and full slices."""
    at = [i for i, k in enumerate(key) if not isinstance(k, slice)]
    new = np.broadcast_shapes(*[key[i].shape for i in at])
    rest = tuple(n for i, n in enumerate(shape) if i not in at)
    together = at[-1] - at[0] + 1 == len(at)
    return rest[: at[0]] + new + rest[at[0] :] if together else new + rest


# -- keys ----------------------------------------------------------------------------------------------


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
            arrays = _mask_indices(k, dim, shape) if k.dtype.kind == "b" else (_in_range(k, dim, shape[dim]),)
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


def _check_mask(mask: tuple[int, ...], dim: int, shape: tuple[int, ...], position: int) -> None:
    if len(mask) + dim > len(shape):
        raise IndexRangeError(f"too many indices for tensor of dimension {len(shape)}: {len(mask) + dim} given")
    for i, n in enumerate(mask):
        if n != shape[dim + i]:
            raise IndexRangeError(
                f"The shape of the mask {list(mask)} at index {i} does not match the shape of the indexed tensor "
                f"{list(shape)} at index {dim + i}"
            )


def _mask_indices(mask: Array, dim: int, shape: tuple[int, ...]) -> tuple[Array, ...]:
    _check_mask(mask.shape, dim, shape, dim)
    return np.nonzero(mask)


def _in_range(k: Array, dim: int, n: int) -> Array:
    """A copy that the graph owns: the index tensor may be changed before backward."""
    if k.size:
        low, high = int(k.min()), int(k.max())
        if low < -n or high >= n:
            bad = low if low < -n else high
            raise IndexRangeError(f"index {bad} is out of bounds for dimension {dim} with size {n}")
    return k.astype(np.int64)
