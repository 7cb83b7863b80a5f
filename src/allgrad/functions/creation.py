"""Tensors from nothing: filled, from lists and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.absent import on_cpu
from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import from_np, get_default_dtype, int64, to_dtype
from allgrad.errors import ArgumentError, DtypeError, GradientError, ShapeError
from allgrad.functions.promote import into

Array = np.ndarray[Any, Any]


def finish(a: Array, requires_grad: bool = False, out: Any = None) -> Any:
    """A Tensor around a new array, as a leaf that requires grad if wanted; its values in ``out`` if that is given."""
    if out is not None:
        return into(wrap(a.astype(out._a.dtype) if isinstance(out, Variable) else a), out)
    t = wrap(a)
    if requires_grad:
        if a.dtype.kind in "iub":
            raise GradientError(
                f"Only Tensors of floating point and complex dtype can require gradients; this one is {t.dtype!r}"
            )
        t._rg = True
    return t


def shape_of(size: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """The shape meant by ``zeros(2, 3)``, ``zeros((2, 3))`` or ``zeros(size=(2, 3))``."""
    if named is not None:
        if size:
            raise DtypeError(f"the size was given twice: {size} and size={named}")
        size = (named,)
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    elif not size:
        raise DtypeError('missing 1 required positional argument: "size"; () makes a 0-d tensor')
    for n in size:
        if isinstance(n, bool) or not (isinstance(n, (int, np.integer)) or _is_whole(n)):
            raise DtypeError(f"argument 'size' must be tuple of ints, but found element of type {type(n).__name__}")
    shape = tuple(int(n) for n in size)
    if any(n < 0 for n in shape):
        raise ShapeError(f"Trying to create tensor with negative dimension in {list(shape)}")
    return shape


def _is_whole(n: Any) -> bool:
    return isinstance(n, Variable) and n._a.size == 1 and n._a.dtype.kind in "iu"


def np_dtype(dtype: Any) -> np.dtype[Any]:
    """NumPy's dtype for ``dtype``; the default floating one for None."""
    return (get_default_dtype() if dtype is None else to_dtype(dtype)).np


def number(x: Any) -> Any:
    """A Python number of a number or a Tensor of one element."""
    if isinstance(x, Variable):
        if x._a.size != 1:
            raise ShapeError(f"a Tensor with {x._a.size} elements cannot be converted to Scalar")
        return x._a.item()
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, (int, float)):
        return x
    raise DtypeError(f"expected a number, found {type(x).__name__}: {x!r}")


def check_range(values: Any, kind: np.dtype[Any], *, wraps: bool = True) -> None:
    """Errors if whole numbers do not fit an integer dtype; negative ones wrap in unsigned dtypes if ``wraps``."""
    if kind.kind not in "iu" or np.size(values) == 0:
        return
    top = np.iinfo(kind).max
    least = -top if kind.kind == "u" and wraps else np.iinfo(kind).min
    low, high = np.min(values), np.max(values)
    if low < least or high > top:
        raise ArgumentError(
            f"value cannot be converted to type {kind.name} without overflow: {high if high > top else low}"
        )


def _from_nested(data: Any, dtype: Any) -> Array:
    if isinstance(data, Variable):
        return np.array(data._a, dtype=None if dtype is None else to_dtype(dtype).np)
    if isinstance(data, (list, tuple)) and _holds_tensors(data):
        data = _plain(data)
    try:
        a = np.array(data)
    except ValueError as error:
        raise ShapeError(f"expected sequences of equal length: {error}") from error
    if a.dtype.kind in "OUSMc":
        bad = next((x for x in np.ravel(a) if not isinstance(x, (int, float, bool))), data)
        if isinstance(bad, (int, list, tuple)):
            raise ArgumentError(f"Overflow when unpacking long: {bad}")
        raise DtypeError(f"Could not infer dtype of {type(bad).__name__} ({bad!r}); real numbers only")
    if dtype is not None:
        kind = to_dtype(dtype).np
        if a.dtype.kind in "iu" and not isinstance(data, (np.ndarray, np.generic)):
            check_range(a, kind)
        return a.astype(kind)
    if isinstance(data, (np.ndarray, np.generic)):
        from_np(a.dtype)
        return a
    if a.dtype.kind == "f" or a.size == 0:
        return a.astype(get_default_dtype().np)
    if a.dtype.kind == "u":
        raise ArgumentError(f"Overflow when unpacking long: {a.max()}")
    return a.astype(np.int64) if a.dtype.kind == "i" and a.dtype != np.int64 else a


def _holds_tensors(data: Any) -> bool:
    while isinstance(data, (list, tuple)):
        if not data:
            return False
        if any(isinstance(x, Variable) for x in data):
            return True
        data = data[0]
    return isinstance(data, Variable)


