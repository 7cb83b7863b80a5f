"""Sums, means, products, variances: PyTorch's reductions."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.dtypes import int64
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.dims import in_dtype, need_floating, numpy_names, one_dim, scalar_name, some_dims, tensor_of
from allgrad.functions.promote import into, to
from allgrad.ops import arithmetic
from allgrad.ops import reduce as ops
from allgrad.ops.shape import reshape


@numpy_names
def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Sum over ``dim`` (all if None); integers and bools sum to int64.

    >>> import allgrad as torch
    >>> torch.ones(2, 3).sum(dim=1)
    tensor([3., 3.])
    """
    input = in_dtype(tensor_of(input, "sum"), dtype)
    y = apply(ops.sum_, (input,), {"dim": some_dims(dim, input._a.ndim, "sum"), "keepdim": keepdim})
    return into(in_dtype(y, dtype), out)


@numpy_names
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Mean over ``dim``; floating dtypes only, unless ``dtype`` makes them so."""
    input = in_dtype(tensor_of(input, "mean"), dtype)
    if input._a.dtype.kind in "iub":
        what = "Input" if dtype is None else "Optional"
        raise DtypeError(
            f"mean(): could not infer output dtype. {what} dtype must be either a floating point or complex dtype. "
            f"Got: {scalar_name(input)}"
        )
    return into(apply(ops.mean, (input,), {"dim": some_dims(dim, input._a.ndim, "mean"), "keepdim": keepdim}), out)


@numpy_names
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Sum over ``dim`` with nan as 0."""
    return sum(_nan_as_zero(in_dtype(tensor_of(input, "nansum"), dtype)), dim, keepdim, dtype=dtype, out=out)


@numpy_names
def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Mean over ``dim`` of what is not nan."""
    input = in_dtype(tensor_of(input, "nanmean"), dtype)
    need_floating(input, "nanmean")
    there = (input._a == input._a).astype(input._a.dtype)
    total = nansum(input, dim, keepdim)
    n = ops.sum_(there, dim=some_dims(dim, input._a.ndim), keepdim=keepdim)
    return into(apply(arithmetic.div, (total, n), {}), out)


def _nan_as_zero(x: Any) -> Any:
    if x._a.dtype.kind in "iub":
        return x
    there = x._a == x._a
    return x if there.all() else apply(arithmetic.where, (there, x, x._a.dtype.type(0)), {})


@numpy_names
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """Product of all elements, or along one dimension; integers multiply to int64."""
    input = in_dtype(tensor_of(input, "prod"), dtype)
    if dim is None:
        flat = apply(reshape, (input,), {"shape": (-1,)})
        y = apply(ops.prod, (flat,), {"dim": 0, "keepdim": False})
    elif input._a.ndim == 0:
        one_dim(dim, 0, "prod")
        y = input if input._a.dtype.kind not in "iub" else to(input, int64)
    else:
        y = apply(ops.prod, (input,), {"dim": one_dim(dim, input._a.ndim, "prod"), "keepdim": keepdim})
    return into(in_dtype(y, dtype), out)


def _variance(input: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any, name: str) -> Any:
    """The variance, with the arguments of all of PyTorch's signatures: var(unbiased), var(dim, unbiased, keepdim)."""
    input = tensor_of(input, name)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if input._a.dtype.kind in "iub":
        raise DtypeError(f"{name} only support floating point and complex dtypes; found {scalar_name(input)}")
    if unbiased is not None and correction is not None:
        raise ArgumentError(f"{name}: give unbiased or correction, not both")
    correction = correction if correction is not None else 1 if unbiased is None or unbiased else 0
    meta = {"dim": some_dims(dim, input._a.ndim, name), "keepdim": keepdim, "correction": correction}
    return apply(ops.var, (input,), meta)


@numpy_names
def var(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None, out: Any = None
) -> Any:
    """Variance over ``dim``: the sum of squared deviations over ``n - correction`` (1 unless told)."""
    return into(_variance(input, dim, unbiased, keepdim, correction, "var"), out)


@numpy_names
def std(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None, out: Any = None
) -> Any:
    """Standard deviation over ``dim``; its derivative at 0 is taken as 0."""
    return into(apply(ops.root, (_variance(input, dim, unbiased, keepdim, correction, "std"),), {}), out)


@numpy_names
def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Any, Any]:
    """Variance and mean over ``dim``."""
    v = _variance(input, dim, unbiased, keepdim, correction, "var_mean")
    return v, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_names
def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Any, Any]:
    """Standard deviation and mean over ``dim``."""
    v = _variance(input, dim, unbiased, keepdim, correction, "std_mean")
    return apply(ops.root, (v,), {}), mean(input, None if isinstance(dim, bool) else dim, keepdim)


@numpy_names
def any(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Whether an element is not zero, over ``dim``."""
    return into(_truth(ops.any_, input, dim, keepdim), out)


@numpy_names
def all(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Whether no element is zero, over ``dim``."""
    return into(_truth(ops.all_, input, dim, keepdim), out)


def _truth(op: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    input = tensor_of(input, op.name)
    found = apply(op, (input,), {"dim": some_dims(dim, input._a.ndim, op.name), "keepdim": keepdim})
    if input._a.dtype == "uint8":  # PyTorch keeps uint8, once its bool
        found._a = found._a.astype("uint8")
    return found


def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero, over ``dim``."""
    input = tensor_of(input, "count_nonzero")
    return apply(ops.count_nonzero, (input,), {"dim": some_dims(dim, input._a.ndim, "count_nonzero")})
