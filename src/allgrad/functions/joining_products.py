"""Grids, products and combinations of vectors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from allgrad.autograd.record import apply, wrap
from allgrad.dtypes import from_np, get_default_dtype, int64, promote_types
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions.joining import cat, stack
from allgrad.functions.promote import to
from allgrad.functions.shape import tensor_arg
from allgrad.ops.index_dim import index_select
from allgrad.ops.shape import expand, reshape


def _vectors(tensors: tuple[Any, ...], name: str) -> list[Any]:
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    found = [tensor_arg(x, name, "tensors") for x in tensors]
    for x in found:
        if x._a.ndim > 1:
            raise ShapeError(
                f"torch.{name}: Expected 0D or 1D tensor in the tensor list but got: Expect a 1D vector, but got shape "
                f"{list(x._a.shape)}"
            )
    if len({x._a.dtype for x in found}) > 1:
        raise DtypeError(
            f"{name} expects all tensors to have the same dtype: " + ", ".join(repr(x.dtype) for x in found)
        )
    return found


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Any, ...]:
    """Coordinates of the grid of vectors: one tensor per vector, of shape (len, len, ...), views.

    ``indexing`` "ij" (the default, as in PyTorch) has the first vector along dimension 0, "xy" along dimension 1.
    """
    found = _vectors(tensors, "meshgrid")
    if not found:
        raise ShapeError("meshgrid expects a non-empty TensorList")
    if indexing not in (None, "ij", "xy"):
        raise ArgumentError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    shape = tuple(x._a.size for x in found)
    grids = []
    for d, x in enumerate(found):
        line = (1,) * d + (x._a.size,) + (1,) * (len(found) - d - 1)
        grids.append(apply(expand, (apply(reshape, (x,), {"shape": line}),), {"shape": shape}))
    if indexing == "xy" and len(found) > 1:
        grids = [g.transpose(0, 1) for g in grids]
    return tuple(grids)


def cartesian_prod(*tensors: Any) -> Any:
    """All tuples with one element of each vector: (n1 * n2 * ..., vectors); a single vector stays as it is."""
    found = _vectors(tensors, "cartesian_prod")
    for x in found:
        if x._a.ndim != 1:
            raise ShapeError(f"Expect a 1D vector, but got shape {list(x._a.shape)}")
    if len(found) == 1:
        return found[0]
    return stack([g.reshape(-1) for g in meshgrid(*found)], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of ``r`` elements of a vector, in order: (choices, r)."""
    input = tensor_arg(input, "combinations")
    if input._a.ndim != 1:
        raise ShapeError(f"Expect a 1D vector, but got shape {list(input._a.shape)}")
    if r < 0:
        raise ArgumentError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return wrap(np.empty(0, input._a.dtype))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input._a.size), r)), np.int64).reshape(-1, r)
    flat = apply(index_select, (input, wrap(places.reshape(-1))), {"dim": 0})
    return apply(reshape, (flat,), {"shape": places.shape})


def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of one, zeros elsewhere; vectors count as rows."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if not tensors:
        return wrap(np.empty((1, 0), get_default_dtype().np))
    found = []
    for i, x in enumerate(tensors):
        x = tensor_arg(x, "block_diag", "tensors")
        if x._a.ndim > 2:
            raise ShapeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {x._a.ndim} dimensions"
            )
        found.append(x if x._a.ndim == 2 else apply(reshape, (x,), {"shape": (1, x._a.size)}))
    d = from_np(found[0]._a.dtype)
    for x in found[1:]:
        d = promote_types(d, from_np(x._a.dtype))
    width = sum(x._a.shape[1] for x in found)
    rows, before = [], 0
    for x in found:
        n, m = x._a.shape
        left, right = (wrap(np.zeros((n, k), d.np)) for k in (before, width - before - m))
        rows.append(cat([left, to(x, d), right], 1))
        before += m
    return cat(rows, 0)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers ``N - 1`` down to 0 of each element, 0 up to ``N - 1`` if ``increasing``: (n,) -> (n, N)."""
    x = tensor_arg(x, "vander", "x")
    if x._a.ndim != 1:
        raise ShapeError(f"x must be a one-dimensional tensor, found shape {list(x._a.shape)}")
    size = x._a.size if N is None else int(N)
    if size < 0:
        raise ArgumentError(f"N must be non-negative, found {size}")
    x = to(x, int64) if x._a.dtype.kind in "bu" else x
    rows = [x**k for k in (range(size) if increasing else range(size - 1, -1, -1))]
    return stack(rows, 1) if rows else wrap(np.empty((x._a.size, 0), x._a.dtype))
