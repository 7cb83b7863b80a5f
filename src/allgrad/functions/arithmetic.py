"""Arithmetic of Tensors and numbers, with PyTorch's promotion."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.dtypes import float64
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.promote import (
    NO_META,
    as_tensor_like,
    binary,
    floating,
    into,
    plain,
    result_dtype,
    to,
    unary,
    unary_float,
)
from allgrad.ops import arithmetic as ops
from allgrad.ops.math_binary import lerp as lerp_op
from allgrad.ops.op import Op


def is_bool(x: Any) -> bool:
    """Whether x is a Tensor of bools or a Python bool."""
    return x._a.dtype.kind == "b" if isinstance(x, Variable) else isinstance(x, bool)


def _is_float(x: Any) -> bool:
    return x._a.dtype.kind not in "iub" if isinstance(x, Variable) else isinstance(x, float)


def binary_float(op: Op, a: Any, b: Any) -> Any:
    """Run a two-operand op that computes in floating point: whole numbers become the default dtype."""
    if not (_is_float(a) or _is_float(b)):
        if isinstance(a, Variable):
            a = floating(a)
        elif isinstance(b, Variable):
            b = floating(b)
    return binary(op, a, b)


def scaled(other: Any, alpha: Any, *beside: Any) -> Any:
    """``alpha * other``; a floating alpha for whole numbers is an error, as in PyTorch."""
    if isinstance(alpha, Variable):
        alpha = alpha._a.item()
    kind = result_dtype(other, *beside)
    if isinstance(alpha, float) and kind.category < 2:
        raise DtypeError(
            f"For integral input tensors, argument alpha must not be a floating point number; found {alpha}"
        )
    if isinstance(alpha, bool) and kind.category > 0:
        raise DtypeError("Boolean alpha only supported for Boolean results.")
    return other * alpha if not isinstance(other, Variable) else binary(ops.mul, to(other, kind), alpha)


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """``input + alpha * other``, broadcast."""
    if alpha != 1:
        other = scaled(other, alpha, input)
    return into(binary(ops.add, input, other), out)


def no_bools(input: Any, other: Any) -> None:
    """Errors if one side of a subtraction is a bool."""
    if is_bool(input) or is_bool(other):
        raise DtypeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """``input - alpha * other``, broadcast."""
    no_bools(input, other)
    if alpha != 1:
        other = scaled(other, alpha, input)
    return into(binary(ops.sub, input, other), out)


subtract = sub


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``other - alpha * input``."""
    return sub(other, input, alpha=alpha)


