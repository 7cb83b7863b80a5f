"""Binomial and negative binomial counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.discrete import _FromProbsOrLogits
from allgrad.distributions.distribution import Distribution, batch_of, drawn, parameters
from allgrad.distributions.gammas import Gamma
from allgrad.errors import ArgumentError
from allgrad.functions.activation import logsigmoid
from allgrad.functions.creation_ranges import arange
from allgrad.functions.pointwise_special import lgamma
from allgrad.random import default_generator


class _Counted(_FromProbsOrLogits):
    """``total_count`` beside probabilities or log-odds, all of one shape."""

    total_count: Any

    def _take_counted(self, total_count: Any, probs: Any, logits: Any, checked: bool | None) -> None:
        if (probs is None) == (logits is None):
            raise ArgumentError("Either `probs` or `logits` must be specified, but not both.")
        given = logits if probs is None else probs
        value, self.total_count = parameters(given, total_count)
        self.total_count = self.total_count.type_as(value)
        setattr(self, "logits" if probs is None else "probs", value)
        Distribution.__init__(self, batch_of(value, given, total_count), validate_args=checked)

    @property
    def param_shape(self) -> Any:
        """Shape of the parameters."""
        return self._given().size()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        name = "probs" if "probs" in self.__dict__ else "logits"
        given = {name: getattr(self, name).expand(tuple(batch_shape))}
        return type(self)(self.total_count.expand(tuple(batch_shape)), **given, validate_args=False)


class Binomial(_Counted):
    """Successes in ``total_count`` trials."""

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._take_counted(total_count, probs, logits, validate_args)

    @property
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        probs = np.broadcast_to(self.probs._a, shape)
        counts = np.broadcast_to(self.total_count._a, shape)
        return drawn(default_generator().binomial(counts, probs))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n = self.total_count
        choices = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        # (1 + exp(logits))**-n by way of the positive part, which cannot overflow.
        positive = (self.logits + self.logits.abs()) / 2
        normalizer = n * positive + n * (-self.logits.abs()).exp().log1p()
        return value * self.logits + choices - normalizer

    def entropy(self) -> Any:
        n = int(self.total_count.max().item())
        if self.total_count.min().item() != n:
            self._absent("entropy for inhomogeneous total_count")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        n = int(self.total_count.max().item())
        if self.total_count.min().item() != n:
            self._absent("enumerate_support for inhomogeneous total_count")
        values = arange(1 + n, dtype=self._given().dtype).view(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class NegativeBinomial(_Counted):
    """Successes of probability ``probs`` before ``total_count`` failures."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._take_counted(total_count, probs, logits, validate_args)

    @property
    def support(self) -> Any:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Any:
        rate = Gamma(self.total_count, (-self.logits).exp(), validate_args=False).sample(sample_shape)
        return drawn(np.asarray(default_generator().poisson(rate._a)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n = self.total_count
        unnormalized = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        normalization = -lgamma(n + value) + lgamma(1.0 + value) + lgamma(n)
        return unnormalized - normalization.masked_fill(n + value == 0, 0.0)
