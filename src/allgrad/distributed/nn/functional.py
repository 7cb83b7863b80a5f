"""Collectives that a graph may pass through, under PyTorch's names: each returns new Tensors.

The gradient is that of the sum of all ranks' losses.  Backward communicates as well: every rank's loss must depend on
what it got (``+ 0 * y.sum()`` is enough), else the others wait for it.  Inputs need not want a gradient on every rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.distributed import collectives
from allgrad.distributed.collectives import ReduceOp, _check_outputs, _named, _root, tensor_array
from allgrad.distributed.group import ProcessGroup, group_of
from allgrad.distributed.nn.exchanges import (
    AllGather,
    AllReduce,
    AllToAll,
    Broadcast,
    Gather,
    Reduce,
    ReduceScatter,
    Scatter,
)
from allgrad.distributed.nn.passing import passed
from allgrad.distributed.objects import broadcast_object_list
from allgrad.errors import ArgumentError, ShapeError, UnsupportedError
from allgrad.functions.joining import cat, stack
from allgrad.functions.reduce import prod
from allgrad.functions.reduce_extreme import amax, amin

__all__ = [
    "all_gather",
    "all_reduce",
    "all_to_all",
    "all_to_all_single",
    "broadcast",
    "gather",
    "reduce",
    "reduce_scatter",
    "scatter",
]

_CHOSEN = {"max": amax, "min": amin, "prod": prod, "product": prod}


def broadcast(tensor: Any, src: int, group: Any = None) -> Any:
    """What rank ``src`` has, on every rank: (...) -> (...).  Only there does the gradient arrive."""
    g = group_of(group)
    tensor_array(tensor)
    return passed(Broadcast(g.comm, _root(g, src, None, "src")), [tensor])[0]


def gather(tensor: Any, dst: int = 0, group: Any = None) -> tuple[Any, ...]:
    """All ranks' tensors on rank ``dst``, in a tuple; the others get zeros."""
    g = group_of(group)
    tensor_array(tensor)
    return passed(Gather(g.comm, _root(g, dst, None, "dst")), [tensor])


def scatter(tensors: Sequence[Any] | None, src: int = 0, group: Any = None) -> Any:
    """The r-th of the list that rank ``src`` gives, on rank r.  The others may give None."""
    g = group_of(group)
    root = _root(g, src, None, "src")
    here = list(tensors or ())
    if g.comm.rank == root:
        _check_outputs(
            here, g.comm.size, tensor_array(here[0] if here else None, "tensors[0]"), "scatter on its source"
        )
    box: list[Any] = [[list(here[0]._a.shape), here[0]._a.dtype.name] if g.comm.rank == root else None]
    broadcast_object_list(box, group=g, group_src=root)
    shape, dtype = box[0]
    if g.comm.rank != root and len(here) != g.comm.size:
        here = [wrap(np.zeros(shape, dtype)) for _ in range(g.comm.size)]
    return passed(Scatter(g.comm, root), here)[0]


