"""Arithmetic of Tensors and numbers, with PyTorch's promotion."""

from __future__ import annotations

from typing import Any


from allgrad.autograd.record import Variable, apply
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.promote import as_tensor_like, binary, floating, into, plain, promoted, unary, unary_float
from allgrad.ops import arithmetic as ops


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """``input + alpha * other``, broadcast."""
    if alpha != 1:
        other = binary(ops.mul, other, alpha)
    return into(binary(ops.add, input, other), out)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """``input - alpha * other``, broadcast."""
    if alpha != 1:
        other = binary(ops.mul, other, alpha)
    for x in (input, other):
        if isinstance(x, bool) or (isinstance(x, Variable) and x._a.dtype.kind == "b"):
            raise DtypeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. "
                "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
            )
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
        a, b = promoted(input, other)
        if isinstance(a, Variable) and a._a.dtype.kind in "iub":
            a, b = floating(a), floating(b) if isinstance(b, Variable) else float(b)
        elif isinstance(b, Variable) and b._a.dtype.kind in "iub":
            a, b = float(a), floating(b)
        return into(apply(ops.div, (a, b), {}), out)
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
    return div(input, other, out=out)


def neg(input: Any, *, out: Any = None) -> Any:
    """``-input``."""
    input = as_tensor_like(input, "neg(): argument 'input'")
    if input._a.dtype.kind == "b":
        raise DtypeError(
            "Negation, the `-` operator, on a bool tensor is not supported. "
            "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return into(unary(ops.neg, input), out)


negative = neg


def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """``input ** exponent``; a fixed exponent has a rule of its own."""
    if isinstance(input, Variable) and not isinstance(exponent, Variable):
        exponent = plain(exponent)
        if isinstance(exponent, (int, float)) and not isinstance(exponent, bool):
            kind = input._a.dtype.kind
            if kind in "iub" and isinstance(exponent, float):
                input = floating(input)
            elif kind in "iu" and exponent < 0:
                raise ArgumentError("Integers to negative integer powers are not allowed.")
            elif kind == "b":
                return into(binary(ops.pow_, input, exponent), out)
            return into(apply(ops.pow_scalar, (input,), {"exponent": exponent}), out)
    return into(binary(ops.pow_, input, exponent), out)


def exp(input: Any, *, out: Any = None) -> Any:
    """e to the ``input``."""
    return into(unary_float(ops.exp, input), out)


def log(input: Any, *, out: Any = None) -> Any:
    """Natural logarithm."""
    return into(unary_float(ops.log, input), out)


def sqrt(input: Any, *, out: Any = None) -> Any:
    """Square root."""
    return into(unary_float(ops.sqrt, input), out)


def tanh(input: Any, *, out: Any = None) -> Any:
    """Hyperbolic tangent."""
    return into(unary_float(ops.tanh, input), out)


def sigmoid(input: Any, *, out: Any = None) -> Any:
    """``1 / (1 + exp(-input))``."""
    return into(unary_float(ops.sigmoid, input), out)


def relu(input: Any) -> Any:
    """``max(input, 0)``."""
    return unary(ops.relu, input)


def floor_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """The quotient rounded down."""
    return div(input, other, rounding_mode="floor", out=out)
