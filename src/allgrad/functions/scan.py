"""Running sums, products and extremes, differences, and the trapezoid rule."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable, apply, wrap
from allgrad.errors import ArgumentError, ShapeError
from allgrad.functions import return_types
from allgrad.functions.dims import in_dtype, numpy_names, one_dim, tensor_of
from allgrad.functions.promote import as_tensor_like, floating, into, plain
from allgrad.functions.reduce import sum as sum_
from allgrad.functions.reduce_extreme import pair
from allgrad.ops import arithmetic, scan
from allgrad.ops.shape import cat, slice_


@numpy_names
def cumsum(input: Any, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
    """The running sum along ``dim``; integers to int64.

    >>> import allgrad as torch
    >>> torch.tensor([1, 2, 3]).cumsum(0)
    tensor([1, 3, 6])
    """
    return into(_running(scan.cumsum, input, dim, dtype), out)


@numpy_names
def cumprod(input: Any, dim: int, *, dtype: Any = None, out: Any = None) -> Any:
    """The running product along ``dim``; integers to int64."""
    return into(_running(scan.cumprod, input, dim, dtype), out)


def logcumsumexp(input: Any, dim: int, *, out: Any = None) -> Any:
    """The running log-sum-exp along ``dim``."""
    return into(_running(scan.logcumsumexp, floating(tensor_of(input, "logcumsumexp")), dim, None), out)


def _running(op: Any, input: Any, dim: Any, dtype: Any) -> Any:
    input = in_dtype(tensor_of(input, op.name), dtype)
    return in_dtype(apply(op, (input,), {"dim": one_dim(dim, input._a.ndim, op.name)}), dtype)


def cummax(input: Any, dim: int, *, out: Any = None) -> Any:
    """(values, indices) of the largest so far along ``dim``; of equals the last."""
    input = tensor_of(input, "cummax")
    return pair(return_types.cummax, apply(scan.cummax, (input,), {"dim": one_dim(dim, input._a.ndim)}), out)


def cummin(input: Any, dim: int, *, out: Any = None) -> Any:
    """(values, indices) of the smallest so far along ``dim``; of equals the last."""
    input = tensor_of(input, "cummin")
    return pair(return_types.cummin, apply(scan.cummin, (input,), {"dim": one_dim(dim, input._a.ndim)}), out)


def part(x: Any, d: int, start: int | None, stop: int | None) -> Any:
    """``x[start:stop]`` along axis ``d``."""
    return apply(slice_, (x,), {"index": (slice(None),) * d + (slice(start, stop),)})


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None, *, out: Any = None) -> Any:
    """Differences of neighbours along ``dim``, taken ``n`` times; of bools, whether they differ."""
    x = tensor_of(input, "diff")
    if not x._a.ndim:
        raise ShapeError("diff expects input to be at least one-dimensional")
    d = one_dim(dim, x._a.ndim, "diff")
    if n < 0:
        raise ArgumentError(f"order must be non-negative but got {n}")
    ends = [e for e in (prepend, x, append) if e is not None]
    if len(ends) > 1:
        x = apply(cat, tuple(ends), {"dim": d})
    for _ in range(min(n, x._a.shape[d])):
        a, b = part(x, d, 1, None), part(x, d, None, -1)
        x = wrap(a._a ^ b._a) if x._a.dtype.kind == "b" else apply(arithmetic.sub, (a, b), {})
    return into(x, out)


def _panels(y: Any, x: Any, dx: Any, dim: int, name: str) -> tuple[Any, int]:
    """The area of each panel between neighbours."""
    y = as_tensor_like(y, f"{name}(): argument 'y' (position 1)")
    if not y._a.ndim:
        raise ShapeError(f"{name}: expected y to have at least one dimension")
    d = one_dim(dim, y._a.ndim, name)
    both = part(y, d, 1, None) + part(y, d, None, -1)
    if x is None:
        return both * (plain(dx) / 2.0), d
    x = as_tensor_like(x, f"{name}(): argument 'x' (position 2)")
    if x._a.ndim == 1 and y._a.ndim > 1:
        if x._a.shape[0] != y._a.shape[d]:
            raise ShapeError(
                f"{name}: There must be one `x` value for each sample point: x has {x._a.shape[0]} values, "
                f"y {y._a.shape[d]} points along dim {d}"
            )
        widths = diff(x)
        widths = widths.reshape((-1,) + (1,) * (y._a.ndim - 1 - d))
    else:
        widths = diff(x, dim=dim)
    return both * widths / 2.0, d


def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The integral of ``y`` along ``dim`` by the trapezoid rule, at points ``x`` or ``dx`` apart."""
    x, dx = _spacing(x, dx, "trapezoid")
    panels, d = _panels(y, x, dx, dim, "trapezoid")
    return sum_(panels, d)


trapz = trapezoid


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The running integral of ``y`` along ``dim``: one element less than ``y``."""
    x, dx = _spacing(x, dx, "cumulative_trapezoid")
    panels, d = _panels(y, x, dx, dim, "cumulative_trapezoid")
    return cumsum(panels, d)


def _spacing(x: Any, dx: Any, name: str) -> tuple[Any, Any]:
    if x is not None and dx is not None:
        raise ArgumentError(f"{name}() received an invalid combination of arguments: give x or dx, not both")
    if x is not None and not isinstance(x, Variable):
        x = as_tensor_like(x, f"{name}(): argument 'x' (position 2)")
    return x, 1 if dx is None else dx
