"""Arithmetic operators and methods, in-place ones too."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import Variable
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions import arithmetic as f
from allgrad.functions.promote import binary, plain, result_dtype, to
from allgrad.ops import arithmetic as ops
from allgrad.tensor.twins import op_twin, replace, twin

OPERANDS = (Variable, np.ndarray, np.generic, int, float)


def operand(x: Any, other: Any) -> Any:
    """``other`` as the second operand of an in-place op on ``x``: in its dtype, or as PyTorch promotes them."""
    if isinstance(other, Variable):
        d = result_dtype(x, other)
        return to(other, d) if other._a.dtype != x._a.dtype and d.np == x._a.dtype else other
    if not isinstance(other, OPERANDS):
        raise DtypeError(f"argument 'other' must be Tensor or number, not {type(other).__name__}")
    return plain(other)


def declined(other: Any, error: DtypeError) -> Any:
    """NotImplemented for an operand of a foreign kind, so that Python asks that one; else the error stands."""
    if isinstance(other, OPERANDS):
        raise error
    return NotImplemented


class ArithmeticMethods(Variable):
    """``+ - * / // % ** -x`` and their methods."""

    def __add__(self, other: Any) -> Any:
        try:
            return binary(ops.add, self, other)
        except DtypeError as error:
            return declined(other, error)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        try:
            return f.sub(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __rsub__(self, other: Any) -> Any:
        try:
            return f.sub(other, self)
        except DtypeError as error:
            return declined(other, error)

    def __mul__(self, other: Any) -> Any:
        try:
            return binary(ops.mul, self, other)
        except DtypeError as error:
            return declined(other, error)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        try:
            return f.true_divide(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __rtruediv__(self, other: Any) -> Any:
        try:
            return f.true_divide(other, self)
        except DtypeError as error:
            return declined(other, error)

    def __floordiv__(self, other: Any) -> Any:
        try:
            return f.floor_divide(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __rfloordiv__(self, other: Any) -> Any:
        try:
            return f.floor_divide(other, self)
        except DtypeError as error:
            return declined(other, error)

    def __mod__(self, other: Any) -> Any:
        try:
            return f.remainder(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __rmod__(self, other: Any) -> Any:
        try:
            return f.remainder(other, self)
        except DtypeError as error:
            return declined(other, error)

    def __pow__(self, other: Any) -> Any:
        try:
            return f.pow(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __rpow__(self, other: Any) -> Any:
        try:
            return f.pow(other, self)
        except DtypeError as error:
            return declined(other, error)

    def __neg__(self) -> Any:
        return f.neg(self)

    def __pos__(self) -> Any:
        return f.positive(self)

    add = f.add
    sub = subtract = f.sub
    mul = multiply = f.mul
    div = divide = f.div
    true_divide = f.true_divide
    floor_divide = f.floor_divide
    remainder = f.remainder
    fmod = f.fmod
    neg = negative = f.neg
    positive = f.positive
    pow = f.pow
    float_power = f.float_power
    exp = f.exp
    log = f.log
    sqrt = f.sqrt
    tanh = f.tanh
    sigmoid = f.sigmoid
    relu = f.relu
    addcmul = f.addcmul
    addcdiv = f.addcdiv
    lerp = f.lerp

    def add_(self, other: Any, *, alpha: Any = 1) -> Any:
        """``self += alpha * other``."""
        return apply_inplace(ops.add, self, (operand(self, other if alpha == 1 else f.scaled(other, alpha, self)),))

    def sub_(self, other: Any, *, alpha: Any = 1) -> Any:
        """``self -= alpha * other``."""
        f.no_bools(self, other)
        return apply_inplace(ops.sub, self, (operand(self, other if alpha == 1 else f.scaled(other, alpha, self)),))

    def mul_(self, other: Any) -> Any:
        """``self *= other``."""
        return apply_inplace(ops.mul, self, (operand(self, other),))

    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Any:
        """``self /= other``."""
        if rounding_mode is None:
            return apply_inplace(ops.div, self, (operand(self, other),))
        if rounding_mode not in ("floor", "trunc"):
            raise ArgumentError(f"div_ expected rounding_mode to be None, 'trunc' or 'floor', found {rounding_mode!r}")
        return replace(self, "div_", f.div, other, rounding_mode=rounding_mode)

    subtract_, multiply_, divide_, true_divide_ = sub_, mul_, div_, div_
    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    floor_divide_ = __ifloordiv__ = twin(f.floor_divide)
    remainder_ = __imod__ = twin(f.remainder)
    fmod_ = twin(f.fmod)
    addcmul_ = twin(f.addcmul)
    addcdiv_ = twin(f.addcdiv)
    lerp_ = twin(f.lerp)

    def pow_(self, exponent: Any) -> Any:
        """``self **= exponent``."""
        exponent = plain(exponent)
        if self._a.dtype.kind not in "iub" and isinstance(exponent, (int, float)) and not isinstance(exponent, bool):
            return apply_inplace(ops.pow_scalar, self, (), {"exponent": exponent})
        return replace(self, "pow_", f.pow, exponent)

    __ipow__ = pow_

    def float_power_(self, exponent: Any) -> Any:
        """``self **= exponent`` in double precision; self must be of it."""
        if self._a.dtype != np.float64:
            raise DtypeError(
                f"the base given to float_power_ has dtype {self.dtype!r} but the operation's result requires dtype "  # type: ignore[attr-defined]
                "torch.float64"
            )
        return replace(self, "float_power_", f.float_power, exponent)

    def neg_(self) -> Any:
        """``self = -self``, in place."""
        if f.is_bool(self):
            f.neg(self)
        return apply_inplace(ops.neg, self)

    negative_ = neg_

    exp_ = op_twin(ops.exp)
    sqrt_ = op_twin(ops.sqrt)
    log_ = op_twin(ops.log)
    tanh_ = op_twin(ops.tanh)
    sigmoid_ = op_twin(ops.sigmoid)

    def relu_(self) -> Any:
        """``max(self, 0)``, in place."""
        if f.is_bool(self):
            f.relu(self)
        return apply_inplace(ops.relu, self)
