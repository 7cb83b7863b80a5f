"""Products and linear algebra by closed forms and SciPy: what the sweep against PyTorch cannot see without PyTorch."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import linalg as sla

import allgrad as ag
from allgrad.errors import LinAlgError, UnsupportedError

R = np.random.default_rng(8)


def real(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


def test_a_transposed_operand_is_not_copied_and_a_product_is_right_for_every_memory_order() -> None:
    for shape_a, shape_b in (((4, 5), (5, 6)), ((2, 4, 5), (5, 6)), ((2, 4, 5), (2, 5, 6)), ((3, 1, 4, 5), (2, 5, 6))):
        a, b = real(*shape_a), real(*shape_b)
        for x in (a, np.asfortranarray(a), np.swapaxes(np.swapaxes(a, -1, -2).copy(), -1, -2), a[..., ::-1]):
            for y in (b, np.asfortranarray(b), np.swapaxes(np.swapaxes(b, -1, -2).copy(), -1, -2), b[..., ::-1, :]):
                np.testing.assert_allclose(
                    (ag.from_numpy(x) @ ag.from_numpy(y)).numpy(), np.einsum("...ij,...jk->...ik", x, y), rtol=1e-12
                )


@pytest.mark.parametrize(
    "equation",
    ["ij,jk->ik", "bij,bkj->bik", "bhid,bhjd->bhij", "ijk,kl,lm->mij", "aab,b->a", "i,j,ij->", "...ij,j->...i"],
)
def test_einsum_against_numpy(equation: str) -> None:
    sizes = dict(zip("abcdhijklm", (2, 3, 4, 5, 2, 3, 4, 5, 2, 3)))
    arrays = [
        real(*((2, 3) if "." in t else ()), *(sizes[c] for c in t if c != "."))
        for t in equation.split("->")[0].split(",")
    ]
    found = ag.einsum(equation, *map(ag.from_numpy, arrays)).numpy()
    np.testing.assert_allclose(found, np.einsum(equation, *arrays), rtol=1e-12)


def test_multi_dot_takes_the_cheap_order() -> None:
    sizes = [40, 1, 40, 1, 40]
    parts = [ag.from_numpy(real(a, b)) for a, b in itertools.pairwise(sizes)]
    found = ag.linalg.multi_dot(parts)
    np.testing.assert_allclose(found.numpy(), np.linalg.multi_dot([p.numpy() for p in parts]), rtol=1e-12)


def test_factorizations_make_the_matrix_again() -> None:
    for shape in ((4, 4), (6, 3), (3, 6), (2, 5, 3)):
        a = ag.from_numpy(real(*shape))
        u, s, vh = ag.linalg.svd(a, full_matrices=False)
        np.testing.assert_allclose(((u * s.unsqueeze(-2)) @ vh).numpy(), a.numpy(), atol=1e-12)
        q, r = ag.linalg.qr(a)
        np.testing.assert_allclose((q @ r).numpy(), a.numpy(), atol=1e-12)
        full_u, _, full_vh = ag.linalg.svd(a)
        for m in (full_u, full_vh):
            np.testing.assert_allclose((m @ m.mT).numpy(), np.broadcast_to(np.eye(m.shape[-1]), m.shape), atol=1e-12)
    c = real(4, 4)
    spd = ag.from_numpy(c @ c.T + np.eye(4))
    low = ag.linalg.cholesky(spd)
    np.testing.assert_allclose((low @ low.T).numpy(), spd.numpy(), atol=1e-12)
    values, vectors = ag.linalg.eigh(spd)
    np.testing.assert_allclose(((vectors * values) @ vectors.T).numpy(), spd.numpy(), atol=1e-12)


def test_closed_form_gradients() -> None:
    a = ag.from_numpy(real(3, 3)).requires_grad_()
    (g,) = ag.autograd.grad(ag.logdet(a @ a.T), a)
    np.testing.assert_allclose(g.numpy(), 2 * np.linalg.inv(a.detach().numpy()).T, rtol=1e-9)
    (g,) = ag.autograd.grad(ag.trace(ag.linalg.inv(a)), a)
    inverse = np.linalg.inv(a.detach().numpy())
    np.testing.assert_allclose(g.numpy(), -(inverse @ inverse).T, rtol=1e-9)
    (g,) = ag.autograd.grad(ag.linalg.svdvals(a).sum(), a)
    u, _, vh = np.linalg.svd(a.detach().numpy())
    np.testing.assert_allclose(g.numpy(), u @ vh, atol=1e-10)
    (g,) = ag.autograd.grad(ag.trace(ag.linalg.matrix_exp(a)), a)
    np.testing.assert_allclose(g.numpy(), sla.expm(a.detach().numpy()).T, rtol=1e-9, atol=1e-12)


def test_the_determinant_of_a_singular_matrix_has_exact_derivatives() -> None:
    x = ag.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=ag.float64, requires_grad=True)
    (g,) = ag.autograd.grad(ag.det(x), x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), [[4.0, -2.0], [-2.0, 1.0]], atol=1e-12)
    # det = ad - bc: the derivative of d det / da = d in d is 1.
    (h,) = ag.autograd.grad(g[0, 0], x)
    np.testing.assert_allclose(h.numpy(), [[0.0, 0.0], [0.0, 1.0]], atol=1e-12)


def test_least_squares_against_scipy() -> None:
    a, b = real(8, 3), real(8, 2)
    found = ag.linalg.lstsq(ag.from_numpy(a), ag.from_numpy(b), driver="gelsd")
    x, residuals, rank, s = sla.lstsq(a, b)
    np.testing.assert_allclose(found.solution.numpy(), x, rtol=1e-10)
    np.testing.assert_allclose(found.residuals.numpy(), residuals, rtol=1e-10)
    assert found.rank.item() == rank
    np.testing.assert_allclose(found.singular_values.numpy(), s, rtol=1e-10)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 33, 100])
@pytest.mark.parametrize("upper", [False, True])
def test_substitution_against_scipy(n: int, upper: bool) -> None:
    a, b = real(n, n) + 4 * math.sqrt(n) * np.eye(n), real(n, 3)
    found = ag.linalg.solve_triangular(ag.from_numpy(a), ag.from_numpy(b), upper=upper).numpy()
    np.testing.assert_allclose(found, sla.solve_triangular(a, b, lower=not upper), rtol=1e-9)


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"):
        ag.ones(2, 3) @ ag.ones(4, 5)
    with pytest.raises(RuntimeError, match="expected m1 and m2 to have the same dtype, but got: float != double"):
        ag.ones(2, 2) @ ag.ones(2, 2, dtype=ag.float64)
    with pytest.raises(LinAlgError, match=r"\(Batch element 1\).*singular"):
        ag.linalg.inv(ag.stack([ag.eye(2), ag.zeros(2, 2)]))
    with pytest.raises(LinAlgError, match="leading minor of order 2"):
        ag.linalg.cholesky(ag.tensor([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(UnsupportedError, match="complex"):
        ag.linalg.eig(ag.eye(2))
    with pytest.raises(ag.linalg.LinAlgError):
        ag.linalg.solve(ag.zeros(2, 2), ag.ones(2))
    assert issubclass(LinAlgError, RuntimeError)


def test_in_place_products_are_recorded() -> None:
    x, a, b = (ag.from_numpy(real(3, 3)).requires_grad_() for _ in range(3))
    y = x * 1
    assert y.addmm_(a, b, beta=2, alpha=3) is y
    expected = 2 * x.detach().numpy() + 3 * a.detach().numpy() @ b.detach().numpy()
    np.testing.assert_allclose(y.detach().numpy(), expected)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full((3, 3), 2.0))
    np.testing.assert_allclose(a.grad.numpy(), 3 * np.ones((3, 3)) @ b.detach().numpy().T)


def test_products_of_halves_are_summed_in_float32() -> None:
    x = ag.full((1, 4096), 1.0, dtype=ag.float16)
    y = x @ ag.full((4096, 1), 1.0, dtype=ag.float16)
    assert y.dtype is ag.float16 and y.item() == 4096


def test_einsum_broadcasts_lengths_of_one() -> None:
    a, b = real(2, 1), real(3, 4)
    found = ag.einsum("ij,jk->ik", ag.from_numpy(a), ag.from_numpy(b)).numpy()
    np.testing.assert_allclose(found, a @ np.ones((1, 3)) @ b, rtol=1e-12)
    with pytest.raises(RuntimeError, match="does not broadcast"):
        ag.einsum("ij,jk->ik", ag.ones(2, 2), ag.ones(3, 4))
