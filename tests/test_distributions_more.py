"""The other distributions: against PyTorch, and against SciPy's laws where PyTorch is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import allgrad
from allgrad import distributions as ours

POSITIVE = np.array([0.5, 1.5, 3.0])
REAL = np.array([-1.0, 0.3, 2.0])
UNIT = np.array([0.2, 0.5, 0.9])
ROWS = np.array([[0.2, 0.3, 0.5], [0.7, 0.1, 0.2]])
FACTOR = np.array([[0.5, 0.1], [-0.3, 0.7], [0.2, 0.4]])
COVARIANCE = np.diag(POSITIVE) + 0.2
CORRELATION = np.linalg.cholesky(np.array([[1, 0.3, -0.2], [0.3, 1, 0.4], [-0.2, 0.4, 1]]))

# name -> parameters, values to evaluate at, what both have: c cdf, i icdf, e entropy, m mode, d the same draws
CASES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "LogNormal": ({"loc": REAL, "scale": POSITIVE}, POSITIVE, "ciemd"),
    "Gumbel": ({"loc": REAL, "scale": POSITIVE}, REAL + 0.5, "ciemd"),
    "HalfNormal": ({"scale": POSITIVE}, POSITIVE + 0.3, "ciemd"),
    "HalfCauchy": ({"scale": POSITIVE}, POSITIVE + 0.3, "ciemd"),
    "Pareto": ({"scale": POSITIVE, "alpha": POSITIVE[::-1].copy()}, POSITIVE + 0.7, "ciemd"),
    "Weibull": ({"scale": POSITIVE, "concentration": POSITIVE[::-1].copy()}, POSITIVE + 0.2, "cied"),
    "Kumaraswamy": ({"concentration1": POSITIVE, "concentration0": POSITIVE + 0.4}, UNIT, "cied"),
    "InverseGamma": ({"concentration": POSITIVE + 1, "rate": POSITIVE}, POSITIVE, "emd"),
    "StudentT": ({"df": POSITIVE + 1, "loc": REAL, "scale": POSITIVE}, REAL + 0.5, "emd"),
    "FisherSnedecor": ({"df1": POSITIVE + 1, "df2": POSITIVE + 3}, POSITIVE, "md"),
    "ContinuousBernoulli": ({"probs": np.array([0.2, 0.5, 0.9])}, UNIT, "cied"),
    "VonMises": ({"loc": REAL, "concentration": POSITIVE * 4}, REAL + 0.3, "md"),
    "Binomial": ({"total_count": np.array([5.0, 7.0, 60.0]), "probs": UNIT}, np.array([0.0, 3.0, 50.0]), "md"),
    "NegativeBinomial": ({"total_count": POSITIVE + 1, "probs": UNIT}, np.array([0.0, 3.0, 5.0]), "md"),
    "LogisticNormal": ({"loc": REAL, "scale": POSITIVE}, np.array([0.1, 0.3, 0.4, 0.2]), "d"),
    "OneHotCategoricalStraightThrough": ({"probs": ROWS}, np.eye(3)[[2, 0]], "emd"),
    "LowRankMultivariateNormal": (
        {"loc": REAL, "cov_factor": FACTOR, "cov_diag": POSITIVE},
        REAL + 0.4,
        "emd",
    ),
    "Wishart": ({"df": np.array(4.5), "covariance_matrix": COVARIANCE}, COVARIANCE * 3 + np.eye(3), "em"),
}
NO_MOMENTS = {"LogisticNormal"}
FIXED = {"Binomial": ("total_count",), "LKJCholesky": ("dim",)}


def made(library: Any, name: str, arguments: dict[str, Any]) -> tuple[Any, list[Any]]:
    fixed = FIXED.get(name, ())
    leaves = {k: library.tensor(v, requires_grad=k not in fixed) for k, v in arguments.items()}
    return getattr(library.distributions, name)(**leaves), [v for k, v in leaves.items() if k not in fixed]


def close(a: Any, b: Any, what: str = "", rtol: float = 1e-8) -> None:
    np.testing.assert_allclose(
        a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=1e-9, err_msg=what, equal_nan=True
    )


@pytest.mark.parametrize("name", CASES)
def test_as_in_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    if not hasattr(torch.distributions, name):
        pytest.skip(f"this torch has no {name}")
    arguments, value, has = CASES[name]
    (a, a_leaves), (b, b_leaves) = made(allgrad, name, arguments), made(torch, name, arguments)
    assert tuple(a.batch_shape) == tuple(b.batch_shape) and tuple(a.event_shape) == tuple(b.event_shape)
    assert a.has_rsample == b.has_rsample
    loose = 2e-5 if name == "VonMises" else 1e-8  # PyTorch has i0 from a polynomial
    la, lb = a.log_prob(allgrad.tensor(value)), b.log_prob(torch.tensor(value))
    close(la, lb, "log_prob", loose)
    la.sum().backward()
    lb.sum().backward()
    for x, y in zip(a_leaves, b_leaves):
        close(x.grad, y.grad, "gradient of log_prob", loose)
    if name not in NO_MOMENTS:
        close(a.mean, b.mean, "mean")
        close(a.variance, b.variance, "variance", loose)
    if "m" in has:
        close(a.mode, b.mode, "mode")
    if "e" in has:
        close(a.entropy(), b.entropy(), "entropy")
    if "c" in has:
        close(a.cdf(allgrad.tensor(value)), b.cdf(torch.tensor(value)), "cdf")
    if "i" in has:
        close(a.icdf(allgrad.tensor(UNIT)), b.icdf(torch.tensor(UNIT)), "icdf")
    allgrad.manual_seed(5)
    torch.manual_seed(5)
    if "d" in has:
        x, y = a.sample((6,)), b.sample((6,))
        assert tuple(x.shape) == tuple(y.shape)
        close(x, y, "draws", 1e-6)
    wide, narrow = a.expand((2, *a.batch_shape)), b.expand((2, *b.batch_shape))
    assert tuple(wide.batch_shape) == tuple(narrow.batch_shape)
    close(wide.log_prob(allgrad.tensor(value)), narrow.log_prob(torch.tensor(value)), "expanded", loose)


LAWS = {
    "Gumbel": lambda: (ours.Gumbel(1.0, 2.0), stats.gumbel_r(1, 2)),
    "HalfNormal": lambda: (ours.HalfNormal(2.0), stats.halfnorm(0, 2)),
    "HalfCauchy": lambda: (ours.HalfCauchy(2.0), stats.halfcauchy(0, 2)),
    "Pareto": lambda: (ours.Pareto(1.5, 3.0), stats.pareto(3, scale=1.5)),
    "Weibull": lambda: (ours.Weibull(2.0, 1.5), stats.weibull_min(1.5, scale=2)),
    "InverseGamma": lambda: (ours.InverseGamma(3.5, 2.0), stats.invgamma(3.5, scale=2)),
    "StudentT": lambda: (ours.StudentT(5.0, 0.5, 2.0), stats.t(5, 0.5, 2)),
    "FisherSnedecor": lambda: (ours.FisherSnedecor(4.0, 9.0), stats.f(4, 9)),
    "GeneralizedPareto": lambda: (ours.GeneralizedPareto(0.5, 2.0, 0.2), stats.genpareto(0.2, 0.5, 2)),
    "GeneralizedPareto, short": lambda: (ours.GeneralizedPareto(0.5, 2.0, -0.3), stats.genpareto(-0.3, 0.5, 2)),
    "VonMises": lambda: (ours.VonMises(0.5, 3.0), stats.vonmises(3, 0.5)),
    "LogNormal": lambda: (ours.LogNormal(0.2, 0.5), stats.lognorm(0.5, scale=np.exp(0.2))),
}


@pytest.mark.parametrize("name", LAWS)
def test_as_in_scipy(name: str) -> None:
    allgrad.manual_seed(1)
    d, law = LAWS[name]()
    draws = d.sample((3000,)).double().numpy()
    if name == "VonMises":
        draws = (draws - 0.5 + np.pi) % (2 * np.pi) - np.pi + 0.5
    assert stats.kstest(draws, law.cdf).pvalue > 1e-3
    points = allgrad.tensor(draws[:20])
    np.testing.assert_allclose(d.log_prob(points).numpy(), law.logpdf(draws[:20]), rtol=2e-4, atol=2e-5)
    if name != "VonMises":
        np.testing.assert_allclose([float(d.mean), float(d.variance)], law.stats(), rtol=1e-4)
        if name != "FisherSnedecor":
            assert abs(float(d.entropy()) - law.entropy()) < 1e-3


@pytest.mark.parametrize(("count", "p"), [(6, 0.3), (60, 0.4), (80, 0.8), (5, 0.0), (5, 1.0)])
def test_binomial_counts(count: int, p: float) -> None:
    allgrad.manual_seed(2)
    d = ours.Binomial(count, allgrad.tensor(p, dtype=allgrad.float64))
    draws = d.sample((4000,)).numpy()
    for k in range(count + 1):
        share = stats.binom.pmf(k, count, p)
        assert abs((draws == k).mean() - share) <= 5 * np.sqrt(share * (1 - share) / 4000) + 3 / 4000
    if 0 < p < 1:
        ks = np.arange(count + 1.0)
        np.testing.assert_allclose(d.log_prob(allgrad.tensor(ks)).numpy(), stats.binom.logpmf(ks, count, p), rtol=1e-8)
        assert abs(float(d.entropy()) - stats.binom.entropy(count, p)) < 1e-8


def test_negative_binomial_counts() -> None:
    allgrad.manual_seed(3)
    d = ours.NegativeBinomial(3.0, allgrad.tensor(0.4, dtype=allgrad.float64))
    law = stats.nbinom(3, 0.6)
    draws = d.sample((4000,)).numpy()
    np.testing.assert_allclose([draws.mean(), draws.var()], law.stats(), rtol=0.1)
    ks = np.arange(12.0)
    np.testing.assert_allclose(d.log_prob(allgrad.tensor(ks)).numpy(), law.logpmf(ks), rtol=1e-9)


def mixtures(library: Any) -> Any:
    d = library.distributions
    t = lambda v: library.tensor(v, dtype=library.float64)
    parts = d.Independent(d.Normal(t(np.arange(12.0).reshape(2, 3, 2)), t(np.full((2, 3, 2), 0.5))), 1)
    return d.MixtureSameFamily(d.Categorical(t(ROWS)), parts), t


def test_mixtures() -> None:
    mixture, t = mixtures(allgrad)
    assert tuple(mixture.batch_shape) == (2,) and tuple(mixture.event_shape) == (2,)
    x = np.array([[1.0, 2.0], [8.0, 9.0]])
    means = np.arange(12.0).reshape(2, 3, 2)
    density = (ROWS * stats.norm(means, 0.5).pdf(x[:, None]).prod(-1)).sum(-1)
    np.testing.assert_allclose(mixture.log_prob(t(x)).numpy(), np.log(density), rtol=1e-9)
    np.testing.assert_allclose(mixture.mean.numpy(), (ROWS[..., None] * means).sum(1))
    allgrad.manual_seed(4)
    draws = mixture.sample((4000,))
    np.testing.assert_allclose(draws.mean(0).numpy(), mixture.mean.numpy(), atol=0.15)
    np.testing.assert_allclose(draws.var(0).numpy(), mixture.variance.numpy(), rtol=0.1)
    torch = pytest.importorskip("torch")
    other, _ = mixtures(torch)
    allgrad.manual_seed(4)
    torch.manual_seed(4)
    close(mixture.sample((5,)), other.sample((5,)))
    close(mixture.variance, other.variance)


@pytest.mark.parametrize("name", ["RelaxedBernoulli", "RelaxedOneHotCategorical"])
def test_relaxed(name: str) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for library in (allgrad, torch):
        library.manual_seed(6)
        probs = library.tensor(ROWS, requires_grad=True)
        d = getattr(library.distributions, name)(library.tensor(0.7, dtype=library.float64), probs=probs)
        x = d.rsample((4,))
        (x * x).sum().backward()
        found.append((x, probs.grad, d.log_prob(x.detach()), d.temperature))
    for a, b in zip(*found):
        close(a, b, name, 1e-6)


def test_straight_through_has_the_gradient_of_the_probabilities() -> None:
    logits = allgrad.tensor([0.3, -0.2, 0.9], requires_grad=True)
    d = ours.OneHotCategoricalStraightThrough(logits=logits)
    x = d.rsample()
    assert sorted(x.tolist()) == pytest.approx([0, 0, 1], abs=1e-6)
    weights = allgrad.tensor([1.0, 2.0, 3.0])
    (x * weights).sum().backward()
    p = special.softmax([0.3, -0.2, 0.9])
    np.testing.assert_allclose(logits.grad.numpy(), p * (np.array([1, 2, 3]) - p @ [1, 2, 3]), rtol=1e-5)


def test_correlation_matrices() -> None:
    allgrad.manual_seed(7)
    d = ours.LKJCholesky(3, allgrad.tensor(1.0, dtype=allgrad.float64))
    lower = d.sample((3000,))
    whole = (lower @ lower.mT).numpy()
    np.testing.assert_allclose(whole[:, range(3), range(3)], 1, atol=1e-12)
    # With concentration 1 each correlation of a 3 x 3 matrix is 2 Beta(3/2, 3/2) - 1.
    assert stats.kstest(whole[:, 2, 0], stats.beta(1.5, 1.5, -1, 2).cdf).pvalue > 1e-3
    assert stats.kstest(whole[:, 2, 1], stats.beta(1.5, 1.5, -1, 2).cdf).pvalue > 1e-3
    torch = pytest.importorskip("torch")
    other = torch.distributions.LKJCholesky(3, torch.tensor(1.0, dtype=torch.float64))
    close(d.log_prob(allgrad.tensor(CORRELATION)), other.log_prob(torch.tensor(CORRELATION)))


@pytest.mark.parametrize(
    "distribution",
    [
        lambda t: ours.Weibull(t(2.0), t(2.5)),
        lambda t: ours.Kumaraswamy(t(2.0), t(3.5)),
        lambda t: ours.FisherSnedecor(t(5.0), t(7.0)),
        lambda t: ours.InverseGamma(t(2.5), t(1.5)),
        lambda t: ours.Beta(t(2.5), t(1.5)),
    ],
)
def test_the_mode_is_the_likeliest_value(distribution: Any) -> None:
    d = distribution(lambda v: allgrad.tensor(v, dtype=allgrad.float64))
    points = allgrad.linspace(
        0.001, 0.999 if d.support.check(allgrad.tensor(2.0)).item() is False else 4, 4001
    ).double()
    best = points[d.log_prob(points).argmax()]
    assert abs(float(best) - float(d.mode)) < 2e-3


def test_wishart_has_scipys_density_and_mean() -> None:
    d = ours.Wishart(allgrad.tensor(4.5, dtype=allgrad.float64), allgrad.tensor(COVARIANCE))
    law = stats.wishart(4.5, COVARIANCE)
    x = COVARIANCE * 2 + np.eye(3)
    assert float(d.log_prob(allgrad.tensor(x))) == pytest.approx(law.logpdf(x), rel=1e-9)
    assert float(d.entropy()) == pytest.approx(law.entropy(), rel=1e-9)
    allgrad.manual_seed(8)
    np.testing.assert_allclose(d.sample((4000,)).mean(0).numpy(), law.mean(), atol=0.5)


def test_entropy_of_an_exponential_family() -> None:
    class Plain(ours.ExponentialFamily):
        """A normal law that only says how it is an exponential family."""

        def __init__(self, scale: Any) -> None:
            self.scale = scale
            super().__init__(tuple(scale.shape), validate_args=False)
            self._mean_carrier_measure = 0

        @property
        def _natural_params(self) -> Any:
            return (-0.5 * self.scale.pow(-2),)

        def _log_normalizer(self, theta: Any) -> Any:
            return 0.5 * (-np.pi / theta).log()

    found = Plain(allgrad.tensor(POSITIVE)).entropy()
    np.testing.assert_allclose(found.detach().numpy(), stats.norm(0, POSITIVE).entropy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ours.Pareto(1.0, -1.0), "alpha"),
        (lambda: ours.StudentT(0.0), "df"),
        (lambda: ours.InverseGamma(-1.0, 1.0), "concentration"),
        (lambda: ours.Binomial(3, allgrad.tensor(1.5)), "probs"),
        (lambda: ours.Wishart(1.5, allgrad.eye(3)), "greater than ndim - 1"),
        (lambda: ours.LKJCholesky(1), "greater than or equal to 2"),
        (lambda: ours.Pareto(1.0, 1.0).log_prob(allgrad.tensor(0.5)), "support"),
        (lambda: ours.MixtureSameFamily(ours.Normal(0.0, 1.0), ours.Normal(0.0, 1.0)), "Categorical"),
        (lambda: ours.Binomial(3, probs=0.5).log_prob(allgrad.tensor(4.0)), "support"),
    ],
)
def test_impossible_parameters_and_values(build: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize("binary", [False, True])
def test_probabilities_and_logits(binary: bool) -> None:
    from allgrad.distributions.utils import broadcast_all, logits_to_probs, probs_to_logits

    p = allgrad.tensor(ROWS)
    logits = probs_to_logits(p, is_binary=binary)
    np.testing.assert_allclose(logits.numpy(), special.logit(ROWS) if binary else np.log(ROWS))
    np.testing.assert_allclose(logits_to_probs(logits, is_binary=binary).numpy(), ROWS)
    assert [tuple(v.shape) for v in broadcast_all(1.0, p)] == [(2, 3), (2, 3)]
