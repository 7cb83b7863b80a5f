"""Distributions of rows: one-hot choices, multinomial counts, Dirichlet's points of the simplex."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.discrete import Categorical
from allgrad.distributions.distribution import Distribution, drawn
from allgrad.distributions.exp_family import ExponentialFamily
from allgrad.distributions.gammas import standard_gamma
from allgrad.errors import ArgumentError
from allgrad.functions.compare_choice import where
from allgrad.functions.pointwise_special import digamma, lgamma


def _of(categorical: Any) -> dict[str, Any]:
    """The parameter that a categorical distribution was made from."""
    name = "probs" if "probs" in categorical.__dict__ else "logits"
    return {name: getattr(categorical, name)}


class OneHotCategorical(Distribution):
    """A categorical draw as a row with a single one."""

    arg_constraints = {"probs": constraints.dependent, "logits": constraints.dependent}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(self._categorical.batch_shape, (self._categorical._count,), validate_args=validate_args)

    @property
    def probs(self) -> Any:
        """Probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        """Log-probabilities."""
        return self._categorical.logits

    @property
    def support(self) -> Any:
        return constraints.one_hot

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    @property
    def mode(self) -> Any:
        best = self.probs._a.argmax(-1)
        return drawn(np.eye(self._categorical._count, dtype=self.probs._a.dtype)[best])

    @property
    def param_shape(self) -> Any:
        """Shape of the parameters."""
        return self._categorical.param_shape

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return type(self)(**_of(self._categorical.expand(batch_shape)), validate_args=False)

    def enumerate_support(self, expand: bool = True) -> Any:
        k, batch = self._categorical._count, len(self._batch_shape)
        values = drawn(np.eye(k, dtype=self.probs._a.dtype)).view(k, *[1] * batch, k)
        return values.expand(k, *self._batch_shape, k) if expand else values

    def sample(self, sample_shape: Any = ()) -> Any:
        index = self._categorical.sample(sample_shape)._a
        return drawn(np.eye(self._categorical._count, dtype=self.probs._a.dtype)[index])

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Any:
        return self._categorical.entropy()


class Multinomial(Distribution):
    """Counts of classes in ``total_count`` categorical draws."""

    arg_constraints = {"probs": constraints.dependent, "logits": constraints.dependent}

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        if not isinstance(total_count, int):
            raise ArgumentError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
        super().__init__(self._categorical.batch_shape, (self._categorical._count,), validate_args=validate_args)

    @property
    def probs(self) -> Any:
        """Probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        """Log-probabilities."""
        return self._categorical.logits

    @property
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return Multinomial(self.total_count, **_of(self._categorical.expand(batch_shape)), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Any:
        classes = self._categorical.sample((self.total_count, *sample_shape))._a
        one_hot = np.eye(self._categorical._count, dtype=self.probs._a.dtype)
        return drawn(one_hot[classes].sum(0))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1) + value.xlogy(self.probs).sum(-1)


class Dirichlet(ExponentialFamily):
    """Points of the simplex: (..., k)."""

    arg_constraints = {"concentration": constraints.positive}
    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ArgumentError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(tuple(concentration.shape[:-1]), tuple(concentration.shape[-1:]), validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.simplex

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    @property
    def mode(self) -> Any:
        a = (self.concentration - 1).clamp(min=0.0)
        inner = a / a.sum(-1, keepdim=True)
        # Without any entry above one the corner of the largest is the most likely.
        corner = drawn(np.eye(a.shape[-1], dtype=a._a.dtype)[self.concentration._a.argmax(-1)])
        return where((self.concentration < 1).all(-1, keepdim=True), corner, inner)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return Dirichlet(self.concentration.expand(*batch_shape, -1), validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Any:
        x = standard_gamma(self.concentration.expand(tuple(self._extended_shape(sample_shape))))
        return x / x.sum(-1, keepdim=True)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a = self.concentration
        return (a - 1.0).xlogy(value).sum(-1) + lgamma(a.sum(-1)) - lgamma(a).sum(-1)

    def entropy(self) -> Any:
        a = self.concentration
        k, total = a.shape[-1], a.sum(-1)
        return lgamma(a).sum(-1) - lgamma(total) - (k - total) * digamma(total) - ((a - 1.0) * digamma(a)).sum(-1)
