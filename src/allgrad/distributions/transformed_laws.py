"""Laws that are simple ones seen through transforms: log-normal, Gumbel, Pareto, Weibull and their like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.continuous import Cauchy, Exponential, Normal, Uniform
from allgrad.distributions.distribution import batch_of, parameters
from allgrad.distributions.gammas import Gamma
from allgrad.distributions.transformed import TransformedDistribution
from allgrad.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ExpTransform,
    PowerTransform,
    StickBreakingTransform,
)
from allgrad.functions.creation import full_like, ones_like, zeros_like
from allgrad.functions.pointwise_special import digamma, lgamma

EULER = 0.5772156649015328606


class _Named(TransformedDistribution):
    """Parameters named ``names``, all of one shape, from which ``_parts`` makes the base and the transforms."""

    names: tuple[str, ...] = ()

    def _take(self, checked: bool | None, **given: Any) -> None:
        values = parameters(*given.values())
        for name, value in zip(given, values):
            setattr(self, name, value)
        base, transforms = self._parts(batch_of(values[0], *given.values()))
        super().__init__(base, transforms, validate_args=checked)

    def _parts(self, batch: Any) -> tuple[Any, list[Any]]:
        raise TypeError(f"{type(self).__name__} must define _parts")

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        values: list[Any] = [getattr(self, n).expand(tuple(batch_shape)) for n in self.names]
        return type(self)(*values, validate_args=False)  # type: ignore[misc]  # as many as the subclass takes


class LogNormal(_Named):
    """exp of a normal number."""

    names = ("loc", "scale")
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    loc: Any
    scale: Any

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, loc=loc, scale=scale)

    def _parts(self, batch: Any) -> tuple[Any, list[Any]]:
        return Normal(self.loc, self.scale, validate_args=False), [ExpTransform()]

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Any:
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Any:
        s = self.scale.pow(2)
        return s.expm1() * (2 * self.loc + s).exp()

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc


class HalfNormal(_Named):
    """|x| of a normal number around 0."""

    names = ("scale",)
    arg_constraints = {"scale": constraints.positive}
    scale: Any

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, scale=scale)

    def _parts(self, batch: Any) -> tuple[Any, list[Any]]:
        return Normal(zeros_like(self.scale), self.scale, validate_args=False), [AbsTransform()]

    @property
    def support(self) -> Any:
        return constraints.nonnegative

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Any:
        return zeros_like(self.scale)

    @property
    def variance(self) -> Any:
        return self.scale.pow(2) * (1 - 2 / math.pi)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return (self.base_dist.log_prob(value) + math.log(2)).masked_fill(value < 0, -math.inf)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Any) -> Any:
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Any:
        return self.base_dist.entropy() - math.log(2)


class HalfCauchy(HalfNormal):
    """|x| of a Cauchy number around 0; its mean is infinite."""

    def _parts(self, batch: Any) -> tuple[Any, list[Any]]:
        return Cauchy(zeros_like(self.scale), self.scale, validate_args=False), [AbsTransform()]

    @property
    def mean(self) -> Any:
        return full_like(self.scale, math.inf)

    @property
    def variance(self) -> Any:
        return full_like(self.scale, math.inf)


class Gumbel(_Named):
    """The largest of many."""

    names = ("loc", "scale")
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    loc: Any
    scale: Any

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, loc=loc, scale=scale)

    def _parts(self, batch: Any) -> tuple[Any, list[Any]]:
        limits = np.finfo(self.loc._a.dtype)
        low, high = full_like(self.loc, float(limits.tiny)), full_like(self.loc, float(1 - limits.eps))
        logarithm = ExpTransform().inv
        turned = AffineTransform(0, -ones_like(self.scale))
        return Uniform(low, high, validate_args=False), [
            logarithm,
            turned,
            logarithm,
            AffineTransform(self.loc, -self.scale),
        ]

    @property
    def support(self) -> Any:
        return constraints.real

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        z = (self.loc - value) / self.scale
        return (z - z.exp()) - self.scale.log()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Any) -> Any:
        return self.loc - self.scale * (-value.log()).log()

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * EULER

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def stddev(self) -> Any:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Any:
        return self.stddev.pow(2)

    def entropy(self) -> Any:
        return self.scale.log() + (1 + EULER)


class Pareto(_Named):
    """Above ``scale``, with a tail of power ``alpha``."""

    names = ("scale", "alpha")
    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}
    alpha: Any
    scale: Any

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, scale=scale, alpha=alpha)

    def _parts(self, batch: Any) -> tuple[Any, list[Any]]:
        base = Exponential(self.alpha, validate_args=False)
        return base, [ExpTransform(), AffineTransform(0, self.scale)]

    @property
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Weibull(_Named):
    """Life times whose rate of failure goes as the power ``concentration - 1`` of age."""

    names = ("scale", "concentration")
    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    scale: Any
    concentration: Any

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, scale=scale, concentration=concentration)

    def _parts(self, batch: Any) -> tuple[Any, list[Any]]:
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(ones_like(self.scale), validate_args=False)
        return base, [PowerTransform(self.concentration_reciprocal), AffineTransform(0, self.scale)]

    @property
    def support(self) -> Any:
        return constraints.positive

    @property
    def mean(self) -> Any:
        return self.scale * lgamma(1 + self.concentration_reciprocal).exp()

    @property
    def mode(self) -> Any:
        k = self.concentration
        return self.scale * ((k - 1) / k).clamp(min=0) ** k.reciprocal()

    @property
    def variance(self) -> Any:
        r = self.concentration_reciprocal
        return self.scale.pow(2) * (lgamma(1 + 2 * r).exp() - (2 * lgamma(1 + r)).exp())

    def entropy(self) -> Any:
        r = self.concentration_reciprocal
        return EULER * (1 - r) + (self.scale * r).log() + 1


class Kumaraswamy(_Named):
    """On (0, 1), like a beta distribution with a closed distribution function."""

    names = ("concentration1", "concentration0")
    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    concentration1: Any
    concentration0: Any

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, concentration1=concentration1, concentration0=concentration0)

    def _parts(self, batch: Any) -> tuple[Any, list[Any]]:
        a, b = self.concentration1, self.concentration0
        base = Uniform(zeros_like(b), ones_like(b), validate_args=False)
        return base, [PowerTransform(b.reciprocal()), AffineTransform(1, -1), PowerTransform(a.reciprocal())]

    @property
    def support(self) -> Any:
        return constraints.unit_interval

    def _moment(self, n: int) -> Any:
        a, b = self.concentration1, self.concentration0
        c = 1 + n / a
        return (b.log() + lgamma(c) + lgamma(b) - lgamma(c + b)).exp()

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        # The density has an inner maximum only where both are at least one; 0 / 0 says nan where both are one.
        inner = ((a - 1) / (a * b - 1)).pow(a.reciprocal())
        return inner.masked_fill((a < 1) | (b < 1), math.nan)

    @property
    def variance(self) -> Any:
        return self._moment(2) - self._moment(1).pow(2)

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        harmonic = digamma(b + 1) + EULER
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


class InverseGamma(_Named):
    """One over a gamma number."""

    names = ("concentration", "rate")
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, concentration=concentration, rate=rate)

    def _take(self, checked: bool | None, **given: Any) -> None:
        a, b = parameters(*given.values())
        base = Gamma(a, b, validate_args=checked)  # checks the parameters, which have the same names
        TransformedDistribution.__init__(self, base, [PowerTransform(-ones_like(b))], validate_args=checked)

    @property
    def concentration(self) -> Any:
        """Shape."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Any:
        """One over the scale of the gamma number."""
        return self.base_dist.rate

    @property
    def mean(self) -> Any:
        found = self.rate / (self.concentration - 1)
        return found.masked_fill(self.concentration <= 1, math.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        a = self.concentration
        return (self.rate.square() / ((a - 1).square() * (a - 2))).masked_fill(a <= 2, math.inf)

    def entropy(self) -> Any:
        a = self.concentration
        return a + self.rate.log() + lgamma(a) - (1 + a) * digamma(a)


class LogisticNormal(TransformedDistribution):
    """Points of the simplex by stick breaking from normal numbers: k parameters, k + 1 coordinates."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Any:
        """Means of the normal numbers."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Any:
        """Standard deviations of the normal numbers."""
        return self.base_dist.base_dist.scale
