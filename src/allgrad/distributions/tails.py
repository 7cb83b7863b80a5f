"""Student, Fisher and generalized Pareto; the continuous Bernoulli; the circle's von Mises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.distributions import constraints
from allgrad.distributions.continuous import Elementwise
from allgrad.distributions.discrete import _FromProbsOrLogits, softplus
from allgrad.distributions.distribution import drawn
from allgrad.distributions.exp_family import ExponentialFamily
from allgrad.distributions.gammas import Chi2, Gamma
from allgrad.functions.bessel import i1_over_i0, log_i0
from allgrad.functions.compare_choice import where
from allgrad.functions.pointwise_special import digamma, lgamma
from allgrad.random import default_generator


class StudentT(Elementwise):
    """A normal number over the root of an independent chi-square one by its ``df``."""

    names = ("df", "loc", "scale")
    df: Any
    loc: Any
    scale: Any
    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self._take(validate_args, df=df, loc=loc, scale=scale)

    @property
    def mean(self) -> Any:
        return self.loc.masked_fill(self.df <= 1, math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        wide = self.df > 2
        df = where(wide, self.df, 3.0)
        found = where(wide, self.scale.pow(2) * df / (df - 2), math.inf)
        return found.masked_fill(self.df <= 1, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        normal = self._noise(sample_shape, self.df, "normal")
        chi = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * (normal * (chi / self.df).rsqrt())

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        y, half = (value - self.loc) / self.scale, 0.5 * self.df
        z = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + lgamma(half) - lgamma(half + 0.5)
        return -(half + 0.5) * (y.pow(2) / self.df).log1p() - z

    def entropy(self) -> Any:
        half = 0.5 * self.df
        beta = lgamma(half) + math.lgamma(0.5) - lgamma(half + 0.5)
        return self.scale.log() + (half + 0.5) * (digamma(half + 0.5) - digamma(half)) + 0.5 * self.df.log() + beta


class FisherSnedecor(Elementwise):
    """The ratio of two chi-square numbers, each by its degrees of freedom."""

    names = ("df1", "df2")
    df1: Any
    df2: Any
    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, df1=df1, df2=df2)

    @property
    def support(self) -> Any:
        return constraints.positive

    @property
    def mean(self) -> Any:
        df2 = self.df2.masked_fill(self.df2 <= 2, math.nan)
        return df2 / (df2 - 2)

    @property
    def mode(self) -> Any:
        found = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return found.masked_fill(self.df1 <= 2, math.nan)

    @property
    def variance(self) -> Any:
        df2 = self.df2.masked_fill(self.df2 <= 4, math.nan)
        return 2 * df2.pow(2) * (self.df1 + df2 - 2) / (self.df1 * (df2 - 2).pow(2) * (df2 - 4))

    def rsample(self, sample_shape: Any = ()) -> Any:
        first = Gamma(self.df1 * 0.5, self.df1, validate_args=False).rsample(sample_shape)
        second = Gamma(self.df2 * 0.5, self.df2, validate_args=False).rsample(sample_shape)
        tiny = float(np.finfo(first._a.dtype).tiny)
        return (first / second.clamp(min=tiny)).clamp(min=tiny)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        constant = lgamma(a + b) - lgamma(a) - lgamma(b)
        return constant + a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()


class GeneralizedPareto(Elementwise):
    """What is left above a high threshold ``loc``; ``concentration`` 0 is exponential."""

    names = ("loc", "scale", "concentration")
    loc: Any
    scale: Any
    concentration: Any
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, loc=loc, scale=scale, concentration=concentration)

    def _flat(self) -> tuple[Any, Any]:
        """Where the concentration is zero, and the concentration with ones there."""
        flat = self.concentration.abs() < float(np.finfo(self.concentration._a.dtype).eps) ** 0.5
        return flat, where(flat, 1.0, self.concentration)

    @property
    def support(self) -> Any:
        upper = where(self.concentration < 0, self.loc - self.scale / self._flat()[1], math.inf)
        return constraints.interval(self.loc, upper)

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale / (1 - self.concentration)).masked_fill(self.concentration >= 1, math.inf)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        c = self.concentration
        return (self.scale.pow(2) / ((1 - c).pow(2) * (1 - 2 * c))).masked_fill(c >= 0.5, math.inf)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(self._noise(sample_shape, self.loc, "uniform"))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        flat, c = self._flat()
        y = (value - self.loc) / self.scale
        return where(flat, -y, -(1 / c + 1) * where(flat, 0.0, c * y).log1p()) - self.scale.log()

    def log_survival_function(self, value: Any) -> Any:
        """``log(1 - cdf(value))``."""
        self._validate_sample(value)
        flat, c = self._flat()
        y = (value - self.loc) / self.scale
        return where(flat, -y, -where(flat, 0.0, c * y).log1p() / c)

    def log_cdf(self, value: Any) -> Any:
        """``log(cdf(value))``."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Any) -> Any:
        return -self.log_survival_function(value).expm1()

    def icdf(self, value: Any) -> Any:
        flat, c = self._flat()
        rest = (-value).log1p()
        return self.loc + self.scale * where(flat, -rest, (-c * rest).expm1() / c)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1


