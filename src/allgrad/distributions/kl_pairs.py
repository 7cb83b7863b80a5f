"""Divergences between laws of different kinds, and of the laws that are seen through transforms."""

from __future__ import annotations

import math
from typing import Any

from allgrad.distributions.continuous import Cauchy, Exponential, Laplace, Normal, Uniform
from allgrad.distributions.counts import Binomial
from allgrad.distributions.discrete import Bernoulli, Poisson
from allgrad.distributions.distribution import Distribution
from allgrad.distributions.gammas import Beta, Gamma
from allgrad.distributions.independent import MultivariateNormal
from allgrad.distributions.kl import kl_divergence, register_kl
from allgrad.distributions.matrices import LowRankMultivariateNormal
from allgrad.distributions.tails import ContinuousBernoulli
from allgrad.distributions.transformed import TransformedDistribution
from allgrad.distributions.transformed_laws import EULER, Gumbel, HalfNormal, Pareto
from allgrad.errors import UnsupportedError
from allgrad.functions.creation import full_like
from allgrad.functions.linalg import solve_triangular
from allgrad.functions.pointwise_special import digamma, lgamma

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise UnsupportedError("KL between transformed distributions needs the same transforms and event shape")
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    if type(p) is not HalfNormal or type(q) is not HalfNormal:
        raise UnsupportedError(f"No KL(p || q) is implemented for p type {type(p).__name__}, q type {type(q).__name__}")
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio = p.scale / q.scale
    shift = (q.loc - p.loc) / q.scale
    return -ratio.log() - shift + (shift + lgamma(1 + ratio)).exp() - 1 + ratio * EULER - EULER + 0 * shift


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    found = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return found.masked_fill(p.support.lower_bound < q.support.lower_bound, math.inf)


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    above = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return above - (4 * p.scale * q.scale).log()


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    if bool((p.total_count < q.total_count).any()):
        raise UnsupportedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    found = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return found.masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    own = p.mean * p.logits + (-p.probs).log1p() + p._log_norm()
    return own - (p.mean * q.logits + (-q.probs).log1p() + q._log_norm())


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _low_rank(p: Any, q: Any) -> Any:
    half = q._half_log_det() - p._half_log_det()
    lower = q.scale_tril
    spread = solve_triangular(lower, p.scale_tril, upper=False).pow(2).sum((-2, -1))
    distance = solve_triangular(lower, (q.loc - p.loc).unsqueeze(-1), upper=False).pow(2).sum((-2, -1))
    return half + 0.5 * (spread + distance - p.event_shape[0])


def _outside(p: Any, q: Any) -> Any:
    """Infinite: p has draws that q never gives."""
    found = (p.mean.detach() * 0 + q.mean.detach() * 0).nan_to_num(0.0)
    return full_like(found, math.inf)


_POSITIVE: tuple[type[Distribution], ...] = (Exponential, Gamma, Pareto)
_BOUNDED: tuple[type[Distribution], ...] = (Beta, ContinuousBernoulli)
_REAL: tuple[type[Distribution], ...] = (Normal, Gumbel, Laplace)
for _p, _q in [
    *((a, b) for a in _REAL for b in (*_BOUNDED, *_POSITIVE, Uniform)),
    *((a, b) for a in _POSITIVE for b in (*_BOUNDED, Uniform)),
    *((a, Pareto) for a in (*_BOUNDED, Exponential, Gamma)),
    *((a, Uniform) for a in _BOUNDED if a is not Beta),
    (Poisson, Bernoulli),
    (Poisson, Binomial),
]:
    register_kl(_p, _q)(_outside)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


def _square_mean(p: Any, around: Any) -> Any:
    return p.variance + (p.mean - around).pow(2)


@register_kl(Uniform, Normal)
@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
def _to_normal(p: Any, q: Any) -> Any:
    """Minus the entropy, minus the mean of q's log-density, a square."""
    return -p.entropy() + q.scale.log() + _HALF_LOG_2PI + 0.5 * _square_mean(p, q.loc) / q.scale.pow(2)


@register_kl(Pareto, Normal)
def _pareto_normal(p: Any, q: Any) -> Any:
    return _to_normal(p, q).masked_fill(p.alpha <= 2, math.inf)


