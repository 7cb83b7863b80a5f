"""Random numbers follow the laws they are named after: Kolmogorov-Smirnov and chi-square against SciPy."""

import numpy as np
import pytest
from scipy import stats

from allgrad.random import Generator

F32, F64 = np.dtype("float32"), np.dtype("float64")

LAWS = {
    "uniform": (lambda g: g.uniform(20000, F32, -1, 3), stats.uniform(-1, 4)),
    "uniform double": (lambda g: g.uniform(20000, F64), stats.uniform()),
    "normal": (lambda g: g.normal(20001, F32, 2, 3), stats.norm(2, 3)),
    "normal double": (lambda g: g.normal(20001, F64), stats.norm()),
    "normal serial": (lambda g: g.normal(20001, F64, 2, 3, contiguous=False), stats.norm(2, 3)),
    "exponential": (lambda g: g.exponential(20000, F64, 2.5), stats.expon(scale=0.4)),
    "cauchy": (lambda g: g.cauchy(20000, F64, 1, 2), stats.cauchy(1, 2)),
    "log_normal": (lambda g: g.log_normal(20000, F64, 0.5, 0.25), stats.lognorm(0.25, scale=np.exp(0.5))),
    "gamma": (lambda g: g.gamma(np.full(5000, 2.5)), stats.gamma(2.5)),
    "gamma small": (lambda g: g.gamma(np.full(5000, 0.4)), stats.gamma(0.4)),
    "beta": (lambda g: g.beta(np.full(5000, 2.0), 0.5), stats.beta(2.0, 0.5)),
}


@pytest.mark.parametrize("name", LAWS)
def test_continuous_law_by_kolmogorov_smirnov(name):
    draw, law = LAWS[name]
    assert stats.kstest(draw(Generator().manual_seed(5)), law.cdf).pvalue > 1e-3


COUNTS = {
    "integers": (lambda g: g.integers(3, 13, 20000), stats.randint(3, 13)),
    "bernoulli": (lambda g: g.bernoulli(0.3, 20000), stats.bernoulli(0.3)),
    "bernoulli array": (lambda g: g.bernoulli(np.full(20000, 0.3, F32)), stats.bernoulli(0.3)),
    "geometric": (lambda g: g.geometric(20000, F32, 0.4), stats.geom(0.4)),
    "poisson small": (lambda g: g.poisson(np.full(10000, 3.5)), stats.poisson(3.5)),
    "poisson large": (lambda g: g.poisson(np.full(10000, 25.0)), stats.poisson(25.0)),
    "multinomial": (
        lambda g: g.multinomial(np.array([1.0, 0, 2, 5]), 20000, True),
        stats.rv_discrete(values=([0, 1, 2, 3], [0.125, 0, 0.25, 0.625])),
    ),
    "multinomial race": (
        lambda g: g.multinomial(np.tile([1.0, 0, 2, 5], (20000, 1)), 1)[:, 0],
        stats.rv_discrete(values=([0, 1, 2, 3], [0.125, 0, 0.25, 0.625])),
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_discrete_law_by_chi_square(name):
    draw, law = COUNTS[name]
    values = draw(Generator().manual_seed(6)).astype(int)
    levels, found = np.unique(values, return_counts=True)
    expected = law.pmf(levels) * values.size
    assert (expected > 0).all()
    rare = expected < 5
    rest = np.append(found[~rare], found[rare].sum())
    wanted = np.append(expected[~rare], values.size - expected[~rare].sum())
    keep = wanted > 1
    assert stats.chisquare(rest[keep], wanted[keep] * rest[keep].sum() / wanted[keep].sum()).pvalue > 1e-3


def test_multinomial_without_replacement_takes_each_class_once():
    picked = Generator().manual_seed(0).multinomial(np.array([0.1, 5, 2, 0.3, 9]), 5)
    assert sorted(picked.tolist()) == [0, 1, 2, 3, 4]
