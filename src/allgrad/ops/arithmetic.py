"""Arithmetic with broadcasting.  Inputs have one dtype; promotion happens above, in ``functions``.

Pullbacks may return the broadcast shape: the walk sums back to the input's shape, once for all ops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any


@op(ufunc=np.add)
def add(a: Array, b: Array) -> Array:
    """``a + b``."""
    return np.add(a, b)


add.pull(a=lambda g: g, b=lambda g: g)


@op(ufunc=np.subtract)
def sub(a: Array, b: Array) -> Array:
    """``a - b``."""
    return np.subtract(a, b)


sub.pull(a=lambda g: g, b=lambda g: -g)


@op(ufunc=np.multiply)
def mul(a: Array, b: Array) -> Array:
    """``a * b``."""
    return np.multiply(a, b)


mul.pull(a=lambda g, b: g * b, b=lambda g, a: g * a)


@op(ufunc=np.true_divide)
def div(a: Array, b: Array) -> Array:
    """``a / b``."""
    return np.true_divide(a, b)


div.pull(a=lambda g, b: g / b, b=lambda g, b, out: -g * out / b)


@op(ufunc=np.negative)
def neg(x: Array) -> Array:
    """``-x``."""
    return np.negative(x)


neg.pull(x=lambda g: -g)


@op
def cast(x: Array, *, dtype: Any) -> Array:
    """``x`` in another dtype; the gradient comes back in the dtype of ``x``."""
    return x.astype(dtype)


cast.pull(x=lambda g, x_dtype: cast(g, dtype=x_dtype))


@op
def clone(x: Array) -> Array:
    """A copy in row-major order."""
    return np.array(x, order="C")


clone.pull(x=lambda g: g)


@op
def pow_scalar(x: Array, *, exponent: float) -> Array:
    """``x ** exponent`` for a fixed exponent; 0 to the 0 is 1 and its derivative 0."""
    if exponent == 2:
        return np.multiply(x, x)
    if exponent == 0.5 and x.dtype.kind not in "iub":
        return np.sqrt(x)
    return np.power(x, exponent)


def _pow_scalar_x(g: Array, x: Array, *, exponent: float) -> Array:
    if exponent == 0:
        return g * 0
    if exponent == 1:
        return g
    if exponent == 2:
        return g * x * 2
    return g * pow_scalar(x, exponent=exponent - 1) * exponent


pow_scalar.pull(x=_pow_scalar_x)


@op(name="pow")
def pow_(a: Array, b: Array) -> Array:
    """``a ** b``; where b is 0 the derivative in a is 0, where a and its power are 0 the derivative in b is 0."""
    return np.power(a, b)


def _pow_a(g: Array, a: Array, b: Array) -> Array:
    return where(b == 0, 0.0, g * b * pow_(a, where(b == 0, 1.0, b - 1)))


def _pow_b(g: Array, a: Array, b: Array, out: Array) -> Array:
    flat = (a == 0) & (b >= 0)
    return g * out * where(flat, 0.0, log(where(flat, 1.0, a)))


pow_.pull(a=_pow_a, b=_pow_b)


@op
def where(condition: Array, a: Array, b: Array) -> Array:
    """``a`` where the condition holds, else ``b``."""
    return np.where(condition, a, b)


where.pull(a=lambda g, condition: where(condition, g, 0.0), b=lambda g, condition: where(condition, 0.0, g))


@op(ufunc=np.exp)
def exp(x: Array) -> Array:
    """e to the x."""
    return np.exp(x)


exp.pull(x=lambda g, out: g * out)


@op(ufunc=np.log)
def log(x: Array) -> Array:
    """Natural logarithm; nan below zero, -inf at zero."""
    return np.log(x)


log.pull(x=lambda g, x: g / x)


@op(ufunc=np.sqrt)
def sqrt(x: Array) -> Array:
    """Square root; nan below zero."""
    return np.sqrt(x)


sqrt.pull(x=lambda g, out: g / (out * 2))


@op(ufunc=np.tanh)
def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return np.tanh(x)


tanh.pull(x=lambda g, out: g * (1 - out * out))


@op
def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, through tanh: no overflow at either end."""
    half = x.dtype.type(0.5)
    y = np.multiply(x, half)
    y = np.tanh(y, out=y) if isinstance(y, np.ndarray) else np.tanh(y)
    y *= half
    y += half
    return y


sigmoid.pull(x=lambda g, out: g * (out * (1 - out)))


@op
def relu(x: Array) -> Array:
    """``max(x, 0)``; derivative 0 at 0; nan stays nan."""
    return np.maximum(x, 0)


relu.pull(x=lambda g, out: g * (out > 0))


@op
def floor_divide(a: Array, b: Array) -> Array:
    """``floor(a / b)``; its derivative is zero."""
    return np.floor_divide(a, b)


floor_divide.pull(a=lambda g: g * 0, b=lambda g: g * 0)


@op
def trunc_divide(a: Array, b: Array) -> Array:
    """``a / b`` rounded towards zero; its derivative is zero."""
    q = np.true_divide(a, b)
    dtype = np.result_type(a, b)
    if dtype.kind not in "iu":
        return np.trunc(q)
    down = np.floor_divide(a, b)
    return down + ((down < 0) & (down * b != a)).astype(dtype)


trunc_divide.pull(a=lambda g: g * 0, b=lambda g: g * 0)
