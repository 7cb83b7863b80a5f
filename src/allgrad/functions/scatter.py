"""Values written or added at places named by indices; each function and its in-place twin share one check."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import Variable, apply, wrap
from allgrad.dtypes import from_np
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.dims import scalar_name
from allgrad.functions.index_dim import check_range, index_arg
from allgrad.functions.promote import into, plain
from allgrad.functions.shape import dim_arg, tensor_arg
from allgrad.ops import scatter as ops
from allgrad.ops.op import Op
from allgrad.ops.shape import reshape, slice_


def run(op: Op, x: Any, others: tuple[Any, ...], meta: dict[str, Any], inplace: bool) -> Any:
    """``op(x, *others)``, in the memory of ``x`` if wanted; others that may lie there too are copied first."""
    if not inplace:
        return apply(op, (x, *others), meta)
    apart = tuple(
        o.clone() if isinstance(o, Variable) and np.may_share_memory(o._a, x._a) else o  # type: ignore[attr-defined]
        for o in others
    )
    return apply_inplace(op, x, apart, meta)


def number_like(x: Any, value: Any) -> Any:
    """A Python number as a 0-d array of the dtype of ``x``: fractions are cut for integers."""
    return np.asarray(plain(value)).astype(x._a.dtype)


def prepared(input: Any, dim: int, index: Any, src: Any, name: str) -> tuple[Any, int, Any, Any]:
    """Checked arguments, 0-d ones as vectors, and ``src`` cut to the shape of ``index``."""
    input, index = tensor_arg(input, name), index_arg(index, name)
    at = dim_arg(dim, input._a.ndim)
    x, i = input._a, index._a
    if isinstance(src, Variable) and src._a.dtype != x.dtype:
        raise DtypeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, found {from_np(x.dtype)!r} and "
            f"{from_np(src._a.dtype)!r}"
        )
    if i.size == 0:
        return input, at, None, src
    if not isinstance(src, Variable):
        src = number_like(input, src)
    sizes = [max(t.ndim, 1) for t in (x, i, *([src._a] if isinstance(src, Variable) else []))]
    if len(set(sizes)) > 1:
        raise ShapeError(f"Index tensor must have the same number of dimensions as self and src tensor, found {sizes}")
    shape = x.shape or (1,)
    if not i.ndim:
        index = apply(reshape, (index,), {"shape": (1,)})
    if isinstance(src, Variable) and not src._a.ndim:
        src = apply(reshape, (src,), {"shape": (1,)})
    limits = src._a.shape if isinstance(src, Variable) else index._a.shape
    if any(n > s or (d != at and n > m) for d, (n, m, s) in enumerate(zip(index._a.shape, shape, limits))):
        raise ShapeError(
            f"Expected index {list(i.shape)} to be no larger than self {list(x.shape)} apart from dimension {at}"
            + (f" and to be no larger size than src {list(limits)}" if isinstance(src, Variable) else "")
        )
    check_range(index._a, shape[at], at)
    if isinstance(src, Variable) and limits != index._a.shape:
        src = apply(slice_, (src,), {"index": tuple(slice(0, n) for n in index._a.shape)})
    return input, at, index, src


def scattered(op: Op, input: Any, dim: int, index: Any, src: Any, inplace: bool, name: str) -> Any:
    """Run one scatter op after the checks; a 0-d input goes through a vector of one element."""
    input, at, index, src = prepared(input, dim, index, src, name)
    if index is None:
        return input if inplace else input.clone()
    if input._a.ndim:
        return run(op, input, (src, index), {"dim": at}, inplace)
    line = apply(reshape, (input,), {"shape": (1,)})
    if inplace:
        apply_inplace(op, line, (src, index), {"dim": 0})
        return input
    return apply(reshape, (apply(op, (line, src, index), {"dim": 0}),), {"shape": ()})


def scatter(
    input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None, out: Any = None
) -> Any:
    """``src`` (a Tensor or a number) at ``index`` along ``dim``; ``reduce`` "add" or "multiply" combines instead."""
    return into(scatter_set(input, dim, index, value if src is None else src, reduce, False), out)


def scatter_set(input: Any, dim: int, index: Any, src: Any, reduce: str | None, inplace: bool) -> Any:
    """``scatter`` and ``scatter_``."""
    named = {None: ops.scatter, "add": ops.scatter_add, "multiply": ops.scatter_prod}
    if reduce not in named:
        raise ArgumentError(f"reduce argument must be either add or multiply, found {reduce!r}.")
    return scattered(named[reduce], input, dim, index, src, inplace, "scatter")


def scatter_add(input: Any, dim: int, index: Any, src: Any, *, out: Any = None) -> Any:
    """``src`` added at ``index`` along ``dim``."""
    return into(scattered(ops.scatter_add, input, dim, index, src, False, "scatter"), out)


_REDUCED = {"sum": ops.scatter_add, "prod": ops.scatter_prod, "amax": ops.scatter_amax, "amin": ops.scatter_amin}


def scatter_reduce(
    input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True, out: Any = None
) -> Any:
    """All of ``src`` sent to a place combined there: sum, prod, mean, amax or amin, with what was there or without."""
    if reduce not in (*_REDUCED, "mean"):
        raise ArgumentError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    input, at, index, src = prepared(input, dim, index, src, "scatter")
    if index is None:
        return into(input.clone(), out)
    if input._a.ndim:
        return into(_reduced(input, at, index, src, reduce, include_self), out)
    line = apply(reshape, (input,), {"shape": (1,)})
    return into(apply(reshape, (_reduced(line, at, index, src, reduce, include_self),), {"shape": ()}), out)


def _reduced(x: Any, at: int, index: Any, src: Any, reduce: str, include_self: bool) -> Any:
    if not include_self:
        x = apply(ops.scatter, (x, _neutral(reduce, x._a.dtype), index), {"dim": at})
    found = apply(_REDUCED["sum" if reduce == "mean" else reduce], (x, src, index), {"dim": at})
    if reduce == "mean":
        counts = np.ones(x._a.shape, x._a.dtype)
        if not include_self:
            counts = ops.scatter(counts, 0, index._a, dim=at)
        counts = ops.scatter_add(counts, np.ones((), x._a.dtype), index._a, dim=at)
        counts[counts == 0] = 1
        whole = x._a.dtype.kind in "iu"
        found = found.div(wrap(counts), rounding_mode="floor" if whole else None)
    return found


def _neutral(reduce: str, dtype: Any) -> Any:
    """The value that changes nothing under ``reduce``: where the old value does not count."""
    if reduce in ("sum", "mean", "prod"):
        return np.asarray(reduce == "prod").astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.asarray(limits.min if reduce == "amax" else limits.max, dtype)
    return np.asarray(reduce == "amin" if dtype.kind == "b" else -np.inf if reduce == "amax" else np.inf).astype(dtype)


def kinds(x: Any, source: Any) -> str:
    """The two dtypes in words, for messages."""
    return f"self ({scalar_name(x)}) and source ({scalar_name(source)})"
