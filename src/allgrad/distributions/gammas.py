"""Gamma numbers and what is made of them: chi-square, beta."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.context import ctx
from allgrad.distributions import constraints
from allgrad.distributions.continuous import Elementwise
from allgrad.distributions.distribution import drawn, parameters
from allgrad.distributions.exp_family import ExponentialFamily
from allgrad.functions.bessel import igamma
from allgrad.functions.joining import stack
from allgrad.functions.pointwise_special import digamma, lgamma
from allgrad.ops.gamma_sample import gamma_slope
from allgrad.random import default_generator


class Gamma(Elementwise, ExponentialFamily):
    """Shape ``concentration``, ``rate`` one over scale."""

    names: tuple[str, ...] = ("concentration", "rate")
    concentration: Any
    rate: Any
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, concentration=concentration, rate=rate)

    @property
    def support(self) -> Any:
        return constraints.nonnegative

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        return standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b = self.concentration, self.rate
        return a.xlogy(b) + (a - 1).xlogy(value) - b * value - lgamma(a)

    def entropy(self) -> Any:
        a = self.concentration
        return a - self.rate.log() + lgamma(a) + (1.0 - a) * digamma(a)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return igamma(self.concentration, self.rate * value)

    @property
    def _natural_params(self) -> Any:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        return lgamma(x + 1) + (x + 1) * (-y.reciprocal()).log()


def standard_gamma(alpha: Any) -> Any:
    """Gamma numbers of rate one through which gradients flow to ``alpha``."""
    draw = drawn(default_generator().gamma(alpha._a, alpha._a.dtype))
    if not (alpha.requires_grad and ctx.grad_enabled):
        return draw
    # The draw itself, with the slope that it has as a quantile: its value does not change.
    fixed = alpha.detach()
    return draw + (alpha - fixed) * apply(gamma_slope, (fixed, draw), {})


class Chi2(Gamma):
    """Sum of ``df`` squared normal numbers."""

    names: tuple[str, ...] = ("df",)
    df: Any
    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (self.df,) = parameters(df)
        Gamma.__init__(self, 0.5 * self.df, 0.5 * self.df**0, validate_args=validate_args)


class Beta(Elementwise, ExponentialFamily):
    """On (0, 1), with ``concentration1`` for large and ``concentration0`` for small values."""

    names: tuple[str, ...] = ("concentration1", "concentration0")
    concentration1: Any
    concentration0: Any
    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self._take(validate_args, concentration1=concentration1, concentration0=concentration0)

    @property
    def support(self) -> Any:
        return constraints.unit_interval

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        return ((a - 1) / (a + b - 2)).masked_fill((a <= 1) | (b <= 1), float("nan"))

    @property
    def variance(self) -> Any:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = tuple(self._extended_shape(sample_shape))
        # Both numbers are drawn side by side, element by element: PyTorch's order, so its numbers.
        pair = stack([self.concentration1.expand(shape), self.concentration0.expand(shape)], -1)
        x = standard_gamma(pair)
        return x[..., 0] / x.sum(-1)

    def _log_norm(self) -> Any:
        a, b = self.concentration1, self.concentration0
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        return (a - 1).xlogy(value) + (b - 1).xlogy(1 - value) - self._log_norm()

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        return self._log_norm() - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)

    @property
    def _natural_params(self) -> Any:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Any, y: Any) -> Any:
        return lgamma(x) + lgamma(y) - lgamma(x + y)
