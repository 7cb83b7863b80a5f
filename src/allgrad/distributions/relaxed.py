"""Relaxed choices, through which gradients flow, and the straight-through choice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.discrete import Categorical, _FromProbsOrLogits
from allgrad.distributions.discrete_vectors import OneHotCategorical
from allgrad.distributions.distribution import Distribution, drawn, parameters
from allgrad.distributions.transformed import TransformedDistribution
from allgrad.distributions.transforms import ExpTransform, SigmoidTransform
from allgrad.functions.activation import softplus
from allgrad.functions.creation import full_like
from allgrad.functions.pointwise_special import lgamma
from allgrad.random import default_generator


def clamp_probs(probs: Any) -> Any:
    """Kept away from 0 and 1 by one rounding."""
    eps = float(np.finfo(probs._a.dtype).eps)
    return probs.clamp(min=eps, max=1 - eps)


def _uniform(shape: Any, like: Any) -> Any:
    return clamp_probs(drawn(default_generator().uniform(tuple(shape), like._a.dtype)))


class LogitRelaxedBernoulli(_FromProbsOrLogits):
    """The log-odds of a relaxed Bernoulli number (Maddison et al. 2017)."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self.temperature = temperature
        self._take(probs, logits, validate_args)

    @property
    def param_shape(self) -> Any:
        """Shape of the parameters."""
        return self._given().size()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        name = "probs" if "probs" in self.__dict__ else "logits"
        given = {name: getattr(self, name).expand(tuple(batch_shape))}
        return type(self)(self.temperature, **given, validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        probs = clamp_probs(self.probs.expand(shape))
        u = _uniform(shape, probs)
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        difference = self.logits - value * self.temperature
        return _log(self.temperature) + difference - 2 * softplus(difference)


def _log(temperature: Any) -> Any:
    return temperature.log() if hasattr(temperature, "log") else math.log(temperature)


class _Relaxed(TransformedDistribution):
    """A base with a temperature, seen through one transform."""

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        base = self.base_dist.expand(batch_shape)
        new: Any = object.__new__(type(self))
        TransformedDistribution.__init__(new, base, self.transforms, validate_args=False)
        return new

    @property
    def temperature(self) -> Any:
        """The lower, the nearer to a choice."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Any:
        """Log-odds or log-probabilities."""
        return self.base_dist.logits

    @property
    def probs(self) -> Any:
        """Probabilities."""
        return self.base_dist.probs


class RelaxedBernoulli(_Relaxed):
    """Numbers on (0, 1), near its ends for a low temperature."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)


class ExpRelaxedCategorical(Distribution):
    """The logarithm of a relaxed one-hot choice (Maddison et al. 2017; Jang et al. 2017)."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        self.temperature = temperature
        super().__init__(self._categorical.batch_shape, (self._categorical._count,), validate_args=validate_args)

    @property
    def param_shape(self) -> Any:
        """Shape of the parameters."""
        return self._categorical.param_shape

    @property
    def logits(self) -> Any:
        """Log-probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Any:
        """Probabilities."""
        return self._categorical.probs

    @property
    def support(self) -> Any:
        return constraints.real_vector

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new: Any = object.__new__(type(self))
        new.temperature, new._categorical = self.temperature, self._categorical.expand(batch_shape)
        Distribution.__init__(new, tuple(batch_shape), tuple(self.event_shape), validate_args=False)
        return new

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        u = _uniform(shape, self.logits)
        scores = (self.logits.expand(shape) - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def log_prob(self, value: Any) -> Any:
        k = self._categorical._count
        self._validate_sample(value)
        (temperature,) = parameters(self.temperature)
        scale = lgamma(full_like(temperature, float(k))) + (k - 1) * temperature.log()
        score = self.logits - value * temperature
        return (score - score.logsumexp(-1, keepdim=True)).sum(-1) + scale


class RelaxedOneHotCategorical(_Relaxed):
    """Points of the simplex, near its corners for a low temperature."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.simplex


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """A one-hot choice whose gradient is that of its probabilities (Bengio et al. 2013)."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Any:
        choice = self.sample(sample_shape)
        return choice + (self.probs - self.probs.detach())
