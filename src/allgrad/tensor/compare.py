"""Comparison and bit operators, tests, choices, with their in-place twins."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable
from allgrad.errors import DtypeError
from allgrad.functions import compare as c
from allgrad.functions import compare_choice as h
from allgrad.functions.promote import binary
from allgrad.ops import compare as ops
from allgrad.tensor.arithmetic import declined
from allgrad.tensor.twins import twin


class CompareMethods(Variable):
    """``== != < <= > >= & | ^ ~ << >>`` and the methods of comparing, testing and choosing."""

    def __eq__(self, other: Any) -> Any:
        try:
            return binary(ops.eq, self, other)
        except DtypeError as error:
            return declined(other, error)

    def __ne__(self, other: Any) -> Any:
        try:
            return binary(ops.ne, self, other)
        except DtypeError as error:
            return declined(other, error)

    __hash__ = object.__hash__  # by identity

    def __lt__(self, other: Any) -> Any:
        try:
            return binary(ops.lt, self, other)
        except DtypeError as error:
            return declined(other, error)

    def __le__(self, other: Any) -> Any:
        try:
            return binary(ops.le, self, other)
        except DtypeError as error:
            return declined(other, error)

    def __gt__(self, other: Any) -> Any:
        try:
            return binary(ops.gt, self, other)
        except DtypeError as error:
            return declined(other, error)

    def __ge__(self, other: Any) -> Any:
        try:
            return binary(ops.ge, self, other)
        except DtypeError as error:
            return declined(other, error)

    def __and__(self, other: Any) -> Any:
        try:
            return c.bitwise_and(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __or__(self, other: Any) -> Any:
        try:
            return c.bitwise_or(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __xor__(self, other: Any) -> Any:
        try:
            return c.bitwise_xor(self, other)
        except DtypeError as error:
            return declined(other, error)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __lshift__(self, other: Any) -> Any:
        try:
            return c.bitwise_left_shift(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __rshift__(self, other: Any) -> Any:
        try:
            return c.bitwise_right_shift(self, other)
        except DtypeError as error:
            return declined(other, error)

    def __rlshift__(self, other: Any) -> Any:
        return c.bitwise_left_shift(other, self)

    def __rrshift__(self, other: Any) -> Any:
        return c.bitwise_right_shift(other, self)

    def __invert__(self) -> Any:
        return c.bitwise_not(self)

    eq = c.eq
    ne = not_equal = c.ne
    lt = less = c.lt
    le = less_equal = c.le
    gt = greater = c.gt
    ge = greater_equal = c.ge
    equal = c.equal
    isclose = c.isclose
    allclose = c.allclose
    isnan = c.isnan
    isinf = c.isinf
    isfinite = c.isfinite
    isposinf = c.isposinf
    isneginf = c.isneginf
    isreal = c.isreal
    signbit = c.signbit
    isin = c.isin
    logical_and = c.logical_and
    logical_or = c.logical_or
    logical_xor = c.logical_xor
    logical_not = c.logical_not
    bitwise_and = c.bitwise_and
    bitwise_or = c.bitwise_or
    bitwise_xor = c.bitwise_xor
    bitwise_not = c.bitwise_not
    bitwise_left_shift = c.bitwise_left_shift
    bitwise_right_shift = c.bitwise_right_shift
    gcd = c.gcd
    lcm = c.lcm
    maximum = h.maximum
    minimum = h.minimum
    fmax = h.fmax
    fmin = h.fmin
    clamp = clip = h.clamp
    clamp_min = h.clamp_min
    clamp_max = h.clamp_max

    def where(self, condition: Any, other: Any) -> Any:
        """``self`` where the condition holds, else ``other``."""
        return h.where(condition, self, other)

    eq_ = twin(c.eq)
    ne_ = not_equal_ = twin(c.ne)
    lt_ = less_ = twin(c.lt)
    le_ = less_equal_ = twin(c.le)
    gt_ = greater_ = twin(c.gt)
    ge_ = greater_equal_ = twin(c.ge)
    logical_and_ = twin(c.logical_and)
    logical_or_ = twin(c.logical_or)
    logical_xor_ = twin(c.logical_xor)
    logical_not_ = twin(c.logical_not)
    bitwise_and_ = __iand__ = twin(c.bitwise_and)
    bitwise_or_ = __ior__ = twin(c.bitwise_or)
    bitwise_xor_ = __ixor__ = twin(c.bitwise_xor)
    bitwise_not_ = twin(c.bitwise_not)
    bitwise_left_shift_ = __ilshift__ = twin(c.bitwise_left_shift)
    bitwise_right_shift_ = __irshift__ = twin(c.bitwise_right_shift)
    gcd_ = twin(c.gcd)
    lcm_ = twin(c.lcm)
    clamp_ = clip_ = twin(h.clamp)
    clamp_min_ = twin(h.clamp_min)
    clamp_max_ = twin(h.clamp_max)