def reduce(tensor: Any, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """The reduction over all ranks on rank ``dst``; the others get zeros."""
    g = group_of(group)
    root = _root(g, dst, None, "dst")
    tensor_array(tensor)
    chosen, scale = _kind(op, g)
    if chosen is None:
        return passed(Reduce(g.comm, root, scale), [tensor])[0]
    return chosen(stack(passed(Gather(g.comm, root), [tensor])), 0)


def reduce_scatter(output: Any, input_list: Sequence[Any], op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """The reduction of all ranks' r-th Tensor, on rank r; ``output`` gets its values too, the graph hangs on the result."""
    g = group_of(group)
    _check_outputs(input_list, g.comm.size, tensor_array(output, "output"), "reduce_scatter")
    chosen, scale = _kind(op, g)
    if chosen is None:
        found = passed(ReduceScatter(g.comm, scale), list(input_list))[0]
    else:
        shapes = (tuple(output._a.shape),) * g.comm.size
        found = chosen(stack(passed(AllToAll(g.comm, shapes, shapes), list(input_list))), 0)
    return _into(output, found)


def all_gather(tensor: Any, group: Any = None) -> tuple[Any, ...]:
    """All ranks' tensors on every rank, in a tuple."""
    g = group_of(group)
    tensor_array(tensor)
    return passed(AllGather(g.comm, None), [tensor])


def _all_gather_base(output_tensor: Any, input_tensor: Any, group: Any = None) -> Any:
    """All ranks' tensors in one: (n, ...) -> (size * n, ...); ``output_tensor`` gets the values too."""
    g = group_of(group)
    a, out = tensor_array(input_tensor, "input_tensor"), tensor_array(output_tensor, "output_tensor")
    if out.size != a.size * g.comm.size or out.dtype != a.dtype:
        raise ShapeError(
            f"_all_gather_base: output has {out.size} elements of {out.dtype}, expected {a.size * g.comm.size} of {a.dtype}"
        )
    return _into(output_tensor, stack(passed(AllGather(g.comm, None), [input_tensor])).reshape(output_tensor.shape))


def all_to_all(
    output_tensor_list: Sequence[Any], input_tensor_list: Sequence[Any], group: Any = None
) -> tuple[Any, ...]:
    """The r-th input goes to rank r, the r-th of the tuple comes from there; ``output_tensor_list`` tells the shapes."""
    g = group_of(group)
    for name, tensors in (("input_tensor_list", input_tensor_list), ("output_tensor_list", output_tensor_list)):
        if len(tensors) != g.comm.size:
            raise ShapeError(f"{name} needs {g.comm.size} tensors, one per rank, found {len(tensors)}")
    given = tuple(tuple(tensor_array(t).shape) for t in input_tensor_list)
    found = tuple(tuple(tensor_array(t).shape) for t in output_tensor_list)
    exchange = AllToAll(g.comm, given, found)
    results = passed(exchange, list(input_tensor_list))
    return tuple(_into(out, y) for out, y in zip(output_tensor_list, results))


def all_to_all_single(
    output: Any, input: Any, output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None, group: Any = None,
) -> Any:  # fmt: skip
    """Parts of ``input`` along its first dimension go to the ranks; the result holds what came, in rank order."""
    g = group_of(group)
    a, out = tensor_array(input, "input"), tensor_array(output, "output")
    send, receive = (_rows(x, sizes, g.comm.size) for x, sizes in ((a, input_split_sizes), (out, output_split_sizes)))
    given = tuple((n, *a.shape[1:]) for n in send)
    found = tuple((n, *out.shape[1:]) for n in receive)
    parts = passed(AllToAll(g.comm, given, found), list(input.split(send)))
    return _into(output, cat(parts))


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """The reduction over all ranks, on every rank: (...) -> (...).

    Of MAX and MIN the gradient goes to the rank that has it (ties share it), of PRODUCT to all.
    """
    g = group_of(group)
    tensor_array(tensor)
    if str(op).lower() in ("band", "bor", "bxor"):  # of integers only: nothing to differentiate
        found = wrap(np.array(tensor._a, order="C"))
        collectives.all_reduce(found, op, g)
        return found
    chosen, scale = _kind(op, g)
    if chosen is None:
        return passed(AllReduce(g.comm, scale), [tensor])[0]
    return chosen(stack(passed(AllGather(g.comm, None), [tensor])), 0)


def _kind(op: Any, g: ProcessGroup) -> tuple[Any, float | None]:
    """What to do with all ranks' Tensors stacked, None for a sum; and what to scale the sum by."""
    name, scale = _named(op, g)
    if name == "sum":
        return None, scale
    if name not in _CHOSEN:
        raise UnsupportedError(
            f"a differentiable collective has no {name}; use SUM, AVG, PREMUL_SUM, PRODUCT, MIN or MAX"
        )
    return _CHOSEN[name], None


def _into(out: Variable, found: Any) -> Any:
    """``found``, whose values ``out`` gets too."""
    if out._a.shape != found._a.shape or out._a.dtype != found._a.dtype:
        raise ShapeError(
            f"the output has shape {list(out._a.shape)} and dtype {out._a.dtype}, "
            f"expected {list(found._a.shape)} and {found._a.dtype}"
        )
    np.copyto(out._a, found._a)
    out._cell[0] += 1
    return found


def _rows(a: Any, sizes: Sequence[int] | None, parts: int) -> list[int]:
    rows = a.shape[0] if a.ndim else 0
    if not sizes:
        if rows % parts:
            raise ShapeError(f"Tensor's dim 0 ({rows}) does not divide equally across group size {parts}")
        sizes = [rows // parts] * parts
    if len(sizes) != parts or sum(sizes) != rows:
        raise ArgumentError(f"split sizes {list(sizes)} must be {parts} counts that add up to dim 0, {rows}")
    return list(sizes)
