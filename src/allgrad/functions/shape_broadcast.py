"""Tensors brought to a common shape, or to a least number of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_int
from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ShapeError
from allgrad.functions.shape import tensor_arg
from allgrad.ops import shape as ops

Shape = tuple[int, ...]


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of these shapes broadcast to."""
    plain = [(int(s),) if isinstance(s, int) else tuple(as_int(n) for n in s) for s in shapes]
    found: list[int] = [1] * max((len(s) for s in plain), default=0)
    for s in plain:
        for i in range(-len(s), 0):
            if s[i] < 0:
                raise ShapeError(f"Trying to create tensor with negative dimension ({s[i]}): {list(s)}")
            if s[i] != 1:
                if found[i] not in (1, s[i]):
                    raise ShapeError(
                        "Shape mismatch: objects cannot be broadcast to a single shape: "
                        + ", ".join(str(list(x)) for x in plain)
                    )
                found[i] = s[i]
    return tuple(found)


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """All tensors broadcast to their common shape, as views."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    found = [tensor_arg(x, "broadcast_tensors", "tensors") for x in tensors]
    shape = broadcast_shapes(*[x._a.shape for x in found])
    return tuple(apply(ops.expand, (x,), {"shape": shape}) for x in found)


def at_least(n: int, tensors: Sequence[Any], name: str) -> Any:
    """Each tensor with at least ``n`` dimensions; one alone is not put in a tuple."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
        return tuple(_lifted(tensor_arg(x, name), n) for x in tensors)
    found = tuple(_lifted(tensor_arg(x, name), n) for x in tensors)
    return found[0] if len(found) == 1 else found


def _lifted(x: Any, n: int) -> Any:
    shape = x._a.shape
    if len(shape) >= n:
        return x
    if not shape:
        new: Shape = (1,) * n
    elif len(shape) == 1:
        new = (1, *shape) if n == 2 else (1, *shape, 1)
    else:
        new = (*shape, 1)
    return apply(ops.reshape, (x,), {"shape": new})


def atleast_1d(*tensors: Any) -> Any:
    """Scalars as vectors of one element: () -> (1,)."""
    return at_least(1, tensors, "atleast_1d")


def atleast_2d(*tensors: Any) -> Any:
    """At least matrices: (n,) -> (1, n)."""
    return at_least(2, tensors, "atleast_2d")


def atleast_3d(*tensors: Any) -> Any:
    """At least three dimensions: (n,) -> (1, n, 1), (m, n) -> (m, n, 1)."""
    return at_least(3, tensors, "atleast_3d")