@register_kl(Beta, Exponential)
@register_kl(ContinuousBernoulli, Exponential)
@register_kl(Gamma, Exponential)
def _to_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Pareto, Exponential)
def _pareto_exponential(p: Any, q: Any) -> Any:
    return _to_exponential(p, q).masked_fill(p.alpha <= 1, math.inf)


@register_kl(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Any:
    return _to_exponential(p, q).masked_fill(p.low < 0, math.inf)


def _to_gamma(p: Any, q: Any, mean_log: Any) -> Any:
    a, b = q.concentration, q.rate
    return -p.entropy() - a * b.log() + lgamma(a) - (a - 1) * mean_log + b * p.mean


@register_kl(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Any:
    a, b = p.concentration1, p.concentration0
    return _to_gamma(p, q, digamma(a) - digamma(a + b))


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Any:
    return _to_gamma(p, q, -p.rate.log() - EULER)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Any:
    return _to_gamma(p, q, p.scale.log() + p.alpha.reciprocal()).masked_fill(p.alpha <= 1, math.inf)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Any:
    mean_log = (p.high.xlogy(p.high) - p.low.xlogy(p.low)) / (p.high - p.low) - 1
    return _to_gamma(p, q, mean_log).masked_fill(p.low < 0, math.inf)


def _to_gumbel(p: Any, q: Any, mean_exp: Any) -> Any:
    """``mean_exp`` is the mean of exp(-x / q.scale)."""
    return -p.entropy() + q.scale.log() + (p.mean - q.loc) / q.scale + (q.loc / q.scale).exp() * mean_exp


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Any:
    return _to_gumbel(p, q, (-p.loc / q.scale + 0.5 * (p.scale / q.scale).pow(2)).exp())


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Any:
    rate = p.rate * q.scale
    return _to_gumbel(p, q, rate / (rate + 1))


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Any:
    return _to_gumbel(p, q, (1 + (p.rate * q.scale).reciprocal()).pow(-p.concentration))


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Any:
    falling = (-p.low / q.scale).exp() - (-p.high / q.scale).exp()
    return _to_gumbel(p, q, q.scale * falling / (p.high - p.low))


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    # The mean of |x - loc| for a normal x (the folded normal's mean).
    z = (p.loc - q.loc) / p.scale
    folded = p.scale * (math.sqrt(2 / math.pi) * (-0.5 * z.pow(2)).exp() + z * (z / math.sqrt(2)).erf())
    return -p.entropy() + (2 * q.scale).log() + folded / q.scale


def _to_uniform(p: Any, q: Any, low: Any, high: Any) -> Any:
    found = -p.entropy() + (q.high - q.low).log()
    return found.masked_fill((q.low > low) | (q.high < high), math.inf)


@register_kl(Beta, Uniform)
@register_kl(ContinuousBernoulli, Uniform)
def _bounded_uniform(p: Any, q: Any) -> Any:
    return _to_uniform(p, q, 0.0, 1.0)


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    a, b, width = q.concentration1, q.concentration0, p.high - p.low
    log_x = (p.high.xlogy(p.high) - p.low.xlogy(p.low)) / width - 1
    left, right = 1 - p.low, 1 - p.high
    log_rest = (left.xlogy(left) - right.xlogy(right)) / width - 1
    found = -width.log() + q._log_norm() - (a - 1) * log_x - (b - 1) * log_rest
    return found.masked_fill((p.high > 1) | (p.low < 0), math.inf)


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p: Any, q: Any) -> Any:
    found = -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._log_norm()
    return found.masked_fill((p.high > 1) | (p.low < 0), math.inf)


@register_kl(Beta, ContinuousBernoulli)
def _beta_continuous_bernoulli(p: Any, q: Any) -> Any:
    return -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._log_norm()


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Any:
    mean_log = (p.high.xlogy(p.high) - p.low.xlogy(p.low)) / (p.high - p.low) - 1
    found = -p.entropy() - (q.alpha * q.scale.pow(q.alpha)).log() + (q.alpha + 1) * mean_log
    return found.masked_fill(p.low < q.scale, math.inf)
