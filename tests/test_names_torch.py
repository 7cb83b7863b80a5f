"""Functions at PyTorch's top that few programs use: against closed forms, NumPy and, where installed, PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

import allgrad
from allgrad import nn

X = np.linspace(-3.0, 4.0, 15)


def test_differences() -> None:
    x = np.array([0.0, 0.5, 1.5, 1.75, 3.0])
    y = x**2 * 3 + 1
    (exact,) = allgrad.gradient(allgrad.tensor(y), spacing=(allgrad.tensor(x),), edge_order=2)
    np.testing.assert_allclose(exact.numpy(), 6 * x, atol=1e-12)
    field = np.random.default_rng(0).normal(size=(4, 5))
    for order in (1, 2):
        found = allgrad.gradient(allgrad.tensor(field), spacing=[0.5, 2.0], edge_order=order)
        for a, b in zip(found, np.gradient(field, 0.5, 2.0, edge_order=order)):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-12)
    assert len(allgrad.gradient(allgrad.tensor(field), dim=1)) == 1
    leaf = allgrad.tensor(field, requires_grad=True)
    assert allgrad.autograd.gradcheck(lambda v: allgrad.gradient(v, dim=0)[0], (leaf,))
    with pytest.raises(RuntimeError, match="edge_order"):
        allgrad.gradient(allgrad.ones(3), edge_order=3)


def test_mantissa_and_exponent() -> None:
    found = allgrad.frexp(allgrad.tensor(X))
    mantissa, exponent = np.frexp(X)
    np.testing.assert_array_equal(found.mantissa.numpy(), mantissa)
    np.testing.assert_array_equal(found.exponent.numpy(), exponent)
    assert found.exponent.dtype is allgrad.int32


def test_range_includes_its_end() -> None:
    assert allgrad.range(1, 4).tolist() == [1, 2, 3, 4]
    assert allgrad.range(0, 1, 0.5).tolist() == [0, 0.5, 1]
    with pytest.raises(RuntimeError, match="inconsistent"):
        allgrad.range(1, 0)


@pytest.mark.parametrize("shape", [(20, 12), (12, 20)])
def test_low_rank(shape: tuple[int, int]) -> None:
    allgrad.manual_seed(0)
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(shape[0], 3)) @ rng.normal(size=(3, shape[1]))
    u, s, v = allgrad.svd_lowrank(allgrad.tensor(matrix), q=4)
    np.testing.assert_allclose((u * s @ v.mT).numpy(), matrix, atol=1e-9)
    np.testing.assert_allclose(s.numpy()[:3], np.linalg.svd(matrix)[1][:3], rtol=1e-9)
    u, s, v = allgrad.pca_lowrank(allgrad.tensor(matrix), q=3)
    centered = matrix - matrix.mean(0)
    np.testing.assert_allclose(s.numpy(), np.linalg.svd(centered)[1][:3], rtol=1e-6)
    assert (tuple(u.shape), tuple(v.shape)) == ((shape[0], 3), (shape[1], 3))


def test_householder() -> None:
    matrix = np.random.default_rng(2).normal(size=(5, 3))
    h, tau = np.linalg.qr(matrix, mode="raw")
    found = allgrad.linalg.householder_product(allgrad.tensor(h.T.copy()), allgrad.tensor(tau))
    np.testing.assert_allclose(found.numpy(), np.linalg.qr(matrix)[0], atol=1e-12)


def test_special_functions_and_methods() -> None:
    x = allgrad.tensor(X)
    np.testing.assert_allclose(x.i0().numpy(), special.i0(X), rtol=1e-13)
    np.testing.assert_allclose(allgrad.special.i1e(x).numpy(), special.i1e(X), rtol=1e-13)
    a = allgrad.tensor(np.abs(X) + 0.5)
    np.testing.assert_allclose(a.igamma(a + 1).numpy(), special.gammainc(np.abs(X) + 0.5, np.abs(X) + 1.5), rtol=1e-12)
    edges = (np.array([0.0, 1.0, 1.0, 0.0, -1.0, 2.0]), np.array([1.0, 0.0, np.inf, 0.0, 1.0, -1.0]))
    np.testing.assert_array_equal(
        allgrad.igammac(*[allgrad.tensor(e) for e in edges]).numpy(), special.gammaincc(*edges)
    )
    y = x.clone()
    assert y.i0_() is y and y.equal(x.i0())


@pytest.mark.parametrize("name", ["t", "u", "v", "w"])
def test_chebyshev_polynomials_are_cosines(name: str) -> None:
    t = np.linspace(0.1, 3.0, 9)
    for n in range(7):
        forms = {
            "t": np.cos(n * t),
            "u": np.sin((n + 1) * t) / np.sin(t),
            "v": np.cos((n + 0.5) * t) / np.cos(t / 2),
            "w": np.sin((n + 0.5) * t) / np.sin(t / 2),
        }
        whole = getattr(allgrad.special, f"chebyshev_polynomial_{name}")
        shifted = getattr(allgrad.special, f"shifted_chebyshev_polynomial_{name}")
        np.testing.assert_allclose(whole(allgrad.tensor(np.cos(t)), n).numpy(), forms[name], atol=1e-11)
        half = allgrad.tensor((np.cos(t) + 1) / 2)
        np.testing.assert_allclose(shifted(half, n).numpy(), forms[name], atol=1e-11)


def test_cells_are_those_of_the_modules() -> None:
    allgrad.manual_seed(3)
    x, h, c = allgrad.randn(2, 3), allgrad.randn(2, 4), allgrad.randn(2, 4)
    for kind, cell, state in (
        (nn.LSTMCell, allgrad.lstm_cell, (h, c)),
        (nn.GRUCell, allgrad.gru_cell, h),
        (nn.RNNCell, allgrad.rnn_tanh_cell, h),
        (lambda *a: nn.RNNCell(*a, nonlinearity="relu"), allgrad.rnn_relu_cell, h),
    ):
        m: Any = kind(3, 4)
        expected = m(x, state)
        found = cell(x, state, m.weight_ih, m.weight_hh, m.bias_ih, m.bias_hh)
        for a, b in zip(found, expected):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)


def test_storage_and_shapes() -> None:
    x = allgrad.zeros(3, 4)
    assert x.untyped_storage().nbytes() == 48 and len(x.storage()) == 12
    assert x[1:].storage().data_ptr() == x.untyped_storage().data_ptr() == x.data_ptr()
    assert x.clone().untyped_storage().data_ptr() != x.data_ptr()
    assert x.is_cpu and not x.is_xpu and x.is_set_to(x.detach()) and not x.is_set_to(x[:2])
    assert type(allgrad.broadcast_shapes((2, 1), (3,))) is allgrad.Size
    assert allgrad.constant_pad_nd(allgrad.ones(2), (1, 0), 7).tolist() == [7, 1, 1]


def test_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    calls: list[Any] = [
        lambda t, x: t.frexp(x),
        lambda t, x: t.gradient(x, spacing=0.5),
        lambda t, x: (t.binary_cross_entropy_with_logits(x, x.sigmoid(), None, None, 2),),
        lambda t, x: (t.constant_pad_nd(x, (2, 1), 3.0),),
        lambda t, x: (t.special.modified_bessel_k0(x), t.special.bessel_y1(x), t.special.i0e(x)),
        lambda t, x: (t.special.legendre_polynomial_p(x, 3), t.special.hermite_polynomial_h(x, 4)),
        lambda t, x: (t.special.laguerre_polynomial_l(x, 5), t.special.spherical_bessel_j0(x)),
        lambda t, x: (t.igamma(x.abs() + 0.1, x.abs()), t.igammac(x.abs() + 0.1, x.abs())),
        lambda t, x: (t.celu_(x.clone()), t.selu_(x.clone()), t.threshold_(x.clone(), 0.5, 1.0)),
    ]
    for call in calls:
        for kind in ("float32", "float64"):
            found = call(allgrad, allgrad.tensor(X, dtype=getattr(allgrad, kind)))
            wanted = call(torch, torch.tensor(X, dtype=getattr(torch, kind)))
            for a, b in zip(found, wanted):
                assert str(a.dtype).split(".")[-1] == str(b.dtype).split(".")[-1]
                rtol = 1e-5 if kind == "float32" else 1e-9
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=rtol)
