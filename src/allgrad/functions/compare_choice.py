"""Choices between Tensors: where, maximum, clamp."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply, wrap
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.promote import as_tensor_like, binary, into, plain, promoted, result_dtype, to
from allgrad.ops import compare_choice as ops
from allgrad.ops.arithmetic import where as where_op
from allgrad.ops.op import Op


def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """``input`` where the condition holds, else ``other``, broadcast; with the condition alone, where it holds.

    ``where(condition)`` is ``nonzero(condition, as_tuple=True)``: one index Tensor per dimension.
    """
    condition = as_tensor_like(condition, "where(): argument 'condition'")
    if input is None and other is None:
        return tuple(wrap(i) for i in np.nonzero(np.atleast_1d(condition._a)))
    if input is None or other is None:
        raise DtypeError("where() takes the condition alone, or both input and other")
    if condition._a.dtype.name not in ("bool", "uint8"):
        raise DtypeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{condition.dtype!r}; try condition != 0"
        )
    if condition._a.dtype.kind != "b":
        condition = wrap(condition._a != 0)
    d = result_dtype(
        *(as_tensor_like(x, "where(): argument 'input'") if isinstance(x, np.ndarray) else x for x in (input, other))
    )
    a, b = (to(x, d) if isinstance(x, Variable) else np.asarray(x).astype(d.np) for x in (input, other))
    return into(apply(where_op, (condition, a, b), {}), out)


def _of_tensors(op: Op, input: Any, other: Any, out: Any) -> Any:
    input = as_tensor_like(input, f"{op.name}(): argument 'input'")
    other = as_tensor_like(other, f"{op.name}(): argument 'other'")
    return into(binary(op, input, other), out)


def maximum(input: Any, other: Any, *, out: Any = None) -> Any:
    """The larger one, elementwise; nan if one is nan.  Equal ones share the gradient."""
    return _of_tensors(ops.maximum, input, other, out)


def minimum(input: Any, other: Any, *, out: Any = None) -> Any:
    """The smaller one, elementwise; nan if one is nan.  Equal ones share the gradient."""
    return _of_tensors(ops.minimum, input, other, out)


def fmax(input: Any, other: Any, *, out: Any = None) -> Any:
    """The larger one, elementwise; a number wins over nan."""
    return _of_tensors(ops.fmax, input, other, out)


def fmin(input: Any, other: Any, *, out: Any = None) -> Any:
    """The smaller one, elementwise; a number wins over nan."""
    return _of_tensors(ops.fmin, input, other, out)


def clamp(input: Any, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
    """``input`` limited to [min, max]: two numbers or two Tensors, or one of them; ``max`` wins over a larger min."""
    input = as_tensor_like(input, "clamp(): argument 'input'")
    if min is None and max is None:
        raise ArgumentError("torch.clamp: At least one of 'min' or 'max' must not be None")
    limits = [x for x in (min, max) if x is not None]
    by_tensor = [isinstance(x, (Variable, np.ndarray)) for x in limits]
    if not all(by_tensor) and any(by_tensor):
        raise DtypeError(f"clamp(): min and max must both be numbers or both Tensors, found {min!r} and {max!r}")
    if not any(by_tensor):
        min, max = plain(min), plain(max)
        if not all(isinstance(x, (int, float)) for x in limits if x is not None):
            raise DtypeError(f"clamp(): min and max must be numbers or Tensors, found {min!r} and {max!r}")
        d = result_dtype(input, *[plain(x) for x in limits])
        if d.category == 0:
            raise DtypeError("clamp() is not implemented for bool; try input.int()")
        return into(apply(ops.clamp, (to(input, d),), {"min": _within(min, d), "max": _within(max, d)}), out)
    if len(limits) == 2 and all(x._a.dtype.kind == "b" for x in (input, *limits) if isinstance(x, Variable)):
        raise DtypeError("clamp() is not implemented for bool; try input.int()")
    values = promoted(input, *[as_tensor_like(x, "clamp(): argument 'min'") for x in limits])
    op = ops.clamp_between if len(limits) == 2 else ops.clamp_above if min is None else ops.clamp_below
    return into(apply(op, values, {}), out)


def _within(limit: Any, d: Any) -> Any:
    """A limit as a number of dtype ``d``, wrapped round if it is out of range, as PyTorch casts it."""
    return None if limit is None else np.asarray(limit).astype(d.np).item()


clip = clamp


def clamp_min(input: Any, min: Any, *, out: Any = None) -> Any:
    """The larger of ``input`` and ``min``."""
    return clamp(input, min=min, out=out)


def clamp_max(input: Any, max: Any, *, out: Any = None) -> Any:
    """The smaller of ``input`` and ``max``."""
    return clamp(input, max=max, out=out)
