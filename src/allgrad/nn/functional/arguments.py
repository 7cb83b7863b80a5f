"""Checks that the functions of this package share: tensors, one number or one per axis, reductions."""

from __future__ import annotations

import warnings
from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.dtypes import from_np
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.promote import as_tensor_like
from allgrad.ops.shape import reshape

Ints = tuple[int, ...]

TYPE_NAMES = {
    "float64": "Double", "float32": "Float", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
    "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
}  # fmt: skip
"""PyTorch's names of the element types in its messages."""


def type_name(x: Variable) -> str:
    """``Float`` for float32, as PyTorch's messages say it."""
    return TYPE_NAMES.get(x._a.dtype.name, x._a.dtype.name)


def is_floating(x: Variable) -> bool:
    """Whether the element type is a floating one (bfloat16 has NumPy kind V or f)."""
    return x._a.dtype.kind not in "iub"


def tensor(x: Any, function: str, name: str = "input") -> Any:
    """``x`` as Tensor; DtypeError naming function and argument."""
    return x if isinstance(x, Variable) else as_tensor_like(x, f"{function}(): argument '{name}'")


def floating(x: Any, function: str, name: str = "input") -> Any:
    """``x`` as floating Tensor; PyTorch's "not implemented for 'Long'" for others."""
    x = tensor(x, function, name)
    if not is_floating(x):
        raise DtypeError(
            f'"{function}" not implemented for {type_name(x)!r}: it computes in floating point; convert with x.float()'
        )
    return x


def same_type(function: str, first: Any, *others: Any) -> None:
    """DtypeError unless all tensors (None is skipped) have the dtype of the first."""
    for other in others:
        if other is not None and other._a.dtype != first._a.dtype:
            raise DtypeError(
                f"{function}: expected scalar type {type_name(first)} but found {type_name(other)}; convert one of "
                f"them, for example with .to({from_np(first._a.dtype)!r})"
            )


def ints(value: Any, n: int, function: str, name: str) -> Ints:
    """One whole number per spatial axis: from a number, or a sequence of one or ``n`` of them."""
    if isinstance(value, Variable):
        value = value._a.tolist()
    if isinstance(value, (int,)) and not isinstance(value, bool):
        return (int(value),) * n
    if hasattr(value, "__index__"):
        return (int(value),) * n
    if not isinstance(value, (tuple, list)):
        raise DtypeError(f"{function}(): argument '{name}' must be tuple of ints, not {type(value).__name__}")
    if any(isinstance(v, (float, str)) or v is None for v in value):
        raise DtypeError(f"{function}(): argument '{name}' must be tuple of ints, found {value!r}")
    if len(value) not in (1, n):
        raise ShapeError(
            f"{function}: expected {name} to be a single integer value or a list of {n} values to match the "
            f"dimensions, but got {name}={list(value)}"
        )
    return tuple(int(v) for v in value) * (n if len(value) == 1 else 1)


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """``reduction``, or what the legacy flags mean: mean by default, "sum" for size_average=False, "none" for
    reduce=False."""
    if size_average is not None or reduce is not None:
        size_average = True if size_average is None else size_average
        reduce = True if reduce is None else reduce
        found = "none" if not reduce else "mean" if size_average else "sum"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{found}' instead.",
            UserWarning,
            stacklevel=3,
        )
        return found
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"{reduction} is not a valid value for reduction; use 'none', 'mean' or 'sum'")
    return reduction


def shaped(x: Variable, shape: Ints) -> Any:
    """``x`` under another shape, recorded."""
    return x if x._a.shape == shape else apply(reshape, (x,), {"shape": shape})


def batched(x: Any, spatial: int, function: str) -> tuple[Any, bool]:
    """(n, c, ...) of an input with or without the batch axis, and whether it had one."""
    ndim = x._a.ndim
    if ndim == spatial + 2:
        return x, True
    if ndim != spatial + 1:
        raise ShapeError(
            f"Expected {spatial + 1}D (unbatched) or {spatial + 2}D (batched) input to {function}, but got input of "
            f"size: {list(x._a.shape)}"
        )
    return shaped(x, (1, *x._a.shape)), False
