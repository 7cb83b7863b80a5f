"""Dimensions and dtypes as the caller wrote them, checked with PyTorch's errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from allgrad.autograd.record import Variable
from allgrad.dtypes import from_np, to_dtype
from allgrad.errors import DtypeError, IndexRangeError, ShapeError
from allgrad.functions.promote import as_tensor_like, to

F = TypeVar("F", bound=Callable[..., Any])

_NAMES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
    "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool", "uint16": "UInt16",
    "uint32": "UInt32", "uint64": "UInt64",
}  # fmt: skip
_NUMPY = {"axis": "dim", "keepdims": "keepdim", "a": "input", "x": "input"}


def scalar_name(x: Any) -> str:
    """The element type of a Tensor in the words of PyTorch's messages: Float, Long."""
    return _NAMES[from_np(x._a.dtype).name]


def numpy_names(f: F) -> F:
    """Take NumPy's argument names too, as PyTorch does: ``axis`` for ``dim``, ``keepdims`` for ``keepdim``."""

    @functools.wraps(f)
    def named(*args: Any, **settings: Any) -> Any:
        if settings:
            settings = {_NUMPY.get(k, k): v for k, v in settings.items()}
        return f(*args, **settings)

    return named  # type: ignore[return-value]


def tensor_of(x: Any, name: str) -> Any:
    """``x`` as a Tensor, else a TypeError in PyTorch's words."""
    if isinstance(x, Variable):
        return x
    return as_tensor_like(x, f"{name}(): argument 'input' (position 1)")


def one_dim(dim: Any, ndim: int, name: str = "") -> int:
    """``dim`` as a non-negative axis; a 0-d tensor takes 0 and -1."""
    if isinstance(dim, (bool, np.bool_)) or not isinstance(dim, (int, np.integer)):
        if isinstance(dim, Variable) and dim._a.size == 1 and dim._a.dtype.kind in "iu":
            dim = dim._a.item()
        else:
            raise DtypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexRangeError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return int(dim) % n


def some_dims(dim: Any, ndim: int, name: str = "") -> tuple[int, ...] | None:
    """``dim`` as a tuple of different non-negative axes; None for all of them (None, an empty tuple, or 0-d)."""
    if dim is None:
        return None
    if isinstance(dim, int):
        found: tuple[int, ...] = (one_dim(dim, ndim, name),)
    elif isinstance(dim, (tuple, list)):
        found = tuple(one_dim(d, ndim, name) for d in dim)
        for d in found:
            if found.count(d) > 1:
                raise ShapeError(f"dim {d} appears multiple times in the list of dims")
    else:
        found = (one_dim(dim, ndim, name),)
    return (tuple(sorted(found)) or None) if ndim else None


def in_dtype(x: Any, dtype: Any) -> Any:
    """``x`` cast to ``dtype`` if one is given."""
    return x if dtype is None else to(x, to_dtype(dtype))


def need_floating(x: Any, name: str) -> None:
    """Errors if ``x`` is not floating."""
    if x._a.dtype.kind in "iub":
        raise DtypeError(f"{name}(): input tensor should be a floating point tensor, found {scalar_name(x)}")
