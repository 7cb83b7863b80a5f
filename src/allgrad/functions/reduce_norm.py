"""Norms and log-sum-exp."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.compare_choice import where
from allgrad.functions.dims import in_dtype, numpy_names, one_dim, scalar_name, some_dims, tensor_of
from allgrad.functions.linalg_norm import matrix_norm, vector_norm
from allgrad.functions.promote import floating, into
from allgrad.ops.reduce_norm import vector_norm as norm_op
from allgrad.ops.softmax import logsumexp as logsumexp_op


@numpy_names
def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None, dtype: Any = None) -> Any:
    """The p-norm over ``dim``: "fro" (as 2), "nuc" (sum of singular values), or a number."""
    input = in_dtype(tensor_of(input, "norm"), dtype)
    if p == "nuc":
        return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim, out=out)
    if input._a.dtype.kind in "iub":
        raise DtypeError(
            "norm(): input dtype should be either floating point or complex dtypes, "
            f"but got {scalar_name(input)} instead."
        )
    order = 2.0 if p in ("fro", None) else float(p)
    meta = {"ord": order, "dim": some_dims(dim, input._a.ndim, "norm"), "keepdim": keepdim}
    return into(apply(norm_op, (input,), meta), out)


@numpy_names
def logsumexp(input: Any, dim: Any, keepdim: bool = False, *, out: Any = None) -> Any:
    """``log(sum(exp(input)))`` over ``dim``, without overflow."""
    input = floating(tensor_of(input, "logsumexp"))
    meta = {"dim": some_dims(dim, input._a.ndim, "logsumexp"), "keepdim": keepdim}
    return into(apply(logsumexp_op, (input,), meta), out)


def renorm(input: Any, p: float, dim: int, maxnorm: float, *, out: Any = None) -> Any:
    """Every slice along ``dim`` whose p-norm is above ``maxnorm`` scaled down to it; same shape."""
    input = tensor_of(input, "renorm")
    if not p > 0:
        raise ArgumentError(f"renorm: non-positive-norm not supported, found p={p}")
    if not maxnorm >= 0:
        raise ArgumentError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input._a.ndim < 2:
        raise ShapeError(f"renorm: input needs at least 2 dimensions, got {input._a.ndim} dimensions")
    d = one_dim(dim, input._a.ndim, "renorm")
    size = vector_norm(input, p, [i for i in range(input._a.ndim) if i != d], True)
    # PyTorch's constant: a scaled slice stays a little below maxnorm.
    return into(input * where(size > maxnorm, maxnorm / (size + 1e-7), 1.0), out)
