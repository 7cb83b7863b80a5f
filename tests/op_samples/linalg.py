"""Samples of products and linear algebra."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from op_samples import Sample

rng = np.random.default_rng(13)
a = rng.standard_normal((3, 3)) + 2 * np.eye(3)
batch = rng.standard_normal((2, 3, 3)) + 2 * np.eye(3)
b = rng.standard_normal((3, 2))
tall = rng.standard_normal((2, 5, 3))
wide = rng.standard_normal((3, 5))
definite = batch @ batch.transpose(0, 2, 1) + np.eye(3)
symmetric = a + a.T
singular = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
big = rng.standard_normal((20, 20)) + 8 * np.eye(20)
away = np.where(np.abs(b) < 0.1, 0.5, b)


def _minors(a):
    """Cofactors by deleting rows and columns."""
    y = np.zeros_like(a)
    for *lead, i, j in np.ndindex(a.shape):
        part = np.delete(np.delete(a[tuple(lead)], i, 0), j, 1)
        y[(*lead, i, j)] = (-1) ** (i + j) * np.linalg.det(part)
    return y


def _minors_changed(g, a):
    """The derivative of the cofactors (polynomials of degree 2 for 3 by 3) in the direction g, by differences."""
    return (_minors(a + 0.5 * g) - _minors(a - 0.5 * g)) / 1.0


def _each(f, *xs):
    lead = xs[0].shape[:-2]
    return np.stack([f(*(x[i] for x in xs)) for i in np.ndindex(lead)]).reshape(
        *lead, *f(*(x[(0,) * len(lead)] for x in xs)).shape
    )


def _qr(a, complete):
    q, r = linalg.qr(a, mode="full" if complete else "economic")
    return q, r


def _triangular(a, b, upper, unit):
    return linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unit)


SAMPLES = {
    "add_matmul": [
        Sample(
            (rng.standard_normal((3, 2)), a, b), {"beta": 2.0, "alpha": -0.5}, lambda x, a, b, beta, alpha: 2 * x - 0.5 * (a @ b)
        ),
        Sample((rng.standard_normal(2), batch, tall[:, :3, :2]), {}, lambda x, a, b: x + np.einsum("bij,bjk->bik", a, b)),
        Sample((np.full((3, 2), np.nan), a, b), {"beta": 0}, lambda x, a, b, beta: a @ b, wrt=(1, 2)),
    ],
    "inv": [
        Sample((a,), reference=lambda a: linalg.inv(a)),
        Sample((batch,), reference=lambda a: _each(linalg.inv, a)),
        Sample((singular,), {"check": False}, lambda a, check: np.full((3, 3), np.inf), wrt=()),
    ],
    "solve": [
        Sample((a, b), reference=linalg.solve),
        Sample((batch, b), reference=lambda a, b: np.stack([linalg.solve(m, b) for m in a])),
    ],
    "lower_half": [Sample((batch,), reference=lambda x: x * (np.tri(3) - np.eye(3) / 2))],
    "solve_triangular": [
        Sample((a, b), {"upper": True, "unit": False}, _triangular),
        Sample((a, b), {"upper": False, "unit": True}, _triangular),
        Sample((big, rng.standard_normal((20, 2))), {"upper": False, "unit": False}, _triangular),
        Sample((big, rng.standard_normal((20, 2))), {"upper": True, "unit": False}, _triangular),
    ],
    "cholesky": [
        Sample((definite,), {"mirror": False}, lambda a, mirror: _each(lambda m: linalg.cholesky(m, lower=True), a))
    ],
    "any_singular": [
        Sample((a,), reference=lambda a: np.array(False)),
        Sample((singular,), reference=lambda a: np.array(True)),
        Sample((np.zeros((0, 3, 3)),), reference=lambda a: np.array(False)),
    ],
    "det": [
        Sample((batch,), reference=lambda a: np.array([linalg.det(m) for m in a])),
        Sample((singular,), reference=lambda a: np.array(0.0)),
        Sample((np.outer([1.0, 2, 3], [1.0, -1, 2]),), reference=lambda a: np.array(0.0), second=False),
    ],
    "cofactor": [  # its second derivative would be the third of a determinant at a singular matrix
        Sample((batch,), reference=_minors, second=False),
        Sample((singular,), reference=_minors, second=False),
    ],
    "cofactor_grad": [
        Sample((rng.standard_normal((3, 3)), a), reference=_minors_changed, wrt=(0,), second=False),
        Sample((rng.standard_normal((3, 3)), singular), reference=_minors_changed, wrt=(0,), second=False),
    ],
    "slogdet": [
        Sample((a,), reference=lambda a: (np.sign(linalg.det(a)), np.log(np.abs(linalg.det(a))))),
        Sample((-definite,), reference=lambda a: (np.full(2, -1.0), np.log([-linalg.det(m) for m in a]))),
    ],
    "quotient": [
        Sample((b, away), reference=lambda a, b: a / b),
        Sample((np.zeros(2), np.array([0.0, 1.0])), reference=lambda a, b: a, wrt=()),
    ],
    "apart": [
        Sample((b,), reference=lambda s: np.array([[[1, r[1] - r[0]], [r[0] - r[1], 1]] for r in s]), second=True)
    ],
    "qr": [
        Sample((tall[0],), {"complete": False}, _qr),
        Sample((wide,), {"complete": False}, _qr),
        Sample((a,), {"complete": False}, _qr),
    ],
    "svd": [
        Sample((tall[0],), reference=lambda a: linalg.svd(a, full_matrices=False)),
        Sample((wide,), reference=lambda a: linalg.svd(a, full_matrices=False)),
        Sample((a,), reference=linalg.svd),
        Sample((tall,)),
    ],
    "svdvals": [Sample((tall,), reference=lambda a: np.stack([linalg.svdvals(m) for m in a]))],
    "eigh": [
        Sample((symmetric,), {"lower": True, "mirror": False}, lambda a, lower, mirror: linalg.eigh(a, driver="evd")),
        Sample((symmetric,), {"lower": False, "mirror": False}),
    ],
    "eigvalsh": [
        Sample((symmetric,), {"lower": True, "mirror": False}, lambda a, lower, mirror: linalg.eigvalsh(a)),
        Sample((definite,), {"lower": False, "mirror": False}, lambda a, lower, mirror: _each(linalg.eigvalsh, a)),
    ],
    "pinv": [
        Sample((tall,), reference=lambda a: _each(linalg.pinv, a)),
        Sample((wide,), reference=linalg.pinv),
        Sample((singular,), {"rtol": 1e-10}, lambda a, rtol: linalg.pinv(a), wrt=()),
    ],
    "lstsq": [
        Sample((tall[0], rng.standard_normal((5, 2))), reference=lambda a, b: linalg.lstsq(a, b)[0]),
        Sample((wide, b), reference=lambda a, b: linalg.lstsq(a, b)[0]),
    ],
    "matrix_exp": [
        Sample((batch,), reference=lambda a: _each(linalg.expm, a)),
        Sample((5 * a,), reference=linalg.expm),
        Sample((np.zeros((2, 2)),), reference=lambda a: np.eye(2)),
    ],
}  # fmt: skip
