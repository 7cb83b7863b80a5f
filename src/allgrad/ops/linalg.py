"""Inverse, solve, determinant, Cholesky: of one matrix or a batch, (..., n, n)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.errors import LinAlgError
from allgrad.ops.layout import tril, triu
from allgrad.ops.matmul import matmul
from allgrad.ops.op import op
from allgrad.ops.shape import reshape, transpose

Array = Any


def turned(x: Array) -> Array:
    """The transposed matrices."""
    return transpose(x, dim0=-1, dim1=-2)


def by_matrix(s: Array, x: Array) -> Array:
    """One number per matrix, shaped to scale the matrices ``x``."""
    return reshape(s, shape=(*x.shape[:-2], 1, 1))


def first_singular(a: Array) -> str:
    """Where a batch of matrices is exactly singular, in words."""
    where = [i for i in np.ndindex(a.shape[:-2]) if np.linalg.matrix_rank(a[i]) < a.shape[-1]]
    return f"(Batch element {where[0][0]}): " if where and where[0] else ""


@op
def inv(a: Array, *, check: bool = True) -> Array:
    """The inverse; LinAlgError for a singular matrix, or inf in its place unless ``check``."""
    try:
        return np.linalg.inv(a)
    except np.linalg.LinAlgError:
        if check:
            raise LinAlgError(
                f"linalg.inv: {first_singular(a)}The inversion could not be completed because the input matrix is "
                "singular. Try pinv, or add a small multiple of the identity"
            ) from None
    y = np.full(a.shape, np.inf, a.dtype)
    for i in np.ndindex(a.shape[:-2]):
        if np.linalg.slogdet(a[i])[0] != 0:
            y[i] = np.linalg.inv(a[i])
    return y


inv.pull(a=lambda g, out: -matmul(turned(out), matmul(g, turned(out))))


@op
def solve(a: Array, b: Array) -> Array:
    """``x`` with ``a @ x = b``: (..., n, n), (..., n, k) -> (..., n, k)."""
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"torch.linalg.solve: {first_singular(a)}The solver failed because the input matrix is singular. "
            "Try lstsq, or add a small multiple of the identity"
        ) from None


solve.pull(
    a=lambda g, a, out: -matmul(solve(turned(a), g), turned(out)),
    b=lambda g, a: solve(turned(a), g),
)


@op
def lower_half(x: Array) -> Array:
    """The lower triangle with its diagonal halved."""
    y = np.tril(x)
    n = np.arange(min(x.shape[-2:]))
    y[..., n, n] *= x.dtype.type(0.5)
    return y


lower_half.pull(x=lambda g: lower_half(g))


@op
def solve_triangular(a: Array, b: Array, *, upper: bool, unit: bool = False) -> Array:
    """``x`` with ``a @ x = b`` by substitution; only the triangle of ``a`` is read, and no diagonal if ``unit``."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, lead + b.shape[-2:]))
    _substitute(a, x, upper, unit)
    return x


def _substitute(a: Array, x: Array, upper: bool, unit: bool) -> None:
    """Solve in place in halves: one triangle, a product, the other triangle."""
    n = a.shape[-1]
    if n <= 8:
        for k in range(n - 1, -1, -1) if upper else range(n):
            if not unit:
                x[..., k, :] /= a[..., k, k, None]
            rest = slice(0, k) if upper else slice(k + 1, n)
            x[..., rest, :] -= a[..., rest, k, None] * x[..., k, None, :]
        return
    h = n // 2
    top, bottom = slice(0, h), slice(h, n)
    first, second = (bottom, top) if upper else (top, bottom)
    _substitute(a[..., first, first], x[..., first, :], upper, unit)
    x[..., second, :] -= np.matmul(a[..., second, first], x[..., first, :])
    _substitute(a[..., second, second], x[..., second, :], upper, unit)


def _triangular_b(g: Array, a: Array, b_shape: Any, *, upper: bool, unit: bool) -> Array:
    return solve_triangular(turned(a), g, upper=not upper, unit=unit)


def _triangular_a(g: Array, a: Array, out: Array, *, upper: bool, unit: bool) -> Array:
    back = solve_triangular(turned(a), g, upper=not upper, unit=unit)
    found = -matmul(back, turned(out))
    return triu(found, diagonal=int(unit)) if upper else tril(found, diagonal=-int(unit))


solve_triangular.pull(a=_triangular_a, b=_triangular_b)


