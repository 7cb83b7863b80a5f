"""Probability distributions, under PyTorch's names."""

from allgrad.distributions import constraints
from allgrad.distributions.continuous import Cauchy, Exponential, Laplace, LogNormal, Normal, Uniform
from allgrad.distributions.discrete import (
    Bernoulli,
    Categorical,
    Dirichlet,
    Geometric,
    Multinomial,
    OneHotCategorical,
    Poisson,
)
from allgrad.distributions.distribution import Distribution
from allgrad.distributions.gammas import Beta, Chi2, Gamma
from allgrad.distributions.independent import Independent, MultivariateNormal
from allgrad.distributions.kl import kl_divergence, register_kl

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Cauchy",
    "Chi2",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "Gamma",
    "Geometric",
    "Independent",
    "Laplace",
    "LogNormal",
    "Multinomial",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "Uniform",
    "constraints",
    "kl_divergence",
    "register_kl",
]