def _plain(data: Any) -> Any:
    if isinstance(data, Variable):
        return data._a.tolist()
    return [_plain(x) for x in data] if isinstance(data, (list, tuple)) else data


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Any:
    """A new leaf with a copy of ``data`` (nested lists, numbers, an array, a Tensor).

    Python floats become the default dtype, ints int64, bools bool; arrays keep theirs.
    """
    on_cpu(device)
    return finish(_from_nested(data, dtype), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """``data`` as a Tensor, sharing memory where it is a Tensor or array of the right dtype."""
    on_cpu(device)
    if isinstance(data, Variable):
        return data if dtype is None else data.to(to_dtype(dtype))  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == to_dtype(dtype).np):
        return from_numpy(data)
    return finish(_from_nested(data, dtype))


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None
) -> Any:
    """As ``as_tensor``; ``copy`` says whether memory must (True), must not (False) or may (None) be copied.

    A Tensor stays on its graph unless ``requires_grad`` is False.
    """
    on_cpu(device)
    t = as_tensor(obj, dtype)
    own = obj._a if isinstance(obj, Variable) else obj
    shared = isinstance(own, np.ndarray) and np.shares_memory(own, t._a)
    if copy is False and not shared:
        raise ArgumentError("asarray(): copy=False, but the data cannot be shared without a copy; try copy=None")
    if copy is True and shared:
        t = t.clone()
    if requires_grad is False:
        return wrap(t._a)
    return finish(t._a, True) if requires_grad and not t.requires_grad else t


def from_numpy(ndarray: Array) -> Any:
    """A Tensor on the memory of an array."""
    if not isinstance(ndarray, np.ndarray):
        raise DtypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    from_np(ndarray.dtype)
    return wrap(ndarray if ndarray.dtype.isnative else ndarray.astype(ndarray.dtype.newbyteorder("=")))


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Any:
    """A 1-d Tensor on the memory of a buffer of bytes."""
    return finish(np.frombuffer(buffer, to_dtype(dtype).np, count, offset), requires_grad)


def zeros(
    *size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False, **named: Any,
) -> Any:  # fmt: skip
    """Zeros of shape ``size``."""
    on_cpu(device)
    return finish(np.zeros(_size(size, named), np_dtype(dtype)), requires_grad, out)


def ones(
    *size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False, **named: Any,
) -> Any:  # fmt: skip
    """Ones of shape ``size``."""
    on_cpu(device)
    return finish(np.ones(_size(size, named), np_dtype(dtype)), requires_grad, out)


def empty(
    *size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None, **named: Any,
) -> Any:  # fmt: skip
    """Memory of shape ``size`` with whatever is in it."""
    on_cpu(device)
    return finish(np.empty(_size(size, named), np_dtype(dtype)), requires_grad, out)


def _size(size: tuple[Any, ...], named: dict[str, Any]) -> tuple[int, ...]:
    unknown = set(named) - {"size"}
    if unknown:
        raise DtypeError(f"got an unexpected keyword argument {sorted(unknown)[0]!r}")
    return shape_of(size, named.get("size"))


def full(
    size: Any, fill_value: Any, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """``fill_value`` everywhere; its kind gives the dtype if none is given."""
    on_cpu(device)
    fill_value = number(fill_value)
    if dtype is not None:
        kind = np_dtype(dtype)
    elif isinstance(fill_value, bool):
        kind = np.dtype(np.bool_)
    else:
        kind = int64.np if isinstance(fill_value, int) else np_dtype(None)
    return finish(_filled(shape_of((size,)), fill_value, kind), requires_grad, out)


def _filled(shape: tuple[int, ...], value: Any, kind: np.dtype[Any]) -> Array:
    check_range(value, kind)
    a = np.empty(shape, kind)
    np.copyto(a, np.asarray(value), casting="unsafe")
    return a


def like_dtype(input: Any, dtype: Any) -> np.dtype[Any]:
    """The dtype for ``*_like``: given, or that of ``input``."""
    if not isinstance(input, Variable):
        raise DtypeError(f"argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input._a.dtype if dtype is None else to_dtype(dtype).np


def zeros_like(
    input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None,
) -> Any:  # fmt: skip
    """Zeros of the shape and dtype of ``input``."""
    on_cpu(device)
    kind = like_dtype(input, dtype)
    return finish(np.zeros(input._a.shape, kind), requires_grad)


def ones_like(
    input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None,
) -> Any:  # fmt: skip
    """Ones of the shape and dtype of ``input``."""
    on_cpu(device)
    kind = like_dtype(input, dtype)
    return finish(np.ones(input._a.shape, kind), requires_grad)


def empty_like(
    input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None,
) -> Any:  # fmt: skip
    """Memory of the shape and dtype of ``input`` with whatever is in it."""
    on_cpu(device)
    kind = like_dtype(input, dtype)
    return finish(np.empty(input._a.shape, kind), requires_grad)


def full_like(
    input: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, memory_format: Any = None,
) -> Any:  # fmt: skip
    """``fill_value`` in the shape and dtype of ``input``."""
    on_cpu(device)
    kind = like_dtype(input, dtype)
    return finish(_filled(input._a.shape, number(fill_value), kind), requires_grad)


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A 0-d tensor of the default dtype."""
    on_cpu(device)
    return finish(_filled((), number(s), np_dtype(dtype)), requires_grad)
