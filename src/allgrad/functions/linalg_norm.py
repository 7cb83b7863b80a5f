"""Norms of vectors and matrices, and the condition number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.record import apply, wrap
from allgrad.dtypes import to_dtype
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.dims import in_dtype, one_dim, scalar_name, some_dims, tensor_of
from allgrad.functions.linalg import inv_ex, matrix
from allgrad.functions.promote import into
from allgrad.functions.reduce import sum as sum_
from allgrad.functions.reduce_extreme import amax, amin
from allgrad.ops import reduce_norm as ops
from allgrad.ops.linalg_factor import svdvals
from allgrad.ops.math import abs_
from allgrad.ops.shape import permute, reshape, slice_


def vector_norm(
    x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """``sum(|x| ** ord) ** (1 / ord)`` over ``dim`` (all if None); ord may be inf, -inf and 0."""
    x = _floating(in_dtype(tensor_of(x, "linalg.vector_norm"), dtype), dtype, "linalg.vector_norm")
    if not isinstance(ord, (int, float)):
        raise DtypeError(f"linalg.vector_norm(): argument 'ord' (position 2) must be Number, not {type(ord).__name__}")
    dims = some_dims(dim, x._a.ndim, "linalg.vector_norm")
    if not x._a.size and (ord < 0 or ord == math.inf) and _over_nothing(x._a.shape, dims):
        raise ShapeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the operation does not have "
            "an identity"
        )
    return into(apply(ops.vector_norm, (x,), {"ord": float(ord), "dim": dims, "keepdim": keepdim}), out)


def _over_nothing(shape: tuple[int, ...], dims: tuple[int, ...] | None) -> bool:
    return any(not shape[d] for d in (range(len(shape)) if dims is None else dims))


def _floating(x: Any, dtype: Any, name: str) -> Any:
    if x._a.dtype.kind in "iub":
        raise DtypeError(f"{name}: Expected a floating point or complex tensor as input. Got {scalar_name(x)}")
    if dtype is not None and not to_dtype(dtype).is_floating_point:
        raise DtypeError(f"{name}: dtype should be floating point or complex, but got {dtype}")
    return x


def matrix_norm(
    A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """A norm of matrices: "fro", "nuc", or inf, 1, 2 and their negatives."""
    name = "linalg.matrix_norm"
    x = _floating(in_dtype(tensor_of(A, name), dtype), dtype, name)
    if x._a.ndim < 2:
        raise ShapeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise ShapeError(f"{name}: dim must be a 2-tuple. Got {dim}")
    rows, columns = (one_dim(d, x._a.ndim, name) for d in dim)
    if rows == columns:
        raise ShapeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return into(apply(ops.vector_norm, (x,), {"ord": 2.0, "dim": (rows, columns), "keepdim": keepdim}), out)
    if ord == "nuc" or (not isinstance(ord, str) and abs(ord) == 2):
        y = _by_singular_values(x, ord, rows, columns, keepdim)
    elif not isinstance(ord, str) and abs(ord) in (1, math.inf):
        over, then = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sizes = sum_(apply(abs_, (x,), {}), over, keepdim=True)
        y = (amax if ord > 0 else amin)(sizes, then, keepdim=True)
        if not keepdim:
            shape = tuple(n for i, n in enumerate(y._a.shape) if i not in (rows, columns))
            y = apply(reshape, (y,), {"shape": shape})
    else:
        raise ArgumentError(f"{name}: Order {ord} not supported.")
    return into(y, out)


def _by_singular_values(x: Any, ord: Any, rows: int, columns: int, keepdim: bool) -> Any:
    ndim = x._a.ndim
    order = (*(i for i in range(ndim) if i not in (rows, columns)), rows, columns)
    s = apply(svdvals, (apply(permute, (x,), {"dims": order}),), {})
    y = sum_(s, -1) if ord == "nuc" else apply(slice_, (s,), {"index": (Ellipsis, 0 if ord > 0 else -1)})
    if keepdim:
        shape = tuple(1 if i in (rows, columns) else n for i, n in enumerate(x._a.shape))
        y = apply(reshape, (y,), {"shape": shape})
    return y


def norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, out: Any = None, dtype: Any = None) -> Any:
    """A vector norm if ``dim`` is one dimension (or A flat), a matrix norm if it is two (or A a matrix with ``ord``)."""
    x = tensor_of(A, "linalg.norm")
    ndim = x._a.ndim
    if isinstance(dim, int):
        dim = (dim,)
    count = ndim if dim is None else len(dim)
    if dim is not None and count not in (1, 2):
        raise ShapeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if ord is None:
        return vector_norm(x, 2, dim, keepdim, dtype=dtype, out=out)
    if dim is None and count not in (1, 2):
        raise ShapeError(f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {ndim}D.")
    if count == 1:
        if isinstance(ord, str):
            raise ShapeError(f"linalg.norm: order {ord!r} needs a matrix: two dimensions, found {count}")
        return vector_norm(x, ord, dim, keepdim, dtype=dtype, out=out)
    return matrix_norm(x, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)


def cond(A: Any, p: Any = None, *, out: Any = None) -> Any:
    """The condition number: ``norm(A) * norm(inv(A))`` in the norm ``p``, 2 unless told; inf for a singular matrix."""
    if p is None or p in (2, -2):
        x = matrix(A, "linalg.cond")
        s = apply(svdvals, (x,), {})
        first, last = (apply(slice_, (s,), {"index": (Ellipsis, i)}) for i in (0, -1))
        return into(last / first if p == -2 else first / last, out)
    x = matrix(A, "linalg.cond", True)
    inverse, info = inv_ex(x)
    y = matrix_norm(x, p) * matrix_norm(inverse, p)
    if info._a.any():
        y = wrap(np.where(info._a != 0, y._a.dtype.type(np.inf), y._a))
    return into(y, out)
