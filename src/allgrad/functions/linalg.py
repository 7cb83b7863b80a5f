"""Inverse, solving, determinants, Cholesky: the functions of ``allgrad.linalg`` on square matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import apply, wrap
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions import return_types
from allgrad.functions.dims import scalar_name, tensor_of
from allgrad.functions.matmul import product
from allgrad.functions.promote import as_tensor_like, into
from allgrad.functions.shape import movedim
from allgrad.ops import arithmetic
from allgrad.ops import linalg as ops
from allgrad.ops.shape import expand, reshape, transpose


def matrix(x: Any, name: str, square: bool = False) -> Any:
    """``x`` as a Tensor of one matrix or more, of a dtype that LAPACK knows."""
    x = tensor_of(x, name)
    a = x._a
    if a.ndim < 2:
        raise ShapeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if square and a.shape[-1] != a.shape[-2]:
        raise ShapeError(
            f"{name}: A must be batches of square matrices, but they are {a.shape[-2]} by {a.shape[-1]} matrices"
        )
    if a.dtype.kind in "iub":
        raise DtypeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(x)}")
    if a.dtype.itemsize == 2:
        raise DtypeError(f"{name}: Low precision dtypes not supported. Got {scalar_name(x)}; try x.float()")
    return x


def turned(x: Any) -> Any:
    """The transposed matrices."""
    return apply(transpose, (x,), {"dim0": -1, "dim1": -2})


def inv(A: Any, *, out: Any = None) -> Any:
    """The inverse of square matrices; LinAlgError for a singular one.

    >>> import allgrad as torch
    >>> torch.linalg.inv(torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return into(apply(ops.inv, (matrix(A, "linalg.inv", True),), {}), out)


def inverse(input: Any, *, out: Any = None) -> Any:
    """The inverse of square matrices: ``linalg.inv``."""
    return inv(input, out=out)


def _info(bad: Any, shape: tuple[int, ...]) -> Any:
    info = np.zeros(shape, np.int32)
    for i in np.ndindex(shape):
        info[i] = bad(i)
    return wrap(info)


def inv_ex(A: Any, *, check_errors: bool = False, out: Any = None) -> return_types.linalg_inv_ex:
    """(inverse, info): info is not 0 where a matrix is singular, and no error is raised unless ``check_errors``."""
    x = matrix(A, "linalg.inv_ex", True)
    y = apply(ops.inv, (x,), {"check": check_errors})
    a = x._a
    info = _info(lambda i: a.shape[-1] if np.linalg.slogdet(a[i])[0] == 0 else 0, a.shape[:-2])
    return return_types.linalg_inv_ex(into(y, out[0]) if out else y, into(info, out[1]) if out else info)


def solve(A: Any, B: Any, *, left: bool = True, out: Any = None) -> Any:
    """``X`` with ``A @ X = B`` (``X @ A = B`` unless ``left``); B is a matrix or vector, or a batch of them."""
    name = "linalg.solve"
    a, b = matrix(A, name, True), as_tensor_like(B, f"{name}(): argument 'B' (position 2)")
    if a._a.dtype != b._a.dtype:
        raise DtypeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type {scalar_name(a)} and B of type "
            f"{scalar_name(b)} instead"
        )
    vector = b._a.ndim == 1 or (a._a.ndim - 1 == b._a.ndim and b._a.shape == a._a.shape[:-1])
    if vector:
        if not left:
            raise ShapeError(f"{name}: Vector broadcasting of the left hand side is not supported for left=False.")
        b = apply(reshape, (b,), {"shape": (*b._a.shape, 1)})
    n = a._a.shape[-1]
    if b._a.shape[-2 if left else -1] != n:
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({n}x{n} and {b._a.shape[-2]}x{b._a.shape[-1]})"
        )
    x = apply(ops.solve, (a, b), {}) if left else turned(apply(ops.solve, (turned(a), turned(b)), {}))
    if vector:
        x = apply(reshape, (x,), {"shape": x._a.shape[:-1]})
    return into(x, out)


def solve_triangular(
    A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Any = None
) -> Any:
    """``X`` with ``A @ X = B`` for a triangular A, of which only that triangle is read."""
    name = "linalg.solve_triangular"
    a, b = matrix(A, name, True), matrix(B, name)
    if a._a.dtype != b._a.dtype:
        raise DtypeError(f"{name}: Expected A and B to have the same dtype")
    n = a._a.shape[-1]
    if b._a.shape[-2 if left else -1] != n:
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({n}x{n} and {b._a.shape[-2]}x{b._a.shape[-1]})"
        )
    unit = bool(unitriangular)
    if left:
        return into(apply(ops.solve_triangular, (a, b), {"upper": bool(upper), "unit": unit}), out)
    return into(turned(apply(ops.solve_triangular, (turned(a), turned(b)), {"upper": not upper, "unit": unit})), out)


