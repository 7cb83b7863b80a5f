"""Operators and arithmetic methods."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import Variable
from allgrad.functions import arithmetic as f
from allgrad.functions.promote import binary, plain, result_dtype, to
from allgrad.ops import arithmetic as ops


def operand(x: Any, other: Any) -> Any:
    """``other`` as the second operand of an in-place op on ``x``: in its dtype, or as PyTorch promotes them."""
    if isinstance(other, Variable):
        d = result_dtype(x, other)
        return to(other, d) if other._a.dtype != x._a.dtype and d.np == x._a.dtype else other
    return plain(other)


class ArithmeticMethods(Variable):
    """``+ - * / // ** -x`` and their methods, in-place ones too."""

    def __add__(self, other: Any) -> Any:
        return binary(ops.add, self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return f.sub(self, other)

    def __rsub__(self, other: Any) -> Any:
        return f.sub(other, self)

    def __mul__(self, other: Any) -> Any:
        return binary(ops.mul, self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return f.div(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return f.div(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return f.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return f.floor_divide(other, self)

    def __pow__(self, other: Any) -> Any:
        return f.pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        return f.pow(other, self)

    def __neg__(self) -> Any:
        return f.neg(self)

    def __pos__(self) -> Any:
        return self

    add = f.add
    sub = subtract = f.sub
    mul = multiply = f.mul
    div = divide = f.div
    true_divide = f.true_divide
    neg = negative = f.neg
    pow = f.pow
    exp = f.exp
    log = f.log
    sqrt = f.sqrt
    tanh = f.tanh
    sigmoid = f.sigmoid
    relu = f.relu
    floor_divide = f.floor_divide

    def add_(self, other: Any, *, alpha: Any = 1) -> Any:
        """``self += alpha * other``."""
        other = operand(
            self,
            other if alpha == 1 else binary(ops.mul, other, alpha) if isinstance(other, Variable) else other * alpha,
        )
        return apply_inplace(ops.add, self, (other,))

    def sub_(self, other: Any, *, alpha: Any = 1) -> Any:
        """``self -= alpha * other``."""
        other = operand(
            self,
            other if alpha == 1 else binary(ops.mul, other, alpha) if isinstance(other, Variable) else other * alpha,
        )
        return apply_inplace(ops.sub, self, (other,))

    def mul_(self, other: Any) -> Any:
        """``self *= other``."""
        return apply_inplace(ops.mul, self, (operand(self, other),))

    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Any:
        """``self /= other``."""
        if rounding_mode == "floor":
            return apply_inplace(ops.floor_divide, self, (operand(self, other),))
        if rounding_mode == "trunc":
            return apply_inplace(ops.trunc_divide, self, (operand(self, other),))
        return apply_inplace(ops.div, self, (operand(self, other),))

    subtract_, multiply_, divide_ = sub_, mul_, div_
    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    def __ifloordiv__(self, other: Any) -> Any:
        return apply_inplace(ops.floor_divide, self, (operand(self, other),))

    def __ipow__(self, other: Any) -> Any:
        return self.pow_(other)

    def pow_(self, exponent: Any) -> Any:
        """``self **= exponent``."""
        if isinstance(exponent, Variable):
            return apply_inplace(ops.pow_, self, (operand(self, exponent),))
        return apply_inplace(ops.pow_scalar, self, (), {"exponent": plain(exponent)})

    def neg_(self) -> Any:
        """``self = -self``, in place."""
        return apply_inplace(ops.neg, self)

    def exp_(self) -> Any:
        """e to the self, in place."""
        return apply_inplace(ops.exp, self)

    def sqrt_(self) -> Any:
        """Square root, in place."""
        return apply_inplace(ops.sqrt, self)

    def log_(self) -> Any:
        """Natural logarithm, in place."""
        return apply_inplace(ops.log, self)

    def tanh_(self) -> Any:
        """Hyperbolic tangent, in place."""
        return apply_inplace(ops.tanh, self)

    def sigmoid_(self) -> Any:
        """Logistic function, in place."""
        return apply_inplace(ops.sigmoid, self)

    def relu_(self) -> Any:
        """``max(self, 0)``, in place."""
        return apply_inplace(ops.relu, self)
