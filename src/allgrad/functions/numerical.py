"""Numerical differences, mantissa and exponent, and factorizations of low rank."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.creation import tensor
from allgrad.functions.creation_ranges import arange
from allgrad.functions.joining import cat
from allgrad.functions.linalg_factor import qr, svd
from allgrad.functions.return_types import _Shown
from allgrad.random import default_generator


def gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> list[Any]:
    """Derivatives of a sampled function along ``dim`` (all of them if None): central differences, ``edge_order`` at the ends.

    ``spacing`` is a distance, one for each dimension, or the coordinates along each as Tensors.
    """
    if edge_order not in (1, 2):
        raise ArgumentError(f"torch.gradient only supports edge_order=1 and edge_order=2, found {edge_order}")
    if dim is None and isinstance(spacing, (list, tuple)):
        dims = list(np.arange(input.dim()))
    else:
        dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(steps) != len(dims):
        raise ArgumentError(
            f"torch.gradient expected spacing to be one for each of {len(dims)} dims, found {len(steps)}"
        )
    return [_along(input, int(d), step, edge_order) for d, step in zip(dims, steps)]


def _along(input: Any, dim: int, spacing: Any, edge_order: int) -> Any:
    n = input.shape[dim]
    if n < edge_order + 1:
        raise ArgumentError(f"torch.gradient expected each dimension size to be at least edge_order+1, found {n}")
    kind = input._a.dtype if input._a.dtype.kind == "f" else np.dtype(np.float32)
    places = np.arange(n) * float(spacing) if not isinstance(spacing, Variable) else np.asarray(spacing._a, np.float64)
    if places.shape != (n,):
        raise ArgumentError(f"torch.gradient expected {n} coordinates along dim {dim}, found shape {places.shape}")
    weights = np.zeros((n, n))
    gaps = np.diff(places)
    left, right = gaps[:-1], gaps[1:]
    rows = np.arange(1, n - 1)
    weights[rows, rows - 1] = -right / (left * (left + right))
    weights[rows, rows] = (right - left) / (left * right)
    weights[rows, rows + 1] = left / (right * (left + right))
    if edge_order == 1:
        weights[0, :2] = np.array([-1, 1]) / gaps[0]
        weights[-1, -2:] = np.array([-1, 1]) / gaps[-1]
    else:
        weights[0, :3] = _end(gaps[0], gaps[1])
        weights[-1, -3:] = -_end(gaps[-1], gaps[-2])[::-1]
    # One difference is a product with a matrix of three diagonals; only its nonzero terms are added up.
    moved = input.movedim(dim, -1)
    width = min(3, n)
    first = (moved[..., :width] * wrap(weights[0, :width].astype(kind))).sum(-1, keepdim=True)
    last = (moved[..., n - width :] * wrap(weights[-1, n - width :].astype(kind))).sum(-1, keepdim=True)
    middle = []
    if n > 2:
        columns = [wrap(weights[rows, rows + k].astype(kind)) for k in (-1, 0, 1)]
        middle = [moved[..., :-2] * columns[0] + moved[..., 1:-1] * columns[1] + moved[..., 2:] * columns[2]]
    return cat([first, *middle, last], -1).movedim(-1, dim)


def _end(near: float, next_gap: float) -> Any:
    """Weights of the second-order difference at an end: near gap first."""
    both = near + next_gap
    return np.array([-(2 * near + next_gap) / (near * both), both / (near * next_gap), -near / (both * next_gap)])


class _MantissaExponent(NamedTuple):
    mantissa: Any
    exponent: Any


class frexp_result(_Shown, _MantissaExponent):
    """Of ``frexp(input)``."""


def frexp(input: Any, *, out: Any = None) -> frexp_result:
    """``input = mantissa * 2**exponent``, the mantissa from 1/2 to 1, the exponent int32."""
    if input._a.dtype.kind != "f":
        raise DtypeError(f"torch.frexp() only supports floating-point dtypes, found {input.dtype}")
    exponent = np.frexp(input._a)[1].astype(np.int32)
    # The power of two is constant, so the gradient of the mantissa is one over it.
    found = frexp_result(input * wrap(np.ldexp(np.ones_like(input._a), -exponent)), wrap(exponent))
    if out is None:
        return found
    for target, value in zip(out, found):
        target.copy_(value)
    return frexp_result(*out)


def range_(start: Any = 0, end: Any = None, step: Any = 1, **settings: Any) -> Any:
    """The numbers from ``start`` to ``end``, both included, in steps; floating point, as in PyTorch."""
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(f"upper bound and lower bound inconsistent with step sign: range({start}, {end}, {step})")
    count = int((end - start) / step) + 1
    kind = settings.pop("dtype", None) or tensor(0.0).dtype
    return arange(count, dtype=kind, **settings) * step + start


def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> tuple[Any, Any, Any]:
    """U, S, V of ``A - M`` to rank ``q``, by a random range finder (Halko et al. 2011): (..., m, n)."""
    matrix = A if M is None else A - M
    rank = 6 if q is None else q
    if not 0 <= rank <= min(matrix.shape[-2:]):
        raise ArgumentError(
            f"q(={rank}) must be non-negative integer and not greater than min(m, n)={min(matrix.shape[-2:])}"
        )
    wide = matrix.shape[-2] < matrix.shape[-1]
    tall = matrix.mT if wide else matrix
    noise = wrap(default_generator().normal((tall.shape[-1], rank), tall._a.dtype))
    basis = qr(tall @ noise)[0]
    for _ in range(2 if niter is None else niter):
        basis = qr(tall @ qr(tall.mT @ basis)[0])[0]
    u, s, vh = svd(basis.mT @ tall, full_matrices=False)
    left, right = basis @ u, vh.mT
    return (right, s, left) if wide else (left, s, right)


def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> tuple[Any, Any, Any]:
    """U, S, V of the rows of ``A`` less their mean: the principal directions are the columns of V."""
    rank = min(6, *A.shape[-2:]) if q is None else q
    return svd_lowrank(A - A.mean(-2, keepdim=True) if center else A, rank, niter)


def householder_product(A: Any, tau: Any, *, out: Any = None) -> Any:
    """The first columns of the product of the reflections ``I - tau_i v_i v_i^T``, v_i below the diagonal of ``A``."""
    m, n = A.shape[-2:]
    if n > m or tau.shape[-1] > n:
        raise ArgumentError(
            f"householder_product needs m >= n >= k, found A {tuple(A.shape)} and tau {tuple(tau.shape)}"
        )
    result = wrap(np.broadcast_to(np.eye(m, n, dtype=A._a.dtype), tuple(A.shape)).copy())
    for i in range(tau.shape[-1] - 1, -1, -1):
        one = wrap(np.eye(m, dtype=A._a.dtype)[:, i])
        below = wrap((np.arange(m) > i).astype(A._a.dtype))
        v = (A[..., :, i] * below + one).unsqueeze(-1)
        result = result - tau[..., i].unsqueeze(-1).unsqueeze(-1) * (v @ (v.mT @ result))
    if out is None:
        return result
    return out.copy_(result)