def triangular_solve(
    input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> return_types.triangular_solve:
    """(solution, A): the older form of ``linalg.solve_triangular``, with the right-hand side first."""
    a = turned(A) if transpose else A
    found = solve_triangular(a, input, upper=upper != transpose, unitriangular=unitriangular)
    return return_types.triangular_solve(found, A)


def det(A: Any, *, out: Any = None) -> Any:
    """The determinant of square matrices: (..., n, n) -> (...)."""
    return into(apply(ops.det, (matrix(A, "linalg.det", True),), {}), out)


def slogdet(A: Any, *, out: Any = None) -> return_types.linalg_slogdet:
    """(sign, logabsdet) of square matrices; the gradient of the sign is zero."""
    sign, size = apply(ops.slogdet, (matrix(A, "linalg.slogdet", True),), {})
    if out is not None:
        sign, size = into(sign, out[0]), into(size, out[1])
    return return_types.linalg_slogdet(sign, size)


def logdet(input: Any) -> Any:
    """The logarithm of the determinant: nan where that is negative, -inf where it is 0."""
    sign, size = apply(ops.slogdet, (matrix(input, "logdet", True),), {})
    if (sign._a >= 0).all():
        return size
    return apply(arithmetic.where, (sign._a < 0, size._a.dtype.type(np.nan), size), {})


def cholesky(A: Any, *, upper: bool = False, out: Any = None) -> Any:
    """The triangle L with ``L @ L.T = A`` (its transpose if ``upper``); LinAlgError unless positive definite."""
    x = matrix(A, "linalg.cholesky", True)
    low = apply(ops.cholesky, (turned(x) if upper else x,), {})
    return into(turned(low) if upper else low, out)


def cholesky_of(input: Any, upper: bool = False, *, out: Any = None) -> Any:
    """``torch.cholesky``: the older name of ``linalg.cholesky``."""
    return cholesky(input, upper=upper, out=out)


def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> return_types.linalg_cholesky_ex:
    """(L, info): info is the order of the first leading minor that is not positive definite, else 0."""
    x = matrix(A, "linalg.cholesky_ex", True)
    a = x._a
    info = _info(lambda i: ops.first_negative_minor(a[i]), a.shape[:-2])
    if not info._a.any() or check_errors:
        return return_types.linalg_cholesky_ex(cholesky(x, upper=upper), info)
    low = np.full(a.shape, np.nan, a.dtype)
    for i in np.ndindex(a.shape[:-2]):
        if not info._a[i]:
            low[i] = np.linalg.cholesky(a[i])
    return return_types.linalg_cholesky_ex(wrap(np.swapaxes(low, -1, -2) if upper else low), info)


def cholesky_solve(B: Any, L: Any, upper: bool = False, *, out: Any = None) -> Any:
    """``X`` with ``A @ X = B``, where L is the Cholesky triangle of A."""
    b, low = matrix(B, "cholesky_solve"), matrix(L, "cholesky_solve", True)
    if upper:
        low = turned(low)
    y = solve_triangular(low, b, upper=False)
    return into(solve_triangular(turned(low), y, upper=True), out)


def cholesky_inverse(L: Any, upper: bool = False, *, out: Any = None) -> Any:
    """The inverse of A, where L is its Cholesky triangle."""
    low = matrix(L, "cholesky_inverse", True)
    one = wrap(np.eye(low._a.shape[-1], dtype=low._a.dtype))
    return cholesky_solve(apply(expand, (one,), {"shape": low._a.shape}), low, upper, out=out)


def matrix_power(A: Any, n: int, *, out: Any = None) -> Any:
    """``A @ A @ ... n times``; the inverse's power for negative n; the identity for 0."""
    x = tensor_of(A, "linalg.matrix_power")
    if x._a.ndim < 2 or x._a.shape[-1] != x._a.shape[-2]:
        raise ShapeError(f"linalg.matrix_power: A must be batches of square matrices; its shape is {list(x._a.shape)}")
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        return into(wrap(np.broadcast_to(np.eye(x._a.shape[-1], dtype=x._a.dtype), x._a.shape).copy()), out)
    found: Any = None
    while n:
        if n % 2:
            found = x if found is None else product(found, x)
        n //= 2
        if n:
            x = product(x, x)
    return into(found, out)


def tensorinv(A: Any, ind: int = 2, *, out: Any = None) -> Any:
    """The inverse of ``A`` as a map from its last dimensions to its first ``ind``."""
    x = tensor_of(A, "linalg.tensorinv")
    if ind <= 0:
        raise ShapeError("linalg.tensorinv: Expected a strictly positive integer for 'ind'")
    first, rest = x._a.shape[:ind], x._a.shape[ind:]
    rows, columns = int(np.prod(first)), int(np.prod(rest))
    if rows != columns:
        raise ShapeError(
            f"linalg.tensorinv: Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {columns} != {rows}"
        )
    y = inv(apply(reshape, (x,), {"shape": (rows, columns)}))
    return into(apply(reshape, (y,), {"shape": rest + first}), out)


def tensorsolve(A: Any, B: Any, dims: Any = None, *, out: Any = None) -> Any:
    """``X`` with ``tensordot(A, X, X.ndim) = B``."""
    a, b = tensor_of(A, "linalg.tensorsolve"), as_tensor_like(B, "linalg.tensorsolve(): argument 'B' (position 2)")
    if dims is not None:
        a = movedim(a, tuple(dims), tuple(range(-len(dims), 0)))
    rest = a._a.shape[b._a.ndim :]
    n = int(np.prod(rest))
    if n != b._a.size or n != int(np.prod(a._a.shape[: b._a.ndim])):
        raise ShapeError(
            "linalg.tensorsolve: Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {n} != {b._a.size}"
        )
    x = solve(apply(reshape, (a,), {"shape": (n, n)}), apply(reshape, (b,), {"shape": (n,)}))
    return into(apply(reshape, (x,), {"shape": rest}), out)
