"""Sorting along one dimension, and the k best."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError
from allgrad.functions import return_types
from allgrad.functions.dims import one_dim, tensor_of
from allgrad.functions.promote import into
from allgrad.functions.reduce_extreme import pair
from allgrad.ops import sort as ops


def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None) -> Any:
    """(values, indices) in ascending order along ``dim``; always stable; nan last.

    >>> import allgrad as torch
    >>> torch.sort(torch.tensor([3, 1, 2])).indices
    tensor([1, 2, 0])
    """
    input = tensor_of(input, "sort")
    meta = {"dim": one_dim(dim, input._a.ndim, "sort"), "descending": bool(descending)}
    return pair(return_types.sort, apply(ops.sort, (input,), meta), out)


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Indices that sort ``input`` along ``dim``."""
    input = tensor_of(input, "argsort")
    meta = {"dim": one_dim(dim, input._a.ndim, "argsort"), "descending": bool(descending)}
    return apply(ops.argsort, (input,), meta)


def msort(input: Any, *, out: Any = None) -> Any:
    """The values sorted along the first dimension."""
    return into(sort(input, 0).values, out)


def topk(
    input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None
) -> Any:
    """(values, indices) of the k largest, or smallest, along ``dim``, best first."""
    input = tensor_of(input, "topk")
    d = one_dim(dim, input._a.ndim, "topk")
    n = input._a.shape[d] if input._a.ndim else 1
    if not 0 <= k <= n:
        raise ArgumentError(f"selected index k out of range: k is {k}, and dimension {d} has {n} elements")
    meta = {"k": int(k), "dim": d, "largest": bool(largest)}
    return pair(return_types.topk, apply(ops.topk, (input,), meta), out)
