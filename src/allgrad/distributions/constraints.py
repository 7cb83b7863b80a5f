"""Which parameters and values a distribution takes: ``torch.distributions.constraints``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.errors import ArgumentError


class Constraint:
    """A condition on each event of ``event_dim`` dimensions."""

    event_dim = 0
    is_discrete = False

    def check(self, value: Any) -> Any:
        """Booleans, True where the condition holds: (...) -> batch part of the shape."""
        raise TypeError(f"{type(self).__name__} must define check")

    def __repr__(self) -> str:
        return type(self).__name__.strip("_") + "()"


class _Dependent(Constraint):
    """Depends on other parameters; checked by the distribution itself."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool | None = None, event_dim: int | None = None) -> _Dependent:
        """The same with what is known of the kind of values."""
        return _Dependent(
            is_discrete=self.is_discrete if is_discrete is None else is_discrete,
            event_dim=self.event_dim if event_dim is None else event_dim,
        )

    def check(self, value: Any) -> Any:
        raise ArgumentError("Cannot determine validity of dependent constraint")


class dependent_property(property, _Dependent):
    """A property that gives the constraint of one distribution: ``@dependent_property(event_dim=1)``."""

    def __init__(
        self, fn: Callable[[Any], Any] | None = None, *, is_discrete: bool = False, event_dim: int = 0
    ) -> None:
        property.__init__(self, fn)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable[[Any], Any]) -> dependent_property:  # type: ignore[override]  # as a decorator
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


def is_dependent(constraint: Any) -> bool:
    """Whether the constraint depends on parameters."""
    return isinstance(constraint, _Dependent)


class _Real(Constraint):
    def check(self, value: Any) -> Any:
        return value == value  # not nan


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class greater_than(Constraint):
    """Above ``lower_bound``."""

    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound

    def check(self, value: Any) -> Any:
        return value > self.lower_bound

    def __repr__(self) -> str:
        return f"{_camel(self)}(lower_bound={self.lower_bound})"


class greater_than_eq(greater_than):
    """``lower_bound`` or above."""

    def check(self, value: Any) -> Any:
        return value >= self.lower_bound


class _IntegerGreaterThan(greater_than):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= self.lower_bound)


class less_than(Constraint):
    """Below ``upper_bound``."""

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return value < self.upper_bound

    def __repr__(self) -> str:
        return f"{_camel(self)}(upper_bound={self.upper_bound})"


class interval(Constraint):
    """From ``lower_bound`` to ``upper_bound``, both included."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value <= self.upper_bound)

    def __repr__(self) -> str:
        return f"{_camel(self)}(lower_bound={self.lower_bound}, upper_bound={self.upper_bound})"


class half_open_interval(interval):
    """From ``lower_bound`` to below ``upper_bound``."""

    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value < self.upper_bound)


class integer_interval(interval):
    """Whole numbers from ``lower_bound`` to ``upper_bound``."""

    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & super().check(value)


class multinomial(Constraint):
    """Counts that add up to at most ``upper_bound``."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class independent(Constraint):
    """``base_constraint`` on each of the last ``reinterpreted_batch_ndims`` dimensions' elements."""

    def __init__(self, base_constraint: Any, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Any) -> Any:
        held = self.base_constraint.check(value)
        if held.dim() < self.reinterpreted_batch_ndims:
            raise ArgumentError(
                f"Expected value.dim() >= {self.event_dim} but got {value.dim()}: {self.reinterpreted_batch_ndims} "
                "batch dimensions are read as event"
            )
        for _ in range(self.reinterpreted_batch_ndims):
            held = held.all(-1)
        return held

    def __repr__(self) -> str:
        return f"Independent({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """A value that each component of a mixture takes."""

    def __init__(self, base_constraint: Any) -> None:
        self.base_constraint = base_constraint
        self.is_discrete, self.event_dim = base_constraint.is_discrete, base_constraint.event_dim

    def check(self, value: Any) -> Any:
        held = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return held.all(-1) if held.dim() else held

    def __repr__(self) -> str:
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


class cat(Constraint):
    """Constraints on spans of ``lengths`` along ``dim``."""

    def __init__(self, cseq: Any, dim: int = 0, lengths: Any = None) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq)

    def check(self, value: Any) -> Any:
        starts = np.cumsum([0, *self.lengths])
        held = [
            c.check(value.narrow(self.dim, int(s), length)) for c, s, length in zip(self.cseq, starts, self.lengths)
        ]
        return _join("cat", held, self.dim)


class stack(Constraint):
    """One constraint for each index along ``dim``."""

    def __init__(self, cseq: Any, dim: int = 0) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq) + (1 if dim < 0 else 0)

    def check(self, value: Any) -> Any:
        return _join("stack", [c.check(value.select(self.dim, i)) for i, c in enumerate(self.cseq)], self.dim)


class _RealVector(Constraint):
    event_dim = 1

    def check(self, value: Any) -> Any:
        return (value == value).all(-1)


class _Square(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return (value[..., :1, 0] == value[..., :1, 0]).all(-1) & (value.shape[-2] == value.shape[-1])


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return (value.tril() == value).all(-1).all(-1)


class _LowerCholesky(_LowerTriangular):
    def check(self, value: Any) -> Any:
        return super().check(value) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(_LowerCholesky):
    def check(self, value: Any) -> Any:
        # Rows of length one, up to the rounding of their sum.
        tolerance = float(np.finfo(value._a.dtype).eps) * value.shape[-1] * 10
        return super().check(value) & ((value.pow(2).sum(-1).sqrt() - 1).abs() < tolerance).all(-1)


class _Symmetric(_Square):
    def check(self, value: Any) -> Any:
        return super().check(value) & ((value - value.mT).abs() <= 1e-6 + 1e-5 * value.abs()).all(-1).all(-1)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        return super().check(value) & _smallest(value, lambda low: low >= 0)


class _PositiveDefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        return super().check(value) & _smallest(value, lambda low: low > 0)


def _smallest(value: Any, judge: Callable[[Any], Any]) -> Any:
    return value.new_tensor(judge(np.linalg.eigvalsh(value._a).min(-1))) != 0


def _join(how: str, parts: Any, dim: int) -> Any:
    joined = np.concatenate if how == "cat" else np.stack
    return parts[0].new_tensor(joined([p._a for p in parts], dim)) != 0


def _camel(constraint: Any) -> str:
    return "".join(part.capitalize() if part.islower() else part for part in type(constraint).__name__.split("_"))


real, boolean, one_hot, simplex, dependent = _Real(), _Boolean(), _OneHot(), _Simplex(), _Dependent()
positive, nonnegative, unit_interval = greater_than(0.0), greater_than_eq(0.0), interval(0.0, 1.0)
nonnegative_integer, positive_integer = _IntegerGreaterThan(0), _IntegerGreaterThan(1)
real_vector, square, symmetric = _RealVector(), _Square(), _Symmetric()
lower_triangular, lower_cholesky, corr_cholesky = _LowerTriangular(), _LowerCholesky(), _CorrCholesky()
positive_semidefinite, positive_definite = _PositiveSemidefinite(), _PositiveDefinite()


def all_hold(found: Any) -> bool:
    """Whether a check holds everywhere."""
    return bool(np.asarray(getattr(found, "_a", found)).all())