def mul(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input * other``, broadcast."""
    return into(binary(ops.mul, input, other), out)


multiply = mul


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """``input / other``; ``rounding_mode`` "trunc" or "floor" rounds the quotient and keeps integer dtypes."""
    if rounding_mode is None:
        return into(binary_float(ops.div, input, other), out)
    if rounding_mode == "floor":
        return into(binary(ops.floor_divide, input, other), out)
    if rounding_mode == "trunc":
        return into(binary(ops.trunc_divide, input, other), out)
    raise ArgumentError(
        f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
    )


divide = div


def true_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input / other`` in floating point."""
    return into(binary_float(ops.div, input, other), out)


def floor_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """The quotient rounded down; integers stay integers."""
    return into(binary(ops.floor_divide, input, other), out)


def remainder(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input - other * floor(input / other)``: the sign of the divisor, as Python's ``%``."""
    return into(binary(ops.remainder, input, other), out)


def fmod(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input - other * trunc(input / other)``: the sign of the dividend, as C's ``fmod``."""
    return into(binary(ops.fmod, input, other), out)


def neg(input: Any, *, out: Any = None) -> Any:
    """``-input``."""
    input = as_tensor_like(input, "neg(): argument 'input'")
    if is_bool(input):
        raise DtypeError(
            "Negation, the `-` operator, on a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return into(unary(ops.neg, input), out)


negative = neg


def positive(input: Any) -> Any:
    """``input`` itself."""
    input = as_tensor_like(input, "positive(): argument 'input'")
    if is_bool(input):
        raise DtypeError("The `+` operator, on a bool tensor is not supported.")
    return input


def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """``input ** exponent``; a fixed exponent has a rule of its own."""
    if isinstance(input, Variable) and not isinstance(exponent, Variable):
        exponent = plain(exponent)
        if isinstance(exponent, (int, float)) and not isinstance(exponent, bool):
            kind = input._a.dtype.kind
            if kind in "iub" and isinstance(exponent, float):
                input = floating(input)
            elif kind in "iub" and exponent < 0:
                raise ArgumentError("Integers to negative integer powers are not allowed.")
            elif kind == "b":
                return into(binary(ops.pow_, input, exponent), out)
            return into(apply(ops.pow_scalar, (input,), {"exponent": exponent}), out)
    if isinstance(exponent, Variable) and is_bool(input) and is_bool(exponent):
        raise DtypeError("pow() is not implemented for bool; try logical_or(input, ~exponent), which is the same")
    return into(binary(ops.pow_, input, exponent), out)


def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """``input ** exponent`` in double precision."""
    base, power = (to(x, float64) if isinstance(x, Variable) else plain(x) for x in (input, exponent))
    base, power = (x if isinstance(x, Variable) else float(x) for x in (base, power))
    return pow(base, power, out=out)


def exp(input: Any, *, out: Any = None) -> Any:
    """e to the ``input``."""
    return into(unary_float(ops.exp, input), out)


def log(input: Any, *, out: Any = None) -> Any:
    """Natural logarithm; nan below 0."""
    return into(unary_float(ops.log, input), out)


def sqrt(input: Any, *, out: Any = None) -> Any:
    """Square root; nan below 0."""
    return into(unary_float(ops.sqrt, input), out)


def tanh(input: Any, *, out: Any = None) -> Any:
    """Hyperbolic tangent."""
    return into(unary_float(ops.tanh, input), out)


def sigmoid(input: Any, *, out: Any = None) -> Any:
    """``1 / (1 + exp(-input))``."""
    return into(unary_float(ops.sigmoid, input), out)


def relu(input: Any) -> Any:
    """``max(input, 0)``."""
    if isinstance(input, Variable) and input._a.dtype.kind == "f":
        return apply(ops.relu, (input,), NO_META)
    input = as_tensor_like(input, "relu(): argument 'input'")
    if is_bool(input):
        raise DtypeError("Boolean inputs not supported for relu; try input.float()")
    return unary(ops.relu, input)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:
    """``input + value * tensor1 * tensor2``, broadcast."""
    product = binary(ops.mul, tensor1, tensor2)
    if is_bool(input) and is_bool(product):
        raise DtypeError("addcmul() is not implemented for bool; try input.int()")
    if value != 1:
        if isinstance(value, float) and result_dtype(input, product).category < 2:
            value = int(value)  # as PyTorch rounds it here, where other functions refuse
        product = scaled(product, value, input)
    return into(binary(ops.add, input, product), out)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:
    """``input + value * tensor1 / tensor2``, broadcast; floating dtypes only."""
    if result_dtype(tensor1, tensor2).category < 2:
        raise DtypeError(
            "Integer division with addcdiv is no longer supported. Use true division, torch.addcdiv(input, "
            "tensor1.float(), tensor2, value=value), or input + value * torch.div(tensor1, tensor2, "
            "rounding_mode='trunc')"
        )
    quotient = binary(ops.div, tensor1, tensor2)
    return into(binary(ops.add, input, quotient if value == 1 else scaled(quotient, value, input)), out)


def lerp(input: Any, end: Any, weight: Any, *, out: Any = None) -> Any:
    """``input + weight * (end - input)``, exact at both ends; all of one floating dtype."""
    input, end = as_tensor_like(input, "lerp(): argument 'input'"), as_tensor_like(end, "lerp(): argument 'end'")
    for name, x in (("end", end), ("weight", weight)):
        if isinstance(x, Variable) and x._a.dtype != input._a.dtype:
            raise DtypeError(f"expected dtype {input.dtype!r} for `{name}` but got dtype {x.dtype!r}")  # type: ignore[attr-defined]
    if not _is_float(input):
        raise DtypeError(f"lerp() needs floating point tensors, found {input.dtype!r}; try input.float()")
    return into(apply(lerp_op, (input, end, weight if isinstance(weight, Variable) else plain(weight)), {}), out)
