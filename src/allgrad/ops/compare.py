"""Comparisons, tests, logic and bits: results that have no derivative."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any


@op(ufunc=np.equal)
def eq(a: Array, b: Array) -> Array:
    """``a == b``."""
    return np.equal(a, b)


@op(ufunc=np.not_equal)
def ne(a: Array, b: Array) -> Array:
    """``a != b``."""
    return np.not_equal(a, b)


@op(ufunc=np.less)
def lt(a: Array, b: Array) -> Array:
    """``a < b``."""
    return np.less(a, b)


@op(ufunc=np.less_equal)
def le(a: Array, b: Array) -> Array:
    """``a <= b``."""
    return np.less_equal(a, b)


@op(ufunc=np.greater)
def gt(a: Array, b: Array) -> Array:
    """``a > b``."""
    return np.greater(a, b)


@op(ufunc=np.greater_equal)
def ge(a: Array, b: Array) -> Array:
    """``a >= b``."""
    return np.greater_equal(a, b)


# -- tests of one array ----------------------------------------------------------------------------


@op
def isnan(x: Array) -> Array:
    """Where x is not a number."""
    return np.not_equal(x, x)


@op
def isinf(x: Array) -> Array:
    """Where x is infinite."""
    return np.isinf(x)


@op
def isfinite(x: Array) -> Array:
    """Where x is neither infinite nor nan."""
    return np.isfinite(x)


@op
def isposinf(x: Array) -> Array:
    """Where x is +inf."""
    return np.equal(x, np.inf) if x.dtype.kind not in "iub" else np.zeros(x.shape, np.bool_)


@op
def isneginf(x: Array) -> Array:
    """Where x is -inf."""
    return np.equal(x, -np.inf) if x.dtype.kind not in "iub" else np.zeros(x.shape, np.bool_)


@op
def signbit(x: Array) -> Array:
    """Where the sign bit is set: negative numbers and -0."""
    return np.less(x, 0) if x.dtype.kind in "iub" else np.signbit(x)


@op
def isin(elements: Array, test: Array, *, invert: bool = False) -> Array:
    """Where an element occurs in ``test``: (...), any shape -> (...)."""
    return np.isin(elements, test, invert=invert)


# -- logic: any dtype, zero is False ---------------------------------------------------------------


@op(ufunc=np.logical_and)
def logical_and(a: Array, b: Array) -> Array:
    """``a and b``, elementwise."""
    return np.logical_and(a, b)


@op(ufunc=np.logical_or)
def logical_or(a: Array, b: Array) -> Array:
    """``a or b``, elementwise."""
    return np.logical_or(a, b)


@op(ufunc=np.logical_xor)
def logical_xor(a: Array, b: Array) -> Array:
    """One of ``a`` and ``b`` but not both, elementwise."""
    return np.logical_xor(a, b)


@op(ufunc=np.logical_not)
def logical_not(x: Array) -> Array:
    """``not x``, elementwise."""
    return np.logical_not(x)


# -- bits: integers and bool -----------------------------------------------------------------------


@op(ufunc=np.bitwise_and)
def bitwise_and(a: Array, b: Array) -> Array:
    """``a & b``."""
    return np.bitwise_and(a, b)


@op(ufunc=np.bitwise_or)
def bitwise_or(a: Array, b: Array) -> Array:
    """``a | b``."""
    return np.bitwise_or(a, b)


@op(ufunc=np.bitwise_xor)
def bitwise_xor(a: Array, b: Array) -> Array:
    """``a ^ b``."""
    return np.bitwise_xor(a, b)


@op(ufunc=np.invert)
def bitwise_not(x: Array) -> Array:
    """``~x``."""
    return np.invert(x)


@op(ufunc=np.left_shift)
def bitwise_left_shift(a: Array, b: Array) -> Array:
    """``a << b``; 0 where b is not less than the width."""
    return np.left_shift(a, b)


@op(ufunc=np.right_shift)
def bitwise_right_shift(a: Array, b: Array) -> Array:
    """``a >> b``, the sign kept; only the sign is left where b is not less than the width."""
    return np.right_shift(a, b)


@op(name="gcd", ufunc=np.gcd)
def gcd(a: Array, b: Array) -> Array:
    """Greatest common divisor."""
    return np.gcd(a, b)


@op(name="lcm", ufunc=np.lcm)
def lcm(a: Array, b: Array) -> Array:
    """Least common multiple."""
    return np.lcm(a, b)
