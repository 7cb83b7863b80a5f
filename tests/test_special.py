"""Special functions to the last digits: against SciPy, and against 40-digit values where SciPy itself is not exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import allgrad
from allgrad.ops import special as ops

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(2)


def relative(found: Array, wanted: Array) -> float:
    return float(np.max(np.abs(found - wanted) / np.maximum(np.abs(wanted), 1e-300)))


WIDE = np.concatenate([RNG.normal(0, 2, 20000), RNG.uniform(-26, 26, 20000), 10 ** RNG.uniform(-12, 1.4, 20000)])
POSITIVE = np.concatenate([RNG.uniform(0.01, 60, 20000), 10 ** RNG.uniform(-12, 12, 20000)])
UNIT = np.concatenate(
    [RNG.uniform(-1, 1, 20000), 1 - 10 ** RNG.uniform(-15, -1, 20000), 10 ** RNG.uniform(-200, 0, 999)]
)


@pytest.mark.parametrize(
    ("op", "reference", "x", "limit"),
    [
        (ops.erf, scipy.special.erf, WIDE, 1e-15),
        (ops.erfc, scipy.special.erfc, np.abs(WIDE), 2e-13),  # SciPy's own error in the tail: 3e-15 per unit of x
        (ops.erfc, scipy.special.erfc, -np.abs(WIDE), 1e-15),
        (ops.erfcx, scipy.special.erfcx, np.abs(WIDE), 2e-15),
        (ops.erfinv, scipy.special.erfinv, UNIT, 2e-15),
        (ops.ndtri, scipy.special.ndtri, (UNIT[UNIT > 0]), 1e-13),
        (lambda x: ops.polygamma(x, n=1), lambda x: scipy.special.polygamma(1, x), POSITIVE, 3e-15),
        (lambda x: ops.polygamma(x, n=4), lambda x: scipy.special.polygamma(4, x), POSITIVE[:20000], 1e-14),
        (lambda x: ops.zeta(x + 1.001, x), lambda x: scipy.special.zeta(x + 1.001, x), POSITIVE[:20000], 1e-13),
        (ops.entr, scipy.special.entr, POSITIVE, 1e-14),
    ],
)
def test_relative_to_scipy(
    op: Callable[[Array], Array], reference: Callable[[Array], Array], x: Array, limit: float
) -> None:
    assert relative(op(x), reference(x)) < limit


@pytest.mark.parametrize(
    ("op", "reference"), [(ops.lgamma, scipy.special.gammaln), (ops.digamma, scipy.special.digamma)]
)
def test_gamma_functions_absolutely(op: Any, reference: Any) -> None:
    """Both have zeros, where only the absolute error is small; elsewhere it is relative."""
    x = np.concatenate([POSITIVE, RNG.uniform(-20, 0, 20000)])
    wanted = reference(x)
    off_the_poles = np.abs(x - np.rint(x)) > 1e-3
    keep = (x > 0) | off_the_poles
    assert np.max(np.abs(op(x) - wanted)[keep] / np.maximum(np.abs(wanted), 1)[keep]) < 1e-12
    assert np.max(np.abs(op(POSITIVE) - reference(POSITIVE)) / np.maximum(np.abs(reference(POSITIVE)), 1)) < 3e-15


@pytest.mark.parametrize(
    ("op", "x", "wanted"),
    [  # 40-digit values of mpmath 1.3, rounded
        (ops.lgamma, 1.9999999999999984, -6.571388645880175e-16),
        (ops.lgamma, 1.00001, -5.7720744027504825e-06),
        (ops.lgamma, 0.99999, 5.772238896093089e-06),
        (ops.digamma, -6.999987623265476, -80794.74036453606),
        (ops.erfc, 26.4, 4.4017768588035426e-305),
        (ops.erfc, 10.3, 4.5947618530992265e-48),
        (ops.erfinv, 0.9999999999999999, 5.8635847487551676),
    ],
)
def test_where_scipy_is_not_exact(op: Any, x: float, wanted: float) -> None:
    assert relative(op(np.array([x])), np.array([wanted])) < 4e-16


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", ["erf", "erfc", "erfinv", "lgamma", "digamma"])
def test_narrow_dtypes_are_rounded_once(name: str, dtype: Any) -> None:
    x = (UNIT if name == "erfinv" else RNG.uniform(0.1, 5, 2000)).astype(dtype)
    x = x[np.abs(x) < 1]
    wide = getattr(ops, name)(x.astype(np.float64))
    found = getattr(ops, name)(x)
    assert found.dtype == dtype
    off = np.abs(found.astype(np.float64) - wide) / np.spacing(np.abs(wide.astype(dtype))).astype(np.float64)
    assert np.max(off) < 0.51  # half a unit in the last place is rounding, the rest is all the error there may be


def test_edges() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([0.0, -0.0, 1.0, -1.0, -2.0, inf, -inf, nan])
    np.testing.assert_array_equal(ops.erf(x)[[0, 1, 5, 6, 7]], [0, -0.0, 1, -1, nan])
    assert np.signbit(ops.erf(x)[1])
    np.testing.assert_array_equal(ops.erfc(x)[[0, 5, 6, 7]], [1, 0, 2, nan])
    np.testing.assert_array_equal(ops.erfcx(x)[[0, 5, 6, 7]], [1, 0, inf, nan])
    np.testing.assert_array_equal(ops.erfinv(x), [0, -0.0, inf, -inf, nan, nan, nan, nan])
    np.testing.assert_array_equal(ops.lgamma(x), [inf, inf, 0, inf, inf, inf, inf, nan])
    np.testing.assert_array_equal(ops.digamma(x)[[0, 1, 3, 4, 5, 6, 7]], [-inf, inf, nan, nan, inf, nan, nan])
    np.testing.assert_array_equal(ops.ndtri(np.array([0.0, 0.5, 1.0, 2.0])), [-inf, 0, inf, nan])


def test_strided_and_large_inputs_go_through_blocks() -> None:
    x = RNG.normal(size=(400, 500))
    for view in (x.T, x[::-2, ::3], x[:0]):
        np.testing.assert_allclose(ops.erf(view), scipy.special.erf(view), rtol=1e-15)


def test_functions_under_special() -> None:
    s = allgrad.special
    x = np.linspace(-30, 5, 200)
    t = allgrad.from_numpy(x)
    np.testing.assert_allclose(s.ndtr(t).numpy(), scipy.special.ndtr(x), rtol=3e-14)
    np.testing.assert_allclose(s.log_ndtr(t).numpy(), scipy.special.log_ndtr(x), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(
        s.multigammaln(t + 40, 3).numpy(), [scipy.special.multigammaln(v, 3) for v in x + 40], rtol=1e-14
    )
    np.testing.assert_allclose(s.xlog1py(2.0, t.abs()).numpy(), scipy.special.xlog1py(2.0, np.abs(x)), rtol=1e-15)
    with pytest.raises(RuntimeError, match="negative n"):
        s.polygamma(-1, t)
    with pytest.raises(RuntimeError, match="greater than or equal to 1"):
        s.multigammaln(t, 0)


def test_gradient_of_log_ndtr_far_out() -> None:
    """The hazard of the normal distribution: about -x at -x far below 0."""
    x = allgrad.tensor([-100.0, -40.0, 0.0, 3.0], dtype=allgrad.float64, requires_grad=True)
    allgrad.special.log_ndtr(x).sum().backward()
    v = x.detach().numpy()
    wanted = np.exp(-v * v / 2 - scipy.special.log_ndtr(v)) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu_is_the_normal_distribution(dtype: str) -> None:
    x = np.linspace(-12, 12, 40001).astype(dtype)
    t = allgrad.from_numpy(x).requires_grad_()
    y = allgrad.nn.functional.gelu(t)
    y.sum().backward()
    wide = x.astype(np.float64)
    value = wide * scipy.special.ndtr(wide)
    slope = scipy.special.ndtr(wide) + wide * np.exp(-wide * wide / 2) / np.sqrt(2 * np.pi)
    limit = 4e-7 if dtype == "float32" else 1e-15
    assert np.max(np.abs(y.detach().numpy() - value) / np.maximum(1, np.abs(value))) < limit
    assert np.max(np.abs(t.grad.numpy() - slope)) < limit
