"""Comparisons, tests, logic and bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply, wrap
from allgrad.errors import DtypeError
from allgrad.functions.promote import NO_META, as_tensor_like, binary, into, promoted, result_dtype, unary
from allgrad.ops import compare as ops
from allgrad.ops.op import Op


def eq(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input == other``, elementwise."""
    return into(binary(ops.eq, input, other), out)


def ne(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input != other``, elementwise."""
    return into(binary(ops.ne, input, other), out)


def lt(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input < other``, elementwise."""
    return into(binary(ops.lt, input, other), out)


def le(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input <= other``, elementwise."""
    return into(binary(ops.le, input, other), out)


def gt(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input > other``, elementwise."""
    return into(binary(ops.gt, input, other), out)


def ge(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input >= other``, elementwise."""
    return into(binary(ops.ge, input, other), out)


not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


def equal(input: Any, other: Any) -> bool:
    """Whether both have the same shape and elements; nan equals nothing."""
    input, other = (as_tensor_like(x, "equal(): argument 'other'") for x in (input, other))
    return bool(np.array_equal(input._a, other._a))


def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """``|input - other| <= atol + rtol * |other|``, elementwise; both of one dtype."""
    a, b = (as_tensor_like(x, "isclose(): argument 'other'")._a for x in (input, other))
    if a.dtype != b.dtype:
        raise DtypeError(f"{input.dtype!r} did not match {other.dtype!r}; try other.to(input.dtype)")
    close = a == b
    if a.dtype.kind not in "iub":
        near = np.abs(a - b) <= np.abs(b) * b.dtype.type(rtol) + b.dtype.type(atol)
        close = close | (near & np.isfinite(b))
        if equal_nan:
            close = close | (np.isnan(a) & np.isnan(b))
    elif a.dtype.kind != "b":
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        close = close | (np.abs(wide_a - wide_b) <= atol + rtol * np.abs(wide_b))
    return wrap(close)


def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close in the sense of ``isclose``."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._a.all())


# -- tests of one Tensor ---------------------------------------------------------------------------


def isnan(input: Any) -> Any:
    """Where the input is not a number."""
    return unary(ops.isnan, input)


def isinf(input: Any) -> Any:
    """Where the input is infinite."""
    return unary(ops.isinf, input)


def isfinite(input: Any) -> Any:
    """Where the input is neither infinite nor nan."""
    return unary(ops.isfinite, input)


def isposinf(input: Any, *, out: Any = None) -> Any:
    """Where the input is +inf."""
    return into(unary(ops.isposinf, input), out)


def isneginf(input: Any, *, out: Any = None) -> Any:
    """Where the input is -inf."""
    return into(unary(ops.isneginf, input), out)


def isreal(input: Any) -> Any:
    """Everywhere: there are no complex dtypes."""
    return wrap(np.ones(as_tensor_like(input, "isreal(): argument 'input'")._a.shape, np.bool_))


def signbit(input: Any, *, out: Any = None) -> Any:
    """Where the sign bit is set: negative numbers and -0."""
    return into(unary(ops.signbit, input), out)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False, out: Any = None
) -> Any:
    """Where an element occurs in ``test_elements``; one of the two may be a number."""
    if not isinstance(elements, (Variable, np.ndarray)) and not isinstance(test_elements, (Variable, np.ndarray)):
        raise DtypeError("isin(): one of elements and test_elements must be a Tensor")
    a, b = promoted(elements, test_elements)
    return into(apply(ops.isin, (_array(a), _array(b)), {"invert": bool(invert)}), out)


def _array(x: Any) -> Any:
    return x if isinstance(x, Variable) else np.asarray(x)


# -- logic: any dtypes -----------------------------------------------------------------------------


def _logic(op: Op, input: Any, other: Any, out: Any) -> Any:
    input = as_tensor_like(input, f"{op.name}(): argument 'input'")
    other = as_tensor_like(other, f"{op.name}(): argument 'other'")
    return into(apply(op, (input, other), NO_META), out)


def logical_and(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input and other``, elementwise; zero is False."""
    return _logic(ops.logical_and, input, other, out)


def logical_or(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input or other``, elementwise."""
    return _logic(ops.logical_or, input, other, out)


def logical_xor(input: Any, other: Any, *, out: Any = None) -> Any:
    """One of both but not both, elementwise."""
    return _logic(ops.logical_xor, input, other, out)


def logical_not(input: Any, *, out: Any = None) -> Any:
    """``not input``, elementwise."""
    return into(unary(ops.logical_not, input), out)


# -- bits ------------------------------------------------------------------------------------------


def _bits(op: Op, input: Any, other: Any, out: Any, *, bools: bool = True) -> Any:
    kind = result_dtype(*(as_tensor_like(x, "other") if isinstance(x, np.ndarray) else x for x in (input, other)))
    if kind.category == 2 or (kind.category == 0 and not bools):
        raise DtypeError(f"{op.name}() is not implemented for {kind!r}; it takes whole numbers")
    return into(binary(op, input, other), out)


def bitwise_and(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input & other`` of integers or bools."""
    return _bits(ops.bitwise_and, input, other, out)


def bitwise_or(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input | other`` of integers or bools."""
    return _bits(ops.bitwise_or, input, other, out)


def bitwise_xor(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input ^ other`` of integers or bools."""
    return _bits(ops.bitwise_xor, input, other, out)


def bitwise_left_shift(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input << other``; 0 where all bits leave."""
    return _bits(ops.bitwise_left_shift, input, other, out, bools=False)


def bitwise_right_shift(input: Any, other: Any, *, out: Any = None) -> Any:
    """``input >> other``, the sign kept."""
    return _bits(ops.bitwise_right_shift, input, other, out, bools=False)


def bitwise_not(input: Any, *, out: Any = None) -> Any:
    """``~input`` of integers or bools."""
    input = as_tensor_like(input, "bitwise_not(): argument 'input'")
    if input._a.dtype.kind not in "iub":
        raise DtypeError(f"bitwise_not() is not implemented for {input.dtype!r}; it takes whole numbers")
    return into(unary(ops.bitwise_not, input), out)


def gcd(input: Any, other: Any, *, out: Any = None) -> Any:
    """Greatest common divisor."""
    return _bits(ops.gcd, input, as_tensor_like(other, "gcd(): argument 'other'"), out, bools=False)


def lcm(input: Any, other: Any, *, out: Any = None) -> Any:
    """Least common multiple."""
    return _bits(ops.lcm, input, as_tensor_like(other, "lcm(): argument 'other'"), out, bools=False)
