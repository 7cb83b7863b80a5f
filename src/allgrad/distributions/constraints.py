"""Which parameters and values a distribution takes."""

from __future__ import annotations

from typing import Any

import numpy as np


class Constraint:
    """A condition on each element (or each event)."""

    event_dim = 0
    is_discrete = False

    def check(self, value: Any) -> Any:
        """Booleans, True where the condition holds: (...) -> batch part of the shape."""
        raise TypeError(f"{type(self).__name__} must define check")

    def __repr__(self) -> str:
        return type(self).__name__.strip("_")


class _Real(Constraint):
    def check(self, value: Any) -> Any:
        return value == value


class _Positive(Constraint):
    def check(self, value: Any) -> Any:
        return value > 0


class _NonNegative(Constraint):
    def check(self, value: Any) -> Any:
        return value >= 0


class _UnitInterval(Constraint):
    def check(self, value: Any) -> Any:
        return (value >= 0) & (value <= 1)


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _NonNegativeInteger(Constraint):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= 0)


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _RealVector(Constraint):
    event_dim = 1

    def check(self, value: Any) -> Any:
        return (value == value).all(-1)


class _LowerCholesky(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return (value.tril() == value).all(-1).all(-1) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _Dependent(Constraint):
    """Depends on other parameters; checked by the distribution itself."""

    def check(self, value: Any) -> Any:
        return value == value


class interval(Constraint):
    """From ``lower_bound`` to ``upper_bound``, both included."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value <= self.upper_bound)

    def __repr__(self) -> str:
        return f"Interval(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class integer_interval(interval):
    """Whole numbers from ``lower_bound`` to ``upper_bound``."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & super().check(value)


class greater_than(Constraint):
    """Above ``lower_bound``."""

    def __init__(self, lower_bound: float) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Any) -> Any:
        return value > self.lower_bound


class multinomial(Constraint):
    """Counts that add up to at most ``upper_bound``."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: int) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


real, positive, nonnegative, unit_interval = _Real(), _Positive(), _NonNegative(), _UnitInterval()
boolean, nonnegative_integer, simplex = _Boolean(), _NonNegativeInteger(), _Simplex()
real_vector, lower_cholesky, dependent = _RealVector(), _LowerCholesky(), _Dependent()


def all_hold(found: Any) -> bool:
    """Whether a check holds everywhere."""
    return bool(np.asarray(getattr(found, "_a", found)).all())
