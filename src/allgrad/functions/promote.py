"""PyTorch's type promotion, applied before an op runs: ops themselves see one dtype.

A tensor with dimensions outranks a 0-d tensor, which outranks a Python number, as long as they are of one
category (bool < integer < floating); a higher category wins in any case.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply, edge, wrap
from allgrad.context import ctx
from allgrad.dtypes import bool_ as bool_dtype
from allgrad.dtypes import dtype as Dtype
from allgrad.dtypes import float32, from_np, get_default_dtype, int64, promote_types
from allgrad.errors import ArgumentError, DtypeError, GradientError
from allgrad.ops.arithmetic import cast
from allgrad.ops.op import Op

Array = np.ndarray[Any, Any]
NO_META: dict[str, Any] = {}


def is_number(x: Any) -> bool:
    """Whether ``x`` is a Python or NumPy number."""
    return isinstance(x, (int, float, np.number, np.bool_))


def plain(x: Any) -> Any:
    """NumPy's scalars as Python numbers, which promote weakly."""
    return x.item() if isinstance(x, np.generic) else x


def as_tensor_like(x: Any, name: str) -> Any:
    """``x`` if it is a Tensor, NumPy arrays wrapped; else a TypeError naming the argument."""
    if isinstance(x, Variable):
        return x
    if isinstance(x, np.ndarray):
        from_np(x.dtype)
        return wrap(x)
    raise DtypeError(f"{name} must be Tensor, not {type(x).__name__}")


def result_dtype(*args: Any) -> Dtype:
    """The dtype that tensors and numbers promote to together."""
    dims: Dtype | None = None
    zero: Dtype | None = None
    number: Dtype | None = None
    for x in args:
        if isinstance(x, Variable):
            d = from_np(x._a.dtype)
            if x._a.ndim:
                dims = d if dims is None else promote_types(dims, d)
            else:
                zero = d if zero is None else promote_types(zero, d)
        else:
            x = plain(x)
            d = bool_dtype if isinstance(x, bool) else int64 if isinstance(x, int) else get_default_dtype()
            number = d if number is None else promote_types(number, d)
    found: Dtype | None = None
    for d2 in (dims, zero, number):
        if d2 is None:
            continue
        if found is None or d2.category > found.category:
            found = d2 if found is None or d2 is not number else _number_in(d2)
    return found or float32


def _number_in(d: Dtype) -> Dtype:
    return get_default_dtype() if d.is_floating_point else d


def to(x: Any, d: Dtype) -> Any:
    """``x`` cast to ``d`` if it is a Tensor of another dtype, recorded; a number as Python number of its kind."""
    if isinstance(x, Variable):
        return x if x._a.dtype == d.np else apply(cast, (x,), {"dtype": d.np})
    x = plain(x)
    if d.category == 2:
        return float(x)
    return bool(x) if d.category == 0 else int(x)


def promoted(*args: Any) -> tuple[Any, ...]:
    """All arguments in the dtype they promote to together."""
    d = result_dtype(*args)
    return tuple(to(x, d) for x in args)


def binary(op: Op, a: Any, b: Any) -> Any:
    """Run a two-operand elementwise op with promotion; the common cases pass without a detour.

    A ufunc takes a Python number as it is, weakly typed; other ops get a 0-d array of the result's dtype.
    """
    if isinstance(a, Variable):
        if isinstance(b, Variable):
            if a._a.dtype is b._a.dtype:
                return apply(op, (a, b), NO_META)
        elif type(b) is float or type(b) is int:
            kind = a._a.dtype.kind
            if op.ufunc is not None and (
                kind == "f" or (kind == "i" and type(b) is int and -(2**31) < b < 2**31 and a._a.dtype.itemsize >= 4)
            ):
                return apply(op, (a, b), NO_META)
        elif isinstance(b, np.ndarray):
            b = as_tensor_like(b, "other")
        elif not is_number(b):
            raise DtypeError(f"{op.name}(): argument 'other' must be Tensor or number, not {type(b).__name__}")
    elif isinstance(a, np.ndarray):
        a = as_tensor_like(a, "input")
    elif not is_number(a):
        raise DtypeError(f"{op.name}(): argument 'input' must be Tensor, not {type(a).__name__}")
    d = result_dtype(a, b)
    # A number stays a 0-d array of the result dtype: out of range it wraps, as in PyTorch, in place of an error.
    a, b = (to(x, d) if isinstance(x, Variable) else _number_array(x, d) for x in (a, b))
    return apply(op, (a, b), NO_META)


def _number_array(x: Any, d: Dtype) -> Any:
    if isinstance(x, int) and not -(2**63) <= x < 2**64:
        raise ArgumentError(f"Overflow when unpacking long: {x} has more than 64 bits; use a float")
    return np.array(to(x, d)).astype(d.np)


def floating(x: Any) -> Any:
    """``x`` itself if floating, else cast to the default dtype: for functions such as exp and mean."""
    return x if x._a.dtype.kind not in "iub" else apply(cast, (x,), {"dtype": get_default_dtype().np})


def unary(op: Op, x: Any) -> Any:
    """Run a one-operand op that takes any dtype."""
    if not isinstance(x, Variable):
        x = as_tensor_like(x, f"{op.name}(): argument 'input'")
    return apply(op, (x,), NO_META)


def unary_float(op: Op, x: Any) -> Any:
    """Run a one-operand op that computes in floating point."""
    if not isinstance(x, Variable):
        x = as_tensor_like(x, f"{op.name}(): argument 'input'")
    return apply(op, (x if x._a.dtype.kind == "f" else floating(x),), NO_META)


def into(result: Any, out: Any) -> Any:
    """Deliver a result in the Tensor ``out`` if one is given: PyTorch's ``out=``, resized where its shape differs."""
    if out is None:
        return result
    if not isinstance(out, Variable):
        raise DtypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if ctx.grad_enabled and (edge(result) is not None or edge(out) is not None):
        raise GradientError(
            "functions with out=... arguments don't support automatic differentiation, but one of the arguments "
            "requires grad. Use the returned value, or torch.no_grad()"
        )
    found, wanted = from_np(result._a.dtype), from_np(out._a.dtype)
    if found.category > wanted.category:
        raise DtypeError(f"result type {found!r} can't be cast to the desired output type {wanted!r}")
    if out._a.shape != result._a.shape:
        out._a = np.empty(result._a.shape, out._a.dtype)
    np.copyto(out._a, result._a, casting="unsafe")
    out._cell[0] += 1
    return out
