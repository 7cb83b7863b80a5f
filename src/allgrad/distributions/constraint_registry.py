"""From a constraint to a transform of the real line onto it: ``biject_to`` and ``transform_to``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allgrad.distributions import constraints
from allgrad.distributions import transforms as t
from allgrad.distributions.constraints import Constraint
from allgrad.errors import DtypeError, UnsupportedError


class ConstraintRegistry:
    """Transforms by type of constraint."""

    def __init__(self) -> None:
        self._registry: dict[type, Callable[[Any], Any]] = {}

    def register(self, constraint: Any, factory: Callable[[Any], Any] | None = None) -> Any:
        """Enter ``factory(constraint) -> transform`` for a type of constraint; also a decorator."""
        if factory is None:
            return lambda found: self.register(constraint, found)
        kind = type(constraint) if isinstance(constraint, Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, Constraint):
            raise DtypeError(f"Expected constraint to be either a Constraint subclass or instance, but got {kind}")
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Any:
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise UnsupportedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()


def _to_interval(c: Any) -> Any:
    if isinstance(c.lower_bound, (int, float)) and (c.lower_bound, c.upper_bound) == (0, 1):
        return t.SigmoidTransform()
    return t.ComposeTransform([t.SigmoidTransform(), t.AffineTransform(c.lower_bound, c.upper_bound - c.lower_bound)])


def _above(c: Any) -> Any:
    return t.ComposeTransform([t.ExpTransform(), t.AffineTransform(c.lower_bound, 1)])


def _below(c: Any) -> Any:
    return t.ComposeTransform([t.ExpTransform(), t.AffineTransform(c.upper_bound, -1)])


def _inner(registry: ConstraintRegistry) -> dict[Any, Callable[[Any], Any]]:
    """Rules that need the registry itself for their parts."""
    return {
        constraints.independent: lambda c: t.IndependentTransform(
            registry(c.base_constraint), c.reinterpreted_batch_ndims
        ),
        constraints.cat: lambda c: t.CatTransform([registry(p) for p in c.cseq], c.dim, c.lengths),
        constraints.stack: lambda c: t.StackTransform([registry(p) for p in c.cseq], c.dim),
    }


_BOTH: dict[Any, Callable[[Any], Any]] = {
    constraints.real: lambda c: t.identity_transform,
    constraints.greater_than: _above,
    constraints.greater_than_eq: _above,
    constraints.less_than: _below,
    constraints.interval: _to_interval,
    constraints.half_open_interval: _to_interval,
    constraints.corr_cholesky: lambda c: t.CorrCholeskyTransform(),
}
for _registry in (biject_to, transform_to):
    for _kind, _factory in {**_BOTH, **_inner(_registry)}.items():
        _registry.register(_kind, _factory)
biject_to.register(constraints.simplex, lambda c: t.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: t.SoftmaxTransform())
for _registry in (biject_to, transform_to):
    _registry.register(constraints.lower_cholesky, lambda c: t.LowerCholeskyTransform())
    _registry.register(constraints.positive_definite, lambda c: t.PositiveDefiniteTransform())
    _registry.register(constraints.positive_semidefinite, lambda c: t.PositiveDefiniteTransform())
