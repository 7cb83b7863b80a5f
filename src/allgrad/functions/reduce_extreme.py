"""Largest, smallest, and where: PyTorch's max and min in their three forms, argmax, norms."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.errors import DtypeError, IndexRangeError, ShapeError
from allgrad.functions import return_types
from allgrad.functions.dims import numpy_names, one_dim, some_dims, tensor_of
from allgrad.functions.promote import binary, into
from allgrad.ops import reduce_extreme as ops
from allgrad.ops.compare_choice import maximum, minimum


def _full(op: Any, input: Any, name: str) -> Any:
    if not input._a.size:
        raise ShapeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
        )
    return apply(op, (input,), {"dim": None, "keepdim": False})


def nonempty_dim(x: Any, dim: Any, name: str) -> int:
    """``dim`` checked, and its length too: an extreme of nothing does not exist."""
    d = one_dim(dim, x._a.ndim, name)
    if x._a.ndim and not x._a.shape[d]:
        raise IndexRangeError(f"{name}(): Expected reduction dim {d} to have non-zero size.")
    return d


def pair(kind: Any, found: tuple[Any, Any], out: Any) -> Any:
    """Values and indices as a named tuple, in the Tensors of ``out`` if given."""
    if out is not None:
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise DtypeError(f"{kind.__name__}(): argument 'out' must be tuple of Tensors, not {type(out).__name__}")
        found = (into(found[0], out[0]), into(found[1], out[1]))
    return kind(*found)


def _extreme(
    input: Any, dim: Any, keepdim: bool, other: Any, out: Any, name: str, full: Any, by_dim: Any, elementwise: Any
) -> Any:
    input = tensor_of(input, name)
    if isinstance(dim, Variable):
        dim, other = None, dim
    if other is not None:
        return into(binary(elementwise, input, other), out)
    if dim is None:
        return into(_full(full, input, name), out)
    meta = {"dim": nonempty_dim(input, dim, name), "keepdim": keepdim}
    return pair(getattr(return_types, name), apply(by_dim, (input,), meta), out)


@numpy_names
def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
    """``max(x)``: the largest; ``max(x, dim)``: (values, indices); ``max(x, other)``: elementwise.

    >>> import allgrad as torch
    >>> values, indices = torch.tensor([[1.0, 5.0], [7.0, 2.0]]).max(dim=1)
    >>> indices
    tensor([1, 0])
    """
    return _extreme(input, dim, keepdim, other, out, "max", ops.amax, ops.max_dim, maximum)


@numpy_names
def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
    """``min(x)``: the smallest; ``min(x, dim)``: (values, indices); ``min(x, other)``: elementwise."""
    return _extreme(input, dim, keepdim, other, out, "min", ops.amin, ops.min_dim, minimum)


def _over_dims(op: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    name = op.name
    input = tensor_of(input, name)
    dims = some_dims(dim, input._a.ndim, name)
    if not input._a.size:
        if dims is None:
            raise ShapeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument."
            )
        for d in dims:
            nonempty_dim(input, d, name)
    return apply(op, (input,), {"dim": dims, "keepdim": keepdim})


@numpy_names
def amax(input: Any, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """Maximum over ``dim``; equal elements share the gradient."""
    return into(_over_dims(ops.amax, input, dim, keepdim), out)


@numpy_names
def amin(input: Any, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Any:
    """Minimum over ``dim``; equal elements share the gradient."""
    return into(_over_dims(ops.amin, input, dim, keepdim), out)


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False, out: Any = None) -> return_types.aminmax:
    """Minimum and maximum over one dimension or all."""
    low, high = amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim)
    return return_types.aminmax(*(pair(return_types.aminmax, (low, high), out)))


def _place(op: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    name = op.name
    input = tensor_of(input, name)
    if dim is None:
        if not input._a.size:
            raise IndexRangeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        return apply(op, (input,), {"dim": None, "keepdim": keepdim})
    d = nonempty_dim(input, dim, name)
    return apply(op, (input,), {"dim": d if input._a.ndim else None, "keepdim": keepdim})


@numpy_names
def argmax(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Place of the largest element: in the flattened tensor, or along ``dim``."""
    return into(_place(ops.argmax, input, dim, keepdim), out)


@numpy_names
def argmin(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Place of the smallest element: in the flattened tensor, or along ``dim``."""
    return into(_place(ops.argmin, input, dim, keepdim), out)
