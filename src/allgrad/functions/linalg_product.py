"""Products under the names and defaults of ``allgrad.linalg``."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.functions import matmul_outer
from allgrad.functions.dims import one_dim, tensor_of
from allgrad.functions.matmul import matmul
from allgrad.functions.promote import as_tensor_like
from allgrad.functions.scan import cumprod
from allgrad.ops.layout import diagonal as diagonal_op
from allgrad.ops.shape import cat, expand, reshape

__all__ = ["cross", "diagonal", "matmul", "vander", "vecdot"]

vecdot = matmul_outer.vecdot


def cross(input: Any, other: Any, *, dim: int = -1, out: Any = None) -> Any:
    """The vector product along ``dim``, which has length 3; the other dimensions broadcast."""
    return matmul_outer.cross(input, other, dim, out=out)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of matrices, a view."""
    x = as_tensor_like(A, "linalg.diagonal(): argument 'A'")
    n = x._a.ndim
    meta = {"offset": int(offset), "dim1": one_dim(dim1, n), "dim2": one_dim(dim2, n)}
    return apply(diagonal_op, (x,), meta)


def vander(x: Any, N: int | None = None) -> Any:
    """The powers 0 to ``N - 1`` of each element (N is the length of ``x`` unless told): (..., n) -> (..., n, N)."""
    x = tensor_of(x, "linalg.vander")
    size = x._a.shape[-1] if N is None else int(N)
    column = apply(reshape, (x,), {"shape": (*x._a.shape, 1)})
    one = column * 0 + 1
    if size == 1:
        return one
    wide = apply(expand, (column,), {"shape": (*x._a.shape, size - 1)})
    powers = cumprod(wide, -1)
    return apply(cat, (one, powers), {"dim": x._a.ndim})