@op
def cholesky(a: Array, *, mirror: bool = True) -> Array:
    """The lower triangle L with ``L @ L.T = a``; reads the lower triangle of ``a`` only.

    With ``mirror`` the gradient is symmetric, as if both triangles had been read; else it stays in the lower one.
    """
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        for i in np.ndindex(a.shape[:-2]):
            order = first_negative_minor(a[i])
            if order:
                batch = f"(Batch element {i[0]}): " if i else ""
                raise LinAlgError(
                    f"linalg.cholesky: {batch}The factorization could not be completed because the input is not "
                    f"positive-definite (the leading minor of order {order} is not positive-definite)."
                ) from None
        raise


def first_negative_minor(a: Array) -> int:
    """Order of the first leading minor that is not positive definite, 0 if there is none."""
    for k in range(1, a.shape[-1] + 1):
        try:
            np.linalg.cholesky(a[:k, :k])
        except np.linalg.LinAlgError:
            return k
    return 0


def to_read_triangle(g: Array, mirror: bool, lower: bool = True) -> Array:
    """The gradient of a symmetric matrix of which one triangle was read: shared by both, or all to the one."""
    both = (g + turned(g)) * 0.5
    if mirror:
        return both
    return lower_half(both) * 2.0 if lower else turned(lower_half(both)) * 2.0


def _cholesky_a(g: Array, out: Array, *, mirror: bool) -> Array:
    inner = lower_half(matmul(turned(out), g))
    left = solve_triangular(turned(out), inner, upper=True)
    return to_read_triangle(turned(solve_triangular(turned(out), turned(left), upper=True)), mirror)


cholesky.pull(a=_cholesky_a)


@op
def any_singular(a: Array) -> Array:
    """Whether one of the matrices has a determinant of zero or close to it."""
    s = np.linalg.svd(a, compute_uv=False)
    return np.asarray((s[..., -1] <= s[..., 0] * np.finfo(a.dtype).eps * a.shape[-1]).any() if s.size else False)


@op
def det(a: Array) -> Array:
    """The determinant: (..., n, n) -> (...)."""
    return np.linalg.det(a)


def _det_a(g: Array, a: Array, out: Array) -> Array:
    if bool(any_singular(a)):
        return by_matrix(g, a) * cofactor(a)
    return by_matrix(g * out, a) * turned(inv(a))


det.pull(a=_det_a)


def _products_of_others(s: Array) -> Array:
    """For each place on the last axis the product of the others."""
    n = s.shape[-1]
    wide = np.repeat(s[..., None, :], n, axis=-2)
    wide[..., np.arange(n), np.arange(n)] = 1
    return wide.prod(axis=-1)


@op
def cofactor(a: Array) -> Array:
    """The matrix of cofactors, the derivative of the determinant, also where it is zero."""
    u, s, vt = np.linalg.svd(a)
    sign = np.linalg.det(u) * np.linalg.det(vt)
    return np.matmul(u * (_products_of_others(s) * sign[..., None])[..., None, :], vt)


@op
def cofactor_grad(g: Array, a: Array) -> Array:
    """The second derivative of the determinant, applied to ``g``: in the frame of the singular vectors it is sparse."""
    u, s, vt = np.linalg.svd(a)
    n = s.shape[-1]
    sign = np.linalg.det(u) * np.linalg.det(vt)
    inner = np.matmul(np.swapaxes(u, -1, -2), np.matmul(g, np.swapaxes(vt, -1, -2)))
    pair = np.zeros_like(inner)  # products of all singular values but two
    for i in range(n):
        rest = np.delete(s, i, axis=-1)
        pair[..., i, [j for j in range(n) if j != i]] = _products_of_others(rest)
    diagonal = np.einsum("...ij,...jj->...i", pair, inner)
    result = -pair * np.swapaxes(inner, -1, -2)
    result[..., np.arange(n), np.arange(n)] = diagonal
    return np.matmul(u, np.matmul(result, vt)) * sign[..., None, None]


cofactor.pull(a=lambda g, a: cofactor_grad(g, a))
# Linear and symmetric in g; the third derivative of the determinant at a singular matrix is not written.
cofactor_grad.pull(g=lambda g, a: cofactor_grad(g, a))


@op(multi=True)
def slogdet(a: Array) -> tuple[Array, Array]:
    """Sign and logarithm of the size of the determinant; the sign is a constant."""
    sign, size = np.linalg.slogdet(a)
    return sign, size


@slogdet.pull_all
def _slogdet(gs: Any, a: Array) -> Any:
    return (by_matrix(gs[1], a) * turned(inv(a, check=False)),)
