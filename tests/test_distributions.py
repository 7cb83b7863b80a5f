"""Distributions against PyTorch (values, gradients, divergences, same draws) and against SciPy's laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import allgrad
from allgrad import distributions as ours

POSITIVE = np.array([0.5, 1.5, 3.0])
REAL = np.array([-1.0, 0.3, 2.0])
UNIT = np.array([0.2, 0.5, 0.9])
ROWS = np.array([[0.2, 0.3, 0.5], [0.7, 0.1, 0.2]])

# name -> parameters, values to evaluate at
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "Normal": ({"loc": REAL, "scale": POSITIVE}, REAL + 0.5),
    "LogNormal": ({"loc": REAL, "scale": POSITIVE}, POSITIVE),
    "Uniform": ({"low": REAL, "high": REAL + POSITIVE}, REAL + 0.1),
    "Exponential": ({"rate": POSITIVE}, UNIT),
    "Laplace": ({"loc": REAL, "scale": POSITIVE}, REAL - 0.3),
    "Cauchy": ({"loc": REAL, "scale": POSITIVE}, REAL + 2),
    "Gamma": ({"concentration": POSITIVE, "rate": POSITIVE[::-1].copy()}, POSITIVE + 0.2),
    "Chi2": ({"df": POSITIVE + 1}, POSITIVE),
    "Beta": ({"concentration1": POSITIVE, "concentration0": POSITIVE[::-1].copy()}, UNIT),
    "Bernoulli": ({"probs": UNIT}, np.array([0.0, 1.0, 1.0])),
    "Geometric": ({"probs": UNIT}, np.array([0.0, 3.0, 1.0])),
    "Poisson": ({"rate": POSITIVE}, np.array([0.0, 2.0, 5.0])),
    "Categorical": ({"probs": ROWS}, np.array([2, 0])),
    "OneHotCategorical": ({"probs": ROWS}, np.eye(3)[[2, 0]]),
    "Dirichlet": ({"concentration": ROWS * 4}, ROWS[::-1].copy()),
    "MultivariateNormal": ({"loc": REAL, "covariance_matrix": np.diag(POSITIVE) + 0.2}, REAL + 0.4),
}
LOGITS = {"Bernoulli": REAL, "Geometric": REAL, "Categorical": np.log(ROWS) + 3}


def made(library: Any, name: str, arguments: dict[str, Any]) -> tuple[Any, list[Any]]:
    leaves = {k: library.tensor(v, requires_grad=True) for k, v in arguments.items()}
    return getattr(library.distributions, name)(**leaves), list(leaves.values())


def close(a: Any, b: Any, what: str = "", atol: float = 1e-10) -> None:
    np.testing.assert_allclose(
        a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=atol, err_msg=what, equal_nan=True
    )


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    torch = pytest.importorskip("torch")
    arguments, value = CASES[name]
    for given in [arguments, *([{"logits": LOGITS[name]}] if name in LOGITS else [])]:
        (a, a_leaves), (b, b_leaves) = made(allgrad, name, given), made(torch, name, given)
        assert tuple(a.batch_shape) == tuple(b.batch_shape) and tuple(a.event_shape) == tuple(b.event_shape)
        la, lb = a.log_prob(allgrad.tensor(value)), b.log_prob(torch.tensor(value))
        close(la, lb, "log_prob")
        la.sum().backward()
        lb.sum().backward()
        for x, y in zip(a_leaves, b_leaves):
            close(x.grad, y.grad, "gradient of log_prob")
        for what in ("mean", "variance"):
            close(getattr(a, what), getattr(b, what), what)
        if name != "Poisson":
            close(a.entropy(), b.entropy(), "entropy")
        if name in ("Normal", "LogNormal", "Uniform", "Exponential", "Laplace", "Cauchy"):
            close(a.cdf(allgrad.tensor(value)), b.cdf(torch.tensor(value)), "cdf")
            close(a.icdf(allgrad.tensor(UNIT)), b.icdf(torch.tensor(UNIT)), "icdf")


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("LogNormal", "Cauchy", "Chi2")])
def test_divergences(name: str) -> None:
    torch = pytest.importorskip("torch")
    arguments, _ = CASES[name]
    wider = {"low": -0.5, "high": 0.5}
    others = {k: v + wider.get(k, 0.05) for k, v in arguments.items()}
    if name in ("Categorical", "OneHotCategorical"):
        others = {"probs": ROWS[::-1].copy()}
    found = []
    for library in (allgrad, torch):
        p, q = (
            getattr(library.distributions, name)(**{k: library.tensor(v) for k, v in a.items()})
            for a in (arguments, others)
        )
        found.append(library.distributions.kl_divergence(p, q))
    close(*found)
    assert (found[0].numpy() > 0).all()


LAWS = {
    "Normal": lambda: (ours.Normal(1.0, 2.0), stats.norm(1, 2)),
    "Uniform": lambda: (ours.Uniform(-1.0, 2.0), stats.uniform(-1, 3)),
    "Exponential": lambda: (ours.Exponential(2.0), stats.expon(scale=0.5)),
    "Laplace": lambda: (ours.Laplace(1.0, 2.0), stats.laplace(1, 2)),
    "Cauchy": lambda: (ours.Cauchy(1.0, 2.0), stats.cauchy(1, 2)),
    "LogNormal": lambda: (ours.LogNormal(0.2, 0.5), stats.lognorm(0.5, scale=np.exp(0.2))),
    "Gamma": lambda: (ours.Gamma(0.7, 2.0), stats.gamma(0.7, scale=0.5)),
    "Beta": lambda: (ours.Beta(0.8, 2.5), stats.beta(0.8, 2.5)),
}


@pytest.mark.parametrize("name", LAWS)
def test_draws_follow_the_law(name: str) -> None:
    allgrad.manual_seed(1)
    distribution, law = LAWS[name]()
    draws = distribution.sample((4000,)).double().numpy()
    assert draws.shape == (4000,)
    assert stats.kstest(draws, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (lambda: ours.Bernoulli(0.3), [0.7, 0.3]),
        (lambda: ours.Geometric(0.6), [0.6, 0.24, 0.096]),
        (lambda: ours.Poisson(0.5), [0.6065, 0.3033, 0.0758]),
        (lambda: ours.Categorical(allgrad.tensor([0.2, 0.5, 0.3])), [0.2, 0.5, 0.3]),
    ],
)
def test_counts_follow_the_law(distribution: Any, expected: list[float]) -> None:
    allgrad.manual_seed(2)
    draws = distribution().sample((20000,)).numpy()
    for k, p in enumerate(expected):
        assert abs((draws == k).mean() - p) < 5 * np.sqrt(p * (1 - p) / 20000)


def test_multinomial() -> None:
    allgrad.manual_seed(3)
    d = ours.Multinomial(10, allgrad.tensor([0.2, 0.3, 0.5]))
    draws = d.sample((500,)).numpy()
    assert draws.shape == (500, 3) and (draws.sum(1) == 10).all()
    np.testing.assert_allclose(draws.mean(0), [2, 3, 5], atol=0.3)
    expected = stats.multinomial(10, [0.2, 0.3, 0.5]).logpmf([2, 3, 5])
    assert abs(d.log_prob(allgrad.tensor([2.0, 3.0, 5.0])).item() - expected) < 1e-5


def test_independent_sums_over_the_event() -> None:
    base = ours.Normal(allgrad.zeros(4, 3), allgrad.ones(4, 3))
    d = ours.Independent(base, 1)
    x = allgrad.randn(4, 3)
    assert tuple(d.batch_shape) == (4,) and tuple(d.event_shape) == (3,)
    np.testing.assert_allclose(d.log_prob(x).numpy(), base.log_prob(x).sum(-1).numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["Normal", "Exponential", "Gamma", "Beta", "Bernoulli"])
def test_same_seed_same_draws_as_in_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    arguments, _ = CASES[name]
    draws = []
    for library in (torch, allgrad):
        library.manual_seed(7)
        d = getattr(library.distributions, name)(**{k: library.tensor(v) for k, v in arguments.items()})
        draws.append(d.sample((8,)).numpy())
    np.testing.assert_allclose(draws[1], draws[0], rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.5, 20.0])
def test_gamma_draws_move_with_alpha_as_their_quantile(alpha: float) -> None:
    allgrad.manual_seed(4)
    a = allgrad.full((200,), alpha, dtype=allgrad.float64, requires_grad=True)
    x = ours.Gamma(a, allgrad.ones(200, dtype=allgrad.float64)).rsample()
    x.sum().backward()
    q = stats.gamma(alpha).cdf(x.detach().numpy())
    step = 1e-4 * alpha
    expected = (stats.gamma(alpha + step).ppf(q) - stats.gamma(alpha - step).ppf(q)) / (2 * step)
    sure = (q > 1e-6) & (q < 1 - 1e-6)
    np.testing.assert_allclose(a.grad.numpy()[sure], expected[sure], rtol=2e-4, atol=1e-6)


def test_gradients_flow_through_rsample() -> None:
    mean, scale = allgrad.tensor(0.5, requires_grad=True), allgrad.tensor(2.0, requires_grad=True)
    allgrad.manual_seed(0)
    x = ours.Normal(mean, scale).rsample((1000,))
    x.mean().backward()
    assert abs(mean.grad.item() - 1) < 1e-6
    assert not ours.Normal(mean, scale).sample().requires_grad


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ours.Normal(0.0, -1.0), "scale"),
        (lambda: ours.Uniform(1.0, 0.0), "low"),
        (lambda: ours.Bernoulli(1.5), "probs"),
        (lambda: ours.Bernoulli(), "Either `probs` or `logits`"),
        (lambda: ours.Categorical(allgrad.tensor([-0.1, 0.2])), "probs"),
        (lambda: ours.Gamma(0.0, 1.0), "concentration"),
        (lambda: ours.Exponential(1.0).log_prob(allgrad.tensor(-1.0)), "support"),
        (lambda: ours.Categorical(allgrad.ones(3)).log_prob(allgrad.tensor(3)), "support"),
    ],
)
def test_impossible_parameters_and_values(build: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_a_pair_without_a_rule() -> None:
    with pytest.raises(NotImplementedError, match=r"StudentT.*Gamma"):
        ours.kl_divergence(ours.StudentT(2.0), ours.Gamma(1.0, 1.0))
