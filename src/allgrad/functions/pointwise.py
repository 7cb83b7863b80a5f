"""Elementary functions of one Tensor.  Whole numbers are computed in the default floating dtype."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions.arithmetic import is_bool, mul
from allgrad.functions.promote import as_tensor_like, floating, into, unary, unary_float
from allgrad.ops import arithmetic as ops
from allgrad.ops import math as m
from allgrad.ops.copy import copy_into
from allgrad.ops.op import Op

# -- exponentials, logarithms, powers ---------------------------------------------------------------


def exp2(input: Any, *, out: Any = None) -> Any:
    """2 to the ``input``."""
    return into(unary_float(m.exp2, input), out)


def expm1(input: Any, *, out: Any = None) -> Any:
    """``exp(input) - 1`` without cancellation near 0."""
    return into(unary_float(m.expm1, input), out)


def log1p(input: Any, *, out: Any = None) -> Any:
    """``log(1 + input)`` without cancellation near 0."""
    return into(unary_float(m.log1p, input), out)


def log2(input: Any, *, out: Any = None) -> Any:
    """Logarithm to base 2."""
    return into(unary_float(m.log2, input), out)


def log10(input: Any, *, out: Any = None) -> Any:
    """Logarithm to base 10."""
    return into(unary_float(m.log10, input), out)


def rsqrt(input: Any, *, out: Any = None) -> Any:
    """``1 / sqrt(input)``."""
    return into(unary_float(m.rsqrt, input), out)


def reciprocal(input: Any, *, out: Any = None) -> Any:
    """``1 / input``."""
    return into(unary_float(m.reciprocal, input), out)


# -- angles -----------------------------------------------------------------------------------------


def sin(input: Any, *, out: Any = None) -> Any:
    """Sine of an angle in radians."""
    return into(unary_float(m.sin, input), out)


def cos(input: Any, *, out: Any = None) -> Any:
    """Cosine of an angle in radians."""
    return into(unary_float(m.cos, input), out)


def tan(input: Any, *, out: Any = None) -> Any:
    """Tangent of an angle in radians."""
    return into(unary_float(m.tan, input), out)


def asin(input: Any, *, out: Any = None) -> Any:
    """Angle in [-pi/2, pi/2] with this sine; nan outside [-1, 1]."""
    return into(unary_float(m.asin, input), out)


def acos(input: Any, *, out: Any = None) -> Any:
    """Angle in [0, pi] with this cosine; nan outside [-1, 1]."""
    return into(unary_float(m.acos, input), out)


def atan(input: Any, *, out: Any = None) -> Any:
    """Angle in [-pi/2, pi/2] with this tangent."""
    return into(unary_float(m.atan, input), out)


def sinh(input: Any, *, out: Any = None) -> Any:
    """Hyperbolic sine."""
    return into(unary_float(m.sinh, input), out)


def cosh(input: Any, *, out: Any = None) -> Any:
    """Hyperbolic cosine."""
    return into(unary_float(m.cosh, input), out)


def asinh(input: Any, *, out: Any = None) -> Any:
    """Inverse of sinh."""
    return into(unary_float(m.asinh, input), out)


def acosh(input: Any, *, out: Any = None) -> Any:
    """Inverse of cosh on [1, inf); nan below 1."""
    return into(unary_float(m.acosh, input), out)


def atanh(input: Any, *, out: Any = None) -> Any:
    """Inverse of tanh; nan outside [-1, 1]."""
    return into(unary_float(m.atanh, input), out)


def sinc(input: Any, *, out: Any = None) -> Any:
    """``sin(pi input) / (pi input)``, 1 at 0."""
    return into(unary_float(m.sinc, input), out)


def deg2rad(input: Any, *, out: Any = None) -> Any:
    """Degrees as radians."""
    return into(mul(as_tensor_like(input, "deg2rad(): argument 'input'"), math.pi / 180.0), out)


def rad2deg(input: Any, *, out: Any = None) -> Any:
    """Radians as degrees."""
    return into(mul(as_tensor_like(input, "rad2deg(): argument 'input'"), 180.0 / math.pi), out)


def logit(input: Any, eps: float | None = None, *, out: Any = None) -> Any:
    """``log(input / (1 - input))``; the input is first clamped to [eps, 1 - eps] if eps is given."""
    input = floating(as_tensor_like(input, "logit(): argument 'input'"))
    return into(apply(m.logit, (input,), {"eps": eps}), out)


# -- sign and rounding: any dtype, kept ------------------------------------------------------------


def _no_bool(op: Op, input: Any) -> Any:
    input = as_tensor_like(input, f"{op.name}(): argument 'input'")
    if is_bool(input):
        raise DtypeError(f"{op.name}() is not implemented for bool; try input.int()")
    return unary(op, input)


def abs(input: Any, *, out: Any = None) -> Any:
    """``|input|``; derivative 0 at 0."""
    return into(_no_bool(m.abs_, input), out)


def floor(input: Any, *, out: Any = None) -> Any:
    """The next whole number below."""
    return into(_no_bool(m.floor, input), out)


def ceil(input: Any, *, out: Any = None) -> Any:
    """The next whole number above."""
    return into(_no_bool(m.ceil, input), out)


def trunc(input: Any, *, out: Any = None) -> Any:
    """The next whole number towards 0."""
    return into(_no_bool(m.trunc, input), out)


def round(input: Any, *, decimals: int = 0, out: Any = None) -> Any:
    """The nearest multiple of ``10**-decimals``, halves to the even one."""
    input = as_tensor_like(input, "round(): argument 'input'")
    if is_bool(input) or (decimals and input._a.dtype.kind in "iu"):
        raise DtypeError(f"round(decimals={decimals}) is not implemented for {input.dtype!r}; try input.float()")
    return into(apply(m.round_, (input,), {"decimals": int(decimals)}), out)


def frac(input: Any, *, out: Any = None) -> Any:
    """``input - trunc(input)``."""
    input = as_tensor_like(input, "frac(): argument 'input'")
    if input._a.dtype.kind in "iub":
        raise DtypeError(f"frac() is not implemented for {input.dtype!r}; try input.float()")
    return into(unary(m.frac, input), out)


def sign(input: Any, *, out: Any = None) -> Any:
    """-1, 0 or 1; 0 for nan."""
    return into(unary(m.sign, input), out)


def square(input: Any, *, out: Any = None) -> Any:
    """``input * input``."""
    input = as_tensor_like(input, "square(): argument 'input'")
    return into(mul(input, input * 1) if is_bool(input) else unary(m.square, input), out)


def nan_to_num(
    input: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None, *, out: Any = None
) -> Any:
    """nan and infinities replaced: by 0 and the largest finite numbers of the dtype unless given."""
    input = as_tensor_like(input, "nan_to_num(): argument 'input'")
    return into(apply(m.nan_to_num, (input,), {"nan": nan, "posinf": posinf, "neginf": neginf}), out)


def fill(input: Any, value: Any) -> Any:
    """A Tensor of the shape and dtype of ``input`` with ``value`` everywhere, a number or a 0-d Tensor."""
    input = as_tensor_like(input, "fill(): argument 'input'")
    if isinstance(value, Variable) and value._a.ndim:
        raise ShapeError(f"fill only supports 0-dimension value tensor but got tensor with {value._a.ndim} dimensions.")
    return apply(copy_into, (input, value if isinstance(value, Variable) else np.asarray(value)), {})


def real(input: Any) -> Any:
    """``input`` itself: there are no complex dtypes."""
    return as_tensor_like(input, "real(): argument 'input'")


conj = resolve_conj = resolve_neg = real


def imag(input: Any) -> Any:
    """An error: there are no complex dtypes."""
    raise DtypeError("imag is not implemented for tensors with non-complex dtypes.")


def angle(input: Any, *, out: Any = None) -> Any:
    """0 for positive numbers, pi for negative ones, nan for nan."""
    x = floating(as_tensor_like(input, "angle(): argument 'input'"))
    return into(apply(m.angle, (x,), {}), out)


def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy, recorded."""
    return unary(ops.clone, input)


absolute = abs
arcsin, arccos, arctan = asin, acos, atan
arcsinh, arccosh, arctanh = asinh, acosh, atanh
fix = trunc
sgn = sign
