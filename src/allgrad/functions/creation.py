"""Tensors from nothing: filled, counted, from lists and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import dtype as Dtype
from allgrad.dtypes import from_np, get_default_dtype, int64, to_dtype
from allgrad.errors import ArgumentError, DtypeError, GradientError, ShapeError

Array = np.ndarray[Any, Any]


def finish(a: Array, requires_grad: bool = False) -> Any:
    """A Tensor around a new array, as a leaf that requires grad if wanted."""
    t = wrap(a)
    if requires_grad:
        if a.dtype.kind in "iub":
            raise GradientError("Only Tensors of floating point and complex dtype can require gradients")
        t._rg = True
    return t


def shape_of(size: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape meant by ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    shape = tuple(int(n) for n in size)
    if any(n < 0 for n in shape):
        raise ShapeError(f"Trying to create tensor with negative dimension in {list(shape)}")
    return shape


def np_dtype(dtype: Any) -> np.dtype[Any]:
    """NumPy's dtype for ``dtype``; the default floating one for None."""
    return (get_default_dtype() if dtype is None else to_dtype(dtype)).np


def _from_nested(data: Any, dtype: Any) -> Array:
    if isinstance(data, Variable):
        return np.array(data._a, dtype=None if dtype is None else to_dtype(dtype).np)
    if isinstance(data, (list, tuple)) and _holds_tensors(data):
        data = _plain(data)
    try:
        a = np.array(data)
    except ValueError as error:
        raise ShapeError(f"expected sequences of equal length: {error}") from error
    if a.dtype.kind in "OUSM":
        bad = next((x for x in np.ravel(a) if not isinstance(x, (int, float, bool))), data)
        if isinstance(bad, int):
            raise ArgumentError(f"Overflow when unpacking long: {bad}")
        raise DtypeError(f"could not make a tensor of {type(bad).__name__} ({bad!r}); numbers only")
    if dtype is not None:
        return a.astype(to_dtype(dtype).np)
    if isinstance(data, (np.ndarray, np.generic)):
        from_np(a.dtype)
        return a
    if a.dtype.kind == "f" or a.size == 0:
        return a.astype(get_default_dtype().np)
    if a.dtype.kind == "i" and a.dtype != np.int64:
        return a.astype(np.int64)
    return a


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
    return finish(_from_nested(data, dtype), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """``data`` as a Tensor, sharing memory where it is a Tensor or array of the right dtype."""
    if isinstance(data, Variable):
        return data if dtype is None else data.to(to_dtype(dtype))  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == to_dtype(dtype).np):
        return from_numpy(data)
    return finish(_from_nested(data, dtype))


def from_numpy(ndarray: Array) -> Any:
    """A Tensor on the memory of an array."""
    if not isinstance(ndarray, np.ndarray):
        raise DtypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    from_np(ndarray.dtype)
    return wrap(ndarray if ndarray.dtype.isnative else ndarray.astype(ndarray.dtype.newbyteorder("=")))


asarray = as_tensor


def zeros(*size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Any:  # fmt: skip
    """Zeros of shape ``size``."""
    return finish(np.zeros(shape_of(size), np_dtype(dtype)), requires_grad)


def ones(*size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Any:  # fmt: skip
    """Ones of shape ``size``."""
    return finish(np.ones(shape_of(size), np_dtype(dtype)), requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Any:  # fmt: skip
    """``fill_value`` everywhere; its kind gives the dtype if none is given."""
    fill_value = fill_value.item() if isinstance(fill_value, Variable) else fill_value
    if dtype is None and isinstance(fill_value, bool):
        a = np.full(shape_of(tuple(size)), fill_value)
    else:
        inferred = int64.np if dtype is None and isinstance(fill_value, int) else np_dtype(dtype)
        a = np.full(shape_of(tuple(size)), fill_value, inferred)
    return finish(a, requires_grad)


def empty(*size: Any, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False, memory_format: Any = None) -> Any:  # fmt: skip
    """Memory of shape ``size`` with whatever is in it."""
    return finish(np.empty(shape_of(size), np_dtype(dtype)), requires_grad)


def like_dtype(input: Any, dtype: Any) -> np.dtype[Any]:
    """The dtype for ``*_like``: given, or that of ``input``."""
    return input._a.dtype if dtype is None else to_dtype(dtype).np


def zeros_like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None) -> Any:  # fmt: skip
    """Zeros of the shape and dtype of ``input``."""
    return finish(np.zeros(input._a.shape, like_dtype(input, dtype)), requires_grad)


def ones_like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None) -> Any:  # fmt: skip
    """Ones of the shape and dtype of ``input``."""
    return finish(np.ones(input._a.shape, like_dtype(input, dtype)), requires_grad)


def empty_like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None) -> Any:  # fmt: skip
    """Memory of the shape and dtype of ``input`` with whatever is in it."""
    return finish(np.empty(input._a.shape, like_dtype(input, dtype)), requires_grad)


def full_like(input: Any, fill_value: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None) -> Any:  # fmt: skip
    """``fill_value`` in the shape and dtype of ``input``."""
    fill_value = fill_value.item() if isinstance(fill_value, Variable) else fill_value
    return finish(np.full(input._a.shape, fill_value, like_dtype(input, dtype)), requires_grad)


def arange(*bounds: Any, start: Any = None, end: Any = None, step: Any = None, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Any:  # fmt: skip
    """Numbers from ``start`` (0) up to but without ``end`` in steps of ``step`` (1); int64 unless one is a float."""
    given = [b.item() if isinstance(b, Variable) else b for b in bounds]
    if len(given) == 1:
        end = given[0]
    elif given:
        start, end = given[0], given[1]
        step = given[2] if len(given) > 2 else step
    start, step = 0 if start is None else start, 1 if step is None else step
    if end is None or step == 0:
        raise ArgumentError(f"arange needs an end and a nonzero step, found start={start} end={end} step={step}")
    if (end - start) * step < 0:
        raise ArgumentError(
            f"upper bound and lower bound inconsistent with step sign: start={start} end={end} step={step}"
        )
    whole = all(isinstance(x, (int, np.integer)) for x in (start, end, step))
    kind = np.dtype(np.int64) if dtype is None and whole else np_dtype(dtype)
    count = int(np.ceil((end - start) / step)) if not whole else -(-(end - start) // step)
    values = start + np.arange(count) * step if whole else float(start) + np.arange(count) * float(step)
    return finish(values.astype(kind), requires_grad)


def linspace(start: Any, end: Any, steps: int, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Any:  # fmt: skip
    """``steps`` numbers from ``start`` to ``end``, both included."""
    a, b = (x.item() if isinstance(x, Variable) else x for x in (start, end))
    return finish(np.linspace(a, b, int(steps)).astype(np_dtype(dtype)), requires_grad)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:  # fmt: skip
    """``base`` to the powers ``linspace(start, end, steps)``."""
    return finish(np.power(base, np.linspace(start, end, int(steps))).astype(np_dtype(dtype)), requires_grad)


def eye(n: int, m: int | None = None, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False) -> Any:  # fmt: skip
    """Ones on the diagonal: (n, m)."""
    return finish(np.eye(n, m, dtype=np_dtype(dtype)), requires_grad)


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A 0-d tensor of the default dtype."""
    return finish(np.array(s, np_dtype(dtype)), requires_grad)
