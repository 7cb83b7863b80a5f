"""Elementary functions of two Tensors or numbers."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import DtypeError
from allgrad.functions.arithmetic import binary_float, mul
from allgrad.functions.pointwise import exp2
from allgrad.functions.promote import as_tensor_like, binary, into, result_dtype
from allgrad.ops import math_binary as b
from allgrad.ops.op import Op


def _tensors(op: Op, input: Any, other: Any) -> tuple[Any, Any]:
    return (
        as_tensor_like(input, f"{op.name}(): argument 'input'"),
        as_tensor_like(other, f"{op.name}(): argument 'other'"),
    )


def _floats(op: Op, input: Any, other: Any) -> Any:
    """For ops of two Tensors that PyTorch has for floating dtypes only."""
    input, other = _tensors(op, input, other)
    if result_dtype(input, other).category < 2:
        raise DtypeError(f"{op.name}() is not implemented for {result_dtype(input, other)!r}; try input.double()")
    return binary(op, input, other)


def atan2(input: Any, other: Any, *, out: Any = None) -> Any:
    """Angle of the point (other, input), in (-pi, pi]."""
    return into(binary_float(b.atan2, *_tensors(b.atan2, input, other)), out)


arctan2 = atan2


def hypot(input: Any, other: Any, *, out: Any = None) -> Any:
    """``sqrt(input² + other²)`` without overflow."""
    return into(_floats(b.hypot, input, other), out)


def logaddexp(input: Any, other: Any, *, out: Any = None) -> Any:
    """``log(exp(input) + exp(other))`` without overflow."""
    return into(_floats(b.logaddexp, input, other), out)


def logaddexp2(input: Any, other: Any, *, out: Any = None) -> Any:
    """``log2(2**input + 2**other)`` without overflow."""
    return into(_floats(b.logaddexp2, input, other), out)


def nextafter(input: Any, other: Any, *, out: Any = None) -> Any:
    """The next representable number from ``input`` towards ``other``."""
    return into(_floats(b.nextafter, input, other), out)


def copysign(input: Any, other: Any, *, out: Any = None) -> Any:
    """The size of ``input`` with the sign of ``other``."""
    return into(binary_float(b.copysign, as_tensor_like(input, "copysign(): argument 'input'"), other), out)


def heaviside(input: Any, values: Any, *, out: Any = None) -> Any:
    """0 below 0, 1 above, ``values`` at 0; both of one dtype."""
    input, values = _tensors(b.heaviside, input, values)
    if input._a.dtype != values._a.dtype:
        raise DtypeError(
            f"heaviside is not yet implemented for tensors with different dtypes: {input.dtype!r} and {values.dtype!r}"
        )
    return into(apply(b.heaviside, (input, values), {}), out)


def ldexp(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input * 2**other``."""
    input, other = _tensors(b.ldexp, input, other)
    if input._a.dtype.kind in "iub" or other._a.dtype.kind not in "iub":
        return into(mul(input, exp2(other)), out)
    if other._a.dtype.kind == "b":
        raise DtypeError("ldexp() is not implemented for bool exponents; try other.int()")
    return into(apply(b.ldexp, (input, other), {}), out)


def xlogy(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input * log(other)``; 0 where the input is 0, unless other is nan."""
    return into(binary_float(b.xlogy, input, other), out)


def xlog1py(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input * log(1 + other)``; 0 where the input is 0, unless other is nan."""
    return into(binary_float(b.xlog1py, input, other), out)
