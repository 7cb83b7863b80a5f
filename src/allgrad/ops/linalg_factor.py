"""QR, singular values, symmetric eigenvalues, and what is made of them: (..., m, n).

The vectors of SVD and eigh are fixed up to signs (and rotations where values are equal), so only functions that
do not notice have a derivative.  Quotients of 0 by 0 count as 0: equal values do no harm to such functions.
Formulas: Townsend, "Differentiating the singular value decomposition" (2016); Roberts and Roberts, "QR and LQ
decomposition matrix backpropagation algorithms" (2020).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.errors import LinAlgError
from allgrad.ops.layout import diagonal, diagonal_place, tril
from allgrad.ops.linalg import solve_triangular, to_read_triangle, turned
from allgrad.ops.matmul import matmul
from allgrad.ops.op import op
from allgrad.ops.reduce import sum_
from allgrad.ops.shape import cat, reshape, slice_

Array = Any


@op
def quotient(a: Array, b: Array) -> Array:
    """``a / b``, and 0 where a is 0, whatever b is."""
    a, b = np.broadcast_arrays(a, b)
    y = np.zeros(a.shape, a.dtype)
    np.true_divide(a, b, out=y, where=a != 0)
    return y


quotient.pull(a=lambda g, b: quotient(g, b), b=lambda g, b, out: -quotient(g * out, b))


@op
def apart(s: Array) -> Array:
    """``y[i, j] = s[j] - s[i]``, and 1 on the diagonal."""
    y = s[..., None, :] - s[..., :, None]
    n = np.arange(s.shape[-1])
    y[..., n, n] = 1
    return y


apart.pull(s=lambda g: sum_(g, dim=-2) - sum_(g, dim=-1))


def _column(s: Array) -> Array:
    return reshape(s, shape=(*s.shape, 1))


def _row(s: Array) -> Array:
    return reshape(s, shape=(*s.shape[:-1], 1, s.shape[-1]))


def _diagonal(s: Array) -> Array:
    n = s.shape[-1]
    return diagonal_place(s, shape=(*s.shape, n), offset=0, dim1=len(s.shape) - 1, dim2=len(s.shape))


def _part(x: Array, rows: slice, columns: slice) -> Array:
    return slice_(x, index=(Ellipsis, rows, columns))


@op(multi=True)
def qr(a: Array, *, complete: bool = False) -> tuple[Array, Array]:
    """``a = q @ r`` with orthonormal columns in q and r upper triangular; all columns of q if ``complete``."""
    found = np.linalg.qr(a, mode="complete" if complete else "reduced")
    return found[0], found[1]


@qr.pull_all
def _qr(gs: Any, out: Any) -> Any:
    gq, gr = gs
    q, r = out
    m, n = q.shape[-1], r.shape[-1]
    if n <= m:
        return (_qr_tall(gq, gr, q, r),)
    # Wide: a = [x | y], r = [u | v] with x = q u and v = qT y.
    left, right = slice(0, m), slice(m, n)
    every = slice(None)
    y = matmul(q, _part(r, every, right))
    gv = _part(gr, every, right)
    gx = _qr_tall(gq + matmul(y, turned(gv)), _part(gr, every, left), q, _part(r, every, left))
    return (cat(gx, matmul(q, gv), dim=-1),)


def _qr_tall(gq: Array, gr: Array, q: Array, r: Array) -> Array:
    inner = matmul(r, turned(gr)) - matmul(turned(gq), q)
    mirrored = tril(inner) + turned(tril(inner, diagonal=-1))
    return turned(solve_triangular(r, turned(gq + matmul(q, mirrored)), upper=True))


def _converged(call: Any, name: str) -> Any:
    try:
        return call()
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{name}: the algorithm failed to converge; are there nan or inf in the input?") from error


@op(multi=True)
def svd(a: Array) -> tuple[Array, Array, Array]:
    """``a = u @ diag(s) @ vh`` with k = min(m, n) singular values, largest first."""
    u, s, vh = _converged(lambda: np.linalg.svd(a, full_matrices=False), "linalg.svd")
    return u, s, vh


@svd.pull_all
def _svd(gs: Any, out: Any) -> Any:
    gu, g, gvh = gs
    u, s, vh = out
    m, n, k = u.shape[-2], vh.shape[-1], s.shape[-1]
    a, b = matmul(turned(u), gu), matmul(vh, turned(gvh))
    gap = apart(s * s)
    inner = quotient(a - turned(a), gap) * _row(s) + _column(s) * quotient(b - turned(b), gap) + _diagonal(g)
    found = matmul(u, matmul(inner, vh))
    if m > k:
        found = found + matmul(quotient(gu - matmul(u, a), _row(s)), vh)
    if n > k:
        found = found + matmul(u, quotient(gvh - matmul(turned(b), vh), _column(s)))
    return (found,)


@op
def svdvals(a: Array) -> Array:
    """The singular values, largest first: (..., m, n) -> (..., min(m, n))."""
    return _converged(lambda: np.linalg.svd(a, compute_uv=False), "linalg.svdvals")


def _svdvals_a(g: Array, a: Array) -> Array:
    u, _, vh = svd(a)
    return matmul(u * _row(g), vh)


svdvals.pull(a=_svdvals_a)


@op(multi=True)
def eigh(a: Array, *, lower: bool = True, mirror: bool = True) -> tuple[Array, Array]:
    """Eigenvalues in ascending order and orthonormal eigenvectors of a symmetric matrix, of which one triangle is read.

    With ``mirror`` the gradient goes to both triangles alike, else to the one that was read.
    """
    values, vectors = _converged(lambda: np.linalg.eigh(a, "L" if lower else "U"), "linalg.eigh")
    return values, vectors


@eigh.pull_all
def _eigh(gs: Any, out: Any, *, lower: bool, mirror: bool) -> Any:
    g, gv = gs
    values, v = out
    inner = matmul(turned(v), gv)
    off = inner - _diagonal(diagonal(inner, offset=0, dim1=len(inner.shape) - 2, dim2=len(inner.shape) - 1))
    found = matmul(v, matmul(quotient(off, apart(values)) + _diagonal(g), turned(v)))
    return (found if mirror else to_read_triangle(found, mirror, lower),)


@op
def eigvalsh(a: Array, *, lower: bool = True, mirror: bool = True) -> Array:
    """The eigenvalues of a symmetric matrix in ascending order; ``lower`` and ``mirror`` as for ``eigh``."""
    return _converged(lambda: np.linalg.eigvalsh(a, "L" if lower else "U"), "linalg.eigvalsh")


def _eigvalsh_a(g: Array, a: Array, *, lower: bool, mirror: bool) -> Array:
    _, v = eigh(a, lower=lower, mirror=mirror)
    found = matmul(v * _row(g), turned(v))
    return found if mirror else to_read_triangle(found, mirror, lower)


eigvalsh.pull(a=_eigvalsh_a)


@op
def pinv(a: Array, *, rtol: float | None = None, atol: float = 0.0, hermitian: bool = False) -> Array:
    """The pseudo-inverse; singular values up to ``max(atol, rtol * largest)`` count as 0."""
    if rtol is None:
        rtol = max(a.shape[-2:]) * float(np.finfo(a.dtype).eps) if atol <= 0 else 0.0
    u, s, vh = _converged(lambda: np.linalg.svd(a, full_matrices=False), "linalg.pinv")
    floor = np.maximum(atol, rtol * (s[..., :1] if s.shape[-1] else 0))
    inverse = np.zeros_like(s)
    np.true_divide(1, s, out=inverse, where=s > floor)
    return np.matmul(np.swapaxes(vh, -1, -2) * inverse[..., None, :], np.swapaxes(u, -1, -2))


def pinv_pull(g: Array, a: Array, p: Array) -> Array:
    """The pullback of the pseudo-inverse ``p`` of ``a``, at constant rank (Golub and Pereyra, 1973)."""
    pt, gt = turned(p), turned(g)
    tail = matmul(gt, matmul(p, pt))  # gT p pT
    head = matmul(matmul(pt, p), gt)  # pT p gT
    straight = -matmul(pt, matmul(g, pt))
    return straight + (tail - matmul(a, matmul(p, tail))) + (head - matmul(matmul(head, p), a))


pinv.pull(a=lambda g, a, out: pinv_pull(g, a, out))


@op
def lstsq(a: Array, b: Array, *, rcond: float | None = None) -> Array:
    """The least-squares solution of least norm of ``a @ x = b``: (..., m, n), (..., m, k) -> (..., n, k)."""
    return np.matmul(pinv(a, rtol=rcond), b)


def _lstsq_a(g: Array, a: Array, b: Array, *, rcond: float | None) -> Array:
    return pinv_pull(matmul(g, turned(b)), a, pinv(a, rtol=rcond))


lstsq.pull(a=_lstsq_a, b=lambda g, a, *, rcond: matmul(turned(pinv(a, rtol=rcond)), g))


@op
def matrix_exp(a: Array) -> Array:
    """The exponential of square matrices: scaled down, a Taylor sum of degree 18, squared up again."""
    if not a.size:
        return a.copy()
    size = np.abs(a).sum(axis=-2).max()
    if not np.isfinite(size):
        return np.full_like(a, np.nan)
    squarings = max(0, int(np.ceil(np.log2(max(float(size), 1e-30)))) + 1)
    x = a * a.dtype.type(0.5**squarings)
    one = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
    y = one + x / a.dtype.type(18)
    for k in range(17, 0, -1):
        y = one + np.matmul(x, y) / a.dtype.type(k)
    for _ in range(squarings):
        y = np.matmul(y, y)
    return y


def _matrix_exp_a(g: Array, a: Array) -> Array:
    # exp [[aT, g], [0, aT]] has the derivative of exp at aT in the direction g in its corner.
    n = a.shape[-1]
    at = turned(a)
    block = cat(cat(at, g, dim=-1), cat(at * 0, at, dim=-1), dim=-2)
    return _part(matrix_exp(block), slice(0, n), slice(n, 2 * n))


matrix_exp.pull(a=_matrix_exp_a)
