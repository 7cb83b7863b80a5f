"""Transforms against their own derivative and inverse, constraints, divergences against integrals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import distributions as d
from allgrad.autograd.functional import jacobian

F64 = allgrad.float64
VECTOR = allgrad.tensor([0.3, -0.7, 1.1], dtype=F64)


def t(v: Any) -> Any:
    return allgrad.tensor(v, dtype=F64)


ELEMENTWISE = {
    "exp": d.ExpTransform(),
    "power": d.PowerTransform(t(1.7)),
    "sigmoid": d.SigmoidTransform(),
    "softplus": d.SoftplusTransform(),
    "tanh": d.TanhTransform(),
    "affine": d.AffineTransform(0.5, -2.0),
    "cumulative": d.CumulativeDistributionTransform(d.Normal(t(0.2), t(1.5))),
    "compose": d.ComposeTransform([d.AffineTransform(0.1, 0.5), d.ExpTransform(), d.AffineTransform(1.0, t(3.0))]),
    "inverse": d.ExpTransform().inv,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_derivative_and_inverse(name: str) -> None:
    transform = ELEMENTWISE[name]
    x = VECTOR.abs() if name in ("power", "inverse") else VECTOR
    y = transform(x)
    np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), rtol=1e-9)
    slope = jacobian(transform, x).diagonal()
    found = transform.log_abs_det_jacobian(x, y)
    np.testing.assert_allclose(found.numpy(), slope.abs().log().numpy(), rtol=1e-9)
    np.testing.assert_array_equal(np.sign(slope.numpy()), float(transform.sign))
    assert transform.inv.inv is transform
    assert bool(transform.codomain.check(y).all())


@pytest.mark.parametrize(
    ("transform", "free"), [(d.StickBreakingTransform(), slice(0, 3)), (d.CorrCholeskyTransform(), None)]
)
def test_vectors(transform: Any, free: Any) -> None:
    y = transform(VECTOR)
    assert bool(transform.codomain.check(y))
    np.testing.assert_allclose(transform.inv(y).numpy(), VECTOR.numpy(), rtol=1e-8)

    def entries(x: Any) -> Any:
        out = transform(x)
        return out[free] if free is not None else allgrad.stack([out[1, 0], out[2, 0], out[2, 1]])

    expected = allgrad.linalg.slogdet(jacobian(entries, VECTOR))[1]
    assert float(transform.log_abs_det_jacobian(VECTOR, y)) == pytest.approx(float(expected), rel=1e-9)
    assert tuple(transform.forward_shape((3,))) == tuple(y.shape)
    assert tuple(transform.inverse_shape(tuple(y.shape))) == (3,)


def test_side_by_side() -> None:
    parts = [d.ExpTransform(), d.AffineTransform(0.0, 2.0), d.TanhTransform()]
    for whole in (d.StackTransform(parts, dim=-1), d.CatTransform(parts, dim=-1, lengths=[1, 1, 1])):
        y = whole(VECTOR)
        np.testing.assert_allclose(y.numpy(), [np.exp(0.3), -1.4, np.tanh(1.1)])
        np.testing.assert_allclose(whole.inv(y).numpy(), VECTOR.numpy())
        expected = [0.3, np.log(2), np.log(1 - np.tanh(1.1) ** 2)]
        np.testing.assert_allclose(whole.log_abs_det_jacobian(VECTOR, y).numpy(), expected)


CONSTRAINED = [
    d.constraints.real,
    d.constraints.positive,
    d.constraints.nonnegative,
    d.constraints.unit_interval,
    d.constraints.interval(-1.0, 3.0),
    d.constraints.less_than(2.0),
    d.constraints.greater_than(5.0),
    d.constraints.simplex,
    d.constraints.corr_cholesky,
    d.constraints.independent(d.constraints.positive, 1),
    d.constraints.lower_cholesky,
    d.constraints.positive_definite,
]


@pytest.mark.parametrize("constraint", CONSTRAINED, ids=repr)
def test_registries_lead_onto_the_constraint(constraint: Any) -> None:
    matrix = constraint.event_dim == 2 and constraint is not d.constraints.corr_cholesky
    x = t(np.random.default_rng(0).normal(size=(4, 3, 3) if matrix else (4, 3)))
    for registry in (d.biject_to, d.transform_to):
        y = registry(constraint)(x)
        assert bool(constraint.check(y).all())
    back = d.biject_to(constraint)
    np.testing.assert_allclose(back.inv(back(x)).tril().numpy(), x.tril().numpy(), rtol=1e-7, atol=1e-9)


def test_constraints_that_do_not_hold() -> None:
    c = d.constraints
    assert not bool(c.one_hot.check(t([1.0, 1.0])))
    assert not bool(c.symmetric.check(t([[1.0, 2.0], [0.0, 1.0]])))
    assert not bool(c.positive_definite.check(t([[1.0, 2.0], [2.0, 1.0]])))
    assert bool(c.positive_semidefinite.check(t([[1.0, 0.0], [0.0, 1.0]])))
    assert not bool(c.corr_cholesky.check(t([[1.0, 0.0], [0.5, 0.5]])))
    assert c.cat([c.positive, c.real], 0).check(t([-1.0, -1.0])).tolist() == [False, True]
    assert c.stack([c.positive, c.real], 0).check(t([-1.0, -1.0])).tolist() == [False, True]
    assert c.is_dependent(c.dependent) and not c.is_dependent(c.real)
    with pytest.raises(NotImplementedError, match="_Boolean"):
        d.biject_to(c.boolean)


def test_a_flow_in_two_dimensions() -> None:
    base = d.Normal(t([0.0, 1.0]), t([1.0, 2.0]))
    flow = d.TransformedDistribution(base, [d.ExpTransform(), d.AffineTransform(1.0, 0.5, event_dim=1)])
    assert tuple(flow.event_shape) == (2,) and tuple(flow.batch_shape) == ()
    y = t([1.7, 2.4])
    x = ((y - 1) / 0.5).log()
    expected = (base.log_prob(x) - x).sum() - 2 * np.log(0.5)
    assert float(flow.log_prob(y)) == pytest.approx(float(expected))
    assert tuple(flow.rsample((5,)).shape) == (5, 2)


LAWS = {
    "Normal": ([0.3, 0.8], [0.1, 1.8]),
    "Gumbel": ([0.4, 1.2], [0.1, 1.0]),
    "Laplace": ([0.2, 0.7], [0.1, 1.0]),
    "Beta": ([2.0, 1.5], [1.2, 2.5]),
    "Exponential": ([1.3], [0.7]),
    "Gamma": ([2.2, 1.4], [1.2, 0.6]),
    "Pareto": ([0.8, 3.5], [0.4, 2.0]),
    "Uniform": ([0.5, 0.9], [0.0, 1.0]),
    "ContinuousBernoulli": ([0.3], [0.6]),
    "Cauchy": ([0.1, 0.5], [0.4, 0.9]),
    "HalfNormal": ([0.7], [1.7]),
    "LogNormal": ([0.2, 0.5], [0.1, 0.7]),
}


def test_divergences_are_the_integrals() -> None:
    checked = 0
    # Quantiles as places: each carries the same share of p, so the mean over them is the integral.
    share = t((np.arange(200_000) + 0.5) / 200_000)
    for p_name, (p_args, _) in LAWS.items():
        p = getattr(d, p_name)(*[t(a) for a in p_args], validate_args=False)
        if p_name in ("Beta", "Gamma"):
            grid = t(np.linspace(1e-7, 1 - 1e-7 if p_name == "Beta" else 40, 400_001))
            weights = p.log_prob(grid).exp() * float(grid[1] - grid[0])
        else:
            grid, weights = p.icdf(share), 1 / 200_000
        for q_name, (_, q_args) in LAWS.items():
            q = getattr(d, q_name)(*[t(a) for a in q_args], validate_args=False)
            if p_name == "LogNormal" != q_name or (p_name, q_name) in (("Beta", "HalfNormal"),):
                continue
            try:
                found = float(d.kl_divergence(p, q))
            except NotImplementedError:
                continue
            if np.isinf(found):
                continue
            expected = float(((p.log_prob(grid) - q.log_prob(grid)) * weights).sum())
            assert found == pytest.approx(expected, rel=3e-3, abs=3e-3), (p_name, q_name)
            checked += 1
    assert checked >= 35


def test_divergence_is_infinite_outside_the_support() -> None:
    for p, q in [
        (d.Normal(0.0, 1.0), d.Gamma(1.0, 1.0)),
        (d.Uniform(-1.0, 1.0), d.Beta(1.0, 1.0)),
        (d.Pareto(0.5, 1.0), d.Pareto(1.0, 1.0)),
        (d.Gamma(1.0, 1.0), d.Uniform(0.0, 9.0)),
        (d.Poisson(1.0), d.Bernoulli(0.5)),
    ]:
        assert float(d.kl_divergence(p, q)) == np.inf


def test_log_normal_is_no_normal() -> None:
    with pytest.raises(NotImplementedError, match="LogNormal"):
        d.kl_divergence(d.LogNormal(0.0, 1.0), d.Normal(0.0, 1.0))
