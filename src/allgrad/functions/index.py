"""``x[key]`` and ``x[key] = value`` with PyTorch's rules.

A key is taken apart into a basic part (ints, slices, None, Ellipsis: a view) and an advanced part (index tensors
and masks: a copy) of that view.  As in PyTorch, and unlike NumPy, an int never counts as an index tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import Variable, apply, wrap
from allgrad.dtypes import from_np
from allgrad.errors import DtypeError, IndexRangeError, ShapeError
from allgrad.functions.index_key import as_basic, check_mask, check_places, parse
from allgrad.functions.promote import plain, to
from allgrad.ops import index as ops
from allgrad.ops.index_dim import index_select
from allgrad.ops.shape import slice_

Array = Any
Key = tuple[Any, ...]


def getitem(x: Any, key: Any) -> Any:
    """``x[key]``: a view for ints, slices, None and Ellipsis; a copy for index tensors and masks."""
    if type(key) is int:
        shape = x._a.shape
        if shape and -shape[0] <= key < shape[0]:
            return apply(slice_, (x,), {"index": (key, ...)})
    elif isinstance(key, Variable) and key._a.ndim:
        kind = key._a.dtype
        if kind.kind == "b":
            check_mask(key._a.shape, 0, x._a.shape, 0)
            return apply(ops.masked_select, (x, key), {})
        if kind == np.int64 and x._a.ndim:
            check_places(key._a, 0, x._a.shape[0])
            return apply(index_select, (x, key), {"dim": 0})
    else:
        plain_key = as_basic(key)
        if plain_key is not None:
            try:
                return apply(slice_, (x,), {"index": plain_key})
            except IndexRangeError:
                parse(key, x._a.shape)  # raises too, in PyTorch's words
                raise
    basic, advanced = parse(key, x._a.shape)
    if basic is not None:
        x = apply(slice_, (x,), {"index": basic})
    return x if advanced is None else apply(ops.index, (x,), {"key": advanced})


def setitem(x: Any, key: Any, value: Any) -> None:
    """``x[key] = value``, recorded: no gradient reaches what was overwritten; ``value`` gets that of its place."""
    if isinstance(key, Variable) and key._a.dtype.kind == "b" and key._a.ndim:
        check_mask(key._a.shape, 0, x._a.shape, 0)
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
