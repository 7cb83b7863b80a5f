"""QR, SVD, eigenvalues, least squares, pseudo-inverse, exponential, chains of products."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import apply, wrap
from allgrad.dtypes import float32, from_np
from allgrad.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from allgrad.functions import return_types
from allgrad.functions.dims import scalar_name, tensor_of
from allgrad.functions.linalg import matrix, turned
from allgrad.functions.matmul_outer import chain
from allgrad.functions.promote import as_tensor_like, into, to
from allgrad.ops import linalg_factor as ops
from allgrad.ops.reduce_fast import is_half
from allgrad.ops.shape import cat, reshape


def _delivered(kind: Any, found: tuple[Any, ...], out: Any) -> Any:
    return kind(*found) if out is None else kind(*(into(x, o) for x, o in zip(found, out)))


def qr(A: Any, mode: str = "reduced", *, out: Any = None) -> return_types.linalg_qr:
    """(Q, R): orthonormal columns times an upper triangle; ``mode`` is "reduced", "complete" or "r" (Q empty)."""
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    x = matrix(A, "linalg.qr")
    m, n = x._a.shape[-2:]
    complete = mode == "complete" and m > n
    if complete and x.requires_grad:
        raise UnsupportedError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols; use mode='reduced'"
        )
    q, r = apply(ops.qr, (x,), {"complete": complete})
    return _delivered(return_types.linalg_qr, (wrap(np.empty(0, x._a.dtype)) if mode == "r" else q, r), out)


def qr_of(input: Any, some: bool = True, *, out: Any = None) -> return_types.linalg_qr:
    """``torch.qr``: the older name of ``linalg.qr``."""
    return qr(input, "reduced" if some else "complete", out=out)


def svd(A: Any, full_matrices: bool = True, *, driver: Any = None, out: Any = None) -> return_types.linalg_svd:
    """(U, S, Vh) with ``A = U @ diag(S) @ Vh``, largest singular value first; all of U and Vh if ``full_matrices``."""
    x = matrix(A, "linalg.svd")
    m, n = x._a.shape[-2:]
    u, s, vh = apply(ops.svd, (x,), {})
    if full_matrices and m != n:
        # The further vectors are any basis of what is left: a constant beside the differentiable part.
        full_u, _, full_vh = np.linalg.svd(x._a, full_matrices=True)
        if m > n:
            u = _joined(u, full_u[..., n:], -1)
        else:
            vh = _joined(vh, full_vh[..., m:, :], -2)
    return _delivered(return_types.linalg_svd, (u, s, vh), out)


def _joined(x: Any, rest: Any, dim: int) -> Any:
    return apply(cat, (x, wrap(rest)), {"dim": x._a.ndim + dim})


def svd_of(input: Any, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> return_types.svd:
    """``torch.svd``: (U, S, V), the older form of ``linalg.svd``."""
    if not compute_uv:
        x = matrix(input, "svd")
        m, n = x._a.shape[-2:]
        lead, kind = x._a.shape[:-2], x._a.dtype
        return return_types.svd(wrap(np.zeros((*lead, m, m), kind)), svdvals(x), wrap(np.zeros((*lead, n, n), kind)))
    u, s, vh = svd(input, full_matrices=not some)
    return _delivered(return_types.svd, (u, s, turned(vh)), out)


def svdvals(A: Any, *, driver: Any = None, out: Any = None) -> Any:
    """The singular values, largest first: (..., m, n) -> (..., min(m, n))."""
    return into(apply(ops.svdvals, (matrix(A, "linalg.svdvals"),), {}), out)


def _triangle_read(UPLO: str, name: str) -> bool:
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper() == "L"


def eigh(A: Any, UPLO: str = "L", *, out: Any = None) -> return_types.linalg_eigh:
    """(eigenvalues, eigenvectors) of a symmetric matrix, ascending; only the triangle ``UPLO`` is read."""
    lower = _triangle_read(UPLO, "linalg.eigh")
    found = apply(ops.eigh, (matrix(A, "linalg.eigh", True),), {"lower": lower})
    return _delivered(return_types.linalg_eigh, found, out)


def eigvalsh(A: Any, UPLO: str = "L", *, out: Any = None) -> Any:
    """The eigenvalues of a symmetric matrix, ascending."""
    lower = _triangle_read(UPLO, "linalg.eigvalsh")
    return into(apply(ops.eigvalsh, (matrix(A, "linalg.eigvalsh", True),), {"lower": lower}), out)


def eig(A: Any, *, out: Any = None) -> Any:
    """Not offered: the eigenvalues of a general matrix are complex, and there are no complex dtypes."""
    raise UnsupportedError(
        "linalg.eig returns complex values and allgrad has no complex dtypes. For a symmetric matrix use linalg.eigh"
    )


def eigvals(A: Any, *, out: Any = None) -> Any:
    """Not offered: the eigenvalues of a general matrix are complex, and there are no complex dtypes."""
    raise UnsupportedError(
        "linalg.eigvals returns complex values and allgrad has no complex dtypes. "
        "For a symmetric matrix use linalg.eigvalsh"
    )


def lstsq(A: Any, B: Any, rcond: Any = None, *, driver: str | None = None) -> return_types.linalg_lstsq:
    """(solution, residuals, rank, singular_values) of the least-squares problem ``A @ X = B``.

    Residuals are filled for m > n and full rank only; rank and singular values as the ``driver`` gives them.
    """
    name = "linalg.lstsq"
    if driver not in (None, "gelsy", "gelsd", "gelss", "gels"):
        raise ArgumentError(
            f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), found {driver!r}"
        )
    a, b = matrix(A, name), as_tensor_like(B, f"{name}(): argument 'B' (position 2)")
    if a._a.dtype != b._a.dtype:
        raise DtypeError(
            f"{name}: input and other must have the same dtype, found {scalar_name(a)} and {scalar_name(b)}"
        )
    vector = a._a.ndim - 1 == b._a.ndim and b._a.shape == a._a.shape[:-1]
    if vector:
        b = apply(reshape, (b,), {"shape": (*b._a.shape, 1)})
    m, n = a._a.shape[-2:]
    if b._a.ndim < 2 or b._a.shape[-2] != m:
        raise ShapeError(f"{name}: input.size(-2) should match other.size(-2): {m} and {list(b._a.shape)}")
    limit = None if rcond is None else float(rcond)
    x = apply(ops.lstsq, (a, b), {"rcond": limit})
    kind = a._a.dtype
    s = np.linalg.svd(a._a, compute_uv=False)
    floor = (np.finfo(kind).eps * max(m, n) if limit is None else limit) * (s[..., :1] if s.shape[-1] else 0)
    rank = (s > floor).sum(-1).astype(np.int64)
    residuals = np.zeros(0, kind)
    if m > n and driver not in (None, "gelsy") and (rank == n).all():
        away = np.matmul(a._a, x._a) - b._a
        residuals = (away * away).sum(-2)
    if vector:
        x = apply(reshape, (x,), {"shape": x._a.shape[:-1]})
    return return_types.linalg_lstsq(
        x,
        wrap(residuals),
        wrap(rank if driver != "gels" else np.zeros(0, np.int64)),
        wrap(s if driver in ("gelsd", "gelss") else np.zeros(0, kind)),
    )


def pinv(
    A: Any, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None
) -> Any:
    """The pseudo-inverse; singular values up to ``max(atol, rtol * largest)`` count as 0."""
    x = matrix(A, "linalg.pinv")
    meta = {"rtol": _number(rtol if rcond is None else rcond), "atol": _number(atol) or 0.0}
    return into(apply(ops.pinv, (x,), meta), out)


def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """``torch.pinverse``: the pseudo-inverse with the cut ``rcond`` relative to the largest singular value."""
    return pinv(input, rcond)


def _number(x: Any) -> float | None:
    return None if x is None else float(x)


def matrix_exp(A: Any) -> Any:
    """The exponential of square matrices."""
    x = tensor_of(A, "linalg.matrix_exp")
    if not is_half(x._a.dtype):
        return apply(ops.matrix_exp, (matrix(x, "linalg.matrix_exp", True),), {})
    return to(apply(ops.matrix_exp, (matrix(to(x, float32), "linalg.matrix_exp", True),), {}), from_np(x._a.dtype))


def matrix_rank(
    A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None
) -> Any:
    """How many singular values exceed ``max(atol, rtol * largest)``."""
    a = matrix(A, "linalg.matrix_rank")._a
    s = np.linalg.svd(a, compute_uv=False)
    low = _number(tol if tol is not None else atol) or 0.0
    relative = _number(rtol)
    if relative is None:
        relative = 0.0 if low > 0 else max(a.shape[-2:]) * float(np.finfo(a.dtype).eps)
    floor = np.maximum(low, relative * s.max(-1, keepdims=True, initial=0))
    return into(wrap(np.asarray((s > floor).sum(-1), np.int64)), out)


def multi_dot(tensors: Any, *, out: Any = None) -> Any:
    """The product of two or more matrices in the cheapest order; the first and last may be vectors."""
    name = "multi_dot"
    found = [tensor_of(t, name) for t in tensors]
    if len(found) < 2:
        raise ShapeError(f"{name}(): expected at least 2 tensors but got {len(found)}")
    for i, t in enumerate(found):
        inner = 0 < i < len(found) - 1
        if t._a.ndim != 2 and (inner or t._a.ndim != 1):
            raise ShapeError(f"{name}(): tensor {i} must be 2D but got {t._a.ndim}D")
    first, last = found[0]._a.ndim == 1, found[-1]._a.ndim == 1
    if first:
        found[0] = apply(reshape, (found[0],), {"shape": (1, -1)})
    if last:
        found[-1] = apply(reshape, (found[-1],), {"shape": (-1, 1)})
    y = chain(found)
    shape = () if first and last else (-1,) if first or last else y._a.shape
    return into(y if shape == y._a.shape else apply(reshape, (y,), {"shape": shape}), out)