class ContinuousBernoulli(_FromProbsOrLogits, ExponentialFamily):
    """Density proportional to ``p**x (1 - p)**(1 - x)`` on [0, 1] (Loaiza-Ganem and Cunningham 2019)."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._lims = lims
        self._take(probs, logits, validate_args)
        if "probs" in self.__dict__:
            eps = float(np.finfo(self.probs._a.dtype).eps)
            self.probs = self.probs.clamp(min=eps, max=1 - eps)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        name = "probs" if "probs" in self.__dict__ else "logits"
        given = {name: getattr(self, name).expand(tuple(batch_shape))}
        return ContinuousBernoulli(**given, lims=self._lims, validate_args=False)

    @property
    def support(self) -> Any:
        return constraints.unit_interval

    def _split(self) -> tuple[Any, Any]:
        """Where probabilities are far enough from one half for the closed form, and ``lims[0]`` elsewhere."""
        far = (self.probs <= self._lims[0]) | (self.probs > self._lims[1])
        return far, where(far, self.probs, self._lims[0])

    def _log_norm(self) -> Any:
        far, p = self._split()
        exact = ((-p).log1p() - p.log()).abs().log() - where(
            p <= 0.5, (-2 * p.clamp(max=0.5)).log1p(), (2 * p.clamp(min=0.5) - 1).log()
        )
        x = (self.probs - 0.5).pow(2)
        return where(far, exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Any:
        far, p = self._split()
        x = self.probs - 0.5
        exact = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        return where(far, exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x)

    @property
    def variance(self) -> Any:
        far, p = self._split()
        x = (self.probs - 0.5).pow(2)
        exact = p * (p - 1) / (1 - 2 * p).pow(2) + 1 / ((-p).log1p() - p.log()).pow(2)
        return where(far, exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        return self.icdf(drawn(default_generator().uniform(shape, self.probs._a.dtype)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return value * self.logits - softplus(self.logits) + self._log_norm()

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        far, p = self._split()
        share = (p.pow(value) * (1 - p).pow(1 - value) + p - 1) / (2 * p - 1)
        found = where(far, share, value)
        return where(value <= 0, 0.0, where(value >= 1, 1.0, found))

    def icdf(self, value: Any) -> Any:
        far, p = self._split()
        exact = ((-p + value * (2 * p - 1)).log1p() - (-p).log1p()) / (p.log() - (-p).log1p())
        return where(far, exact, value)

    def entropy(self) -> Any:
        return self.mean * ((-self.probs).log1p() - self.probs.log()) - self._log_norm() - (-self.probs).log1p()


class VonMises(Elementwise):
    """Angles around ``loc``, the narrower the larger ``concentration``."""

    names = ("loc", "concentration")
    loc: Any
    concentration: Any
    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, loc=loc, concentration=concentration)

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @property
    def variance(self) -> Any:
        """The circular variance."""
        return 1 - i1_over_i0(self.concentration)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k = self.concentration
        return k * (value - self.loc).cos() - math.log(2 * math.pi) - log_i0(k)

    def sample(self, sample_shape: Any = ()) -> Any:
        """D. J. Best, N. I. Fisher, "Efficient simulation of the von Mises distribution" (1979), all at once."""
        shape = tuple(self._extended_shape(sample_shape))
        loc, k = self.loc._a.astype(np.float64), self.concentration._a.astype(np.float64)
        tau = 1 + np.sqrt(1 + 4 * k * k)
        rho = (tau - np.sqrt(2 * tau)) / (2 * k)
        # Below 1e-5 the exact formula cancels; this is its expansion.
        r = np.where(k < 1e-5, 1 / np.where(k == 0, 1.0, k) + k, (1 + rho * rho) / (2 * rho))
        found, done = np.empty(shape), np.zeros(shape, bool)
        while not done.all():
            u1, u2, u3 = default_generator().uniform((3, *shape), np.float64)
            z = np.cos(math.pi * u1)
            f = (1 + r * z) / (r + z)
            c = k * (r - f)
            with np.errstate(divide="ignore"):
                accepted = (c * (2 - c) - u2 > 0) | (np.log(c / u2) + 1 - c >= 0)
            found = np.where(accepted, np.sign(u3 - 0.5) * np.arccos(np.clip(f, -1, 1)), found)
            done |= accepted
        return drawn(((found + math.pi + loc) % (2 * math.pi) - math.pi).astype(self.loc._a.dtype))
