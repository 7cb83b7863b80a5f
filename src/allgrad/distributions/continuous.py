"""Distributions on the real line: normal, uniform, exponential, Laplace, Cauchy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.distribution import _HALF_LOG_2PI, Distribution, batch_of, drawn, parameters
from allgrad.distributions.exp_family import ExponentialFamily
from allgrad.errors import ArgumentError
from allgrad.functions.pointwise_special import erf, erfinv
from allgrad.random import default_generator


class Elementwise(Distribution):
    """Scalar events with parameters named ``names``, all of one shape."""

    names: tuple[str, ...] = ()

    def _take(self, checked: bool | None, **given: Any) -> None:
        values = parameters(*given.values())
        for name, value in zip(given, values):
            setattr(self, name, value)
        super().__init__(batch_of(values[0], *given.values()), validate_args=checked)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        values: list[Any] = [getattr(self, n).expand(batch_shape) for n in self.names]
        return type(self)(*values, validate_args=False)  # type: ignore[misc]  # as many as the subclass takes

    def _noise(self, sample_shape: Any, like: Any, draw: str) -> Any:
        """Standard numbers of the extended shape."""
        shape = tuple(self._extended_shape(sample_shape))
        return drawn(getattr(default_generator(), draw)(shape, like._a.dtype))


class Normal(Elementwise, ExponentialFamily):
    """Mean ``loc``, standard deviation ``scale``."""

    names: tuple[str, ...] = ("loc", "scale")
    loc: Any
    scale: Any
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, loc=loc, scale=scale)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def stddev(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        return self.scale.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.loc + self._noise(sample_shape, self.loc, "normal") * self.scale

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return -((value - self.loc) ** 2) / (2 * self.scale**2) - self.scale.log() - _HALF_LOG_2PI

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return 0.5 * (1 + erf((value - self.loc) / (self.scale * math.sqrt(2))))

    def icdf(self, value: Any) -> Any:
        return self.loc + self.scale * erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Any:
        return 0.5 + _HALF_LOG_2PI + self.scale.log()

    @property
    def _natural_params(self) -> Any:
        return self.loc / self.scale.pow(2), -0.5 * self.scale.pow(2).reciprocal()

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        return -0.25 * x.pow(2) / y + 0.5 * (-math.pi / y).log()


class Uniform(Elementwise):
    """Between ``low`` and ``high``."""

    names: tuple[str, ...] = ("low", "high")
    low: Any
    high: Any
    arg_constraints = {"low": constraints.dependent, "high": constraints.dependent}
    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, low=low, high=high)
        if self._checked and not bool((self.low < self.high).all()):
            raise ArgumentError("Uniform is not defined when low>= high")

    @property
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    @property
    def mode(self) -> Any:
        return self.high * float("nan")

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Any:
        return (self.high - self.low).pow(2) / 12

    @property
    def stddev(self) -> Any:
        return (self.high - self.low) / 12**0.5

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.low + self._noise(sample_shape, self.low, "uniform") * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        inside = ((self.low <= value) & (self.high > value)).type_as(self.low)
        return inside.log() - (self.high - self.low).log()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value: Any) -> Any:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Any:
        return (self.high - self.low).log()


class Exponential(Elementwise, ExponentialFamily):
    """Waiting time at ``rate``."""

    names: tuple[str, ...] = ("rate",)
    rate: Any
    arg_constraints = {"rate": constraints.positive}
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, rate=rate)

    @property
    def support(self) -> Any:
        return constraints.nonnegative

    @property
    def mean(self) -> Any:
        return self.rate.reciprocal()

    stddev = mean

    @property
    def mode(self) -> Any:
        return self.rate.detach() * 0

    @property
    def variance(self) -> Any:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._noise(sample_shape, self.rate, "exponential") / self.rate

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Any) -> Any:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Any:
        return 1.0 - self.rate.log()

    @property
    def _natural_params(self) -> Any:
        return (-self.rate,)

    def _log_normalizer(self, x: Any) -> Any:
        return -(-x).log()


class Laplace(Elementwise):
    """Two exponentials back to back: centre ``loc``, mean distance ``scale``."""

    names: tuple[str, ...] = ("loc", "scale")
    loc: Any
    scale: Any
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, loc=loc, scale=scale)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Any:
        return 2**0.5 * self.scale

    def rsample(self, sample_shape: Any = ()) -> Any:
        # (-1, 1) without the ends, where the logarithm is infinite.
        u = self._noise(sample_shape, self.loc, "uniform") * 2 - 1
        u = u.clamp(min=float(np.finfo(u._a.dtype).eps) - 1)
        return self.loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        z = value - self.loc
        return 0.5 - 0.5 * z.sign() * (-z.abs() / self.scale).expm1()

    def icdf(self, value: Any) -> Any:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def entropy(self) -> Any:
        return 1 + (2 * self.scale).log()


class Cauchy(Elementwise):
    """Centre ``loc``, half width at half height ``scale``; it has no mean."""

    names: tuple[str, ...] = ("loc", "scale")
    loc: Any
    scale: Any
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, loc=loc, scale=scale)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def mean(self) -> Any:
        return self.loc * math.nan

    @property
    def variance(self) -> Any:
        return self.loc * 0 + math.inf

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.loc + self._noise(sample_shape, self.loc, "cauchy") * self.scale

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def cdf(self, value: Any) -> Any:
        return ((value - self.loc) / self.scale).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Any:
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc

    def entropy(self) -> Any:
        return math.log(4 * math.pi) + self.scale.log()
