"""Collectives on Tensors, in place, under PyTorch's names and semantics.

Every function takes ``group`` (None: the default group) and most ``async_op``: then they return a handle to wait for.
Tensors of any dtype, contiguous or not, of zero elements and of more than 2 GiB are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable
from allgrad.comm import Work
from allgrad.distributed.group import ProcessGroup, entered, group_of
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.futures import Future

Array = np.ndarray[Any, Any]


class ReduceOp:
    """How values of several ranks become one.  ``PREMUL_SUM(factor)`` scales before it adds."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "prod"
    MIN = "min"
    MAX = "max"
    BAND = "band"
    BOR = "bor"
    BXOR = "bxor"

    class PREMUL_SUM(str):
        """The sum of ``factor`` times each rank's values."""

        factor: float

        def __new__(cls, factor: float) -> ReduceOp.PREMUL_SUM:
            op = super().__new__(cls, "premul_sum")
            op.factor = float(factor)
            return op


def tensor_array(tensor: Any, name: str = "tensor") -> Array:
    """The array of a Tensor argument."""
    if not isinstance(tensor, Variable):
        raise DtypeError(f"{name} must be a Tensor, found {type(tensor).__name__}")
    return tensor._a


def flat_copy(a: Array) -> tuple[Array, bool]:
    """``a`` as flat contiguous memory, and whether that is a copy."""
    flags = a.flags
    if flags.c_contiguous and flags.writeable:
        return (a if a.ndim == 1 else a.reshape(-1)), False
    return np.array(a, order="C").reshape(-1), True


def shape_label(a: Array) -> str:
    """What ranks compare beside the count: adding [2, 3] to [3, 2] is a mistake that no count shows."""
    return "" if a.ndim == 1 else f"shape {list(a.shape)}"


def written(tensor: Any, flat: Array, copied: bool) -> None:
    """Bring a result home and note the change."""
    if copied:
        np.copyto(tensor._a, flat.reshape(tensor._a.shape))
    tensor._cell[0] += 1


class WorkHandle:
    """A collective under way: ``wait()``, ``is_completed()``."""

    def __init__(self, work: Work | None, done: Any, result: Sequence[Any] = ()) -> None:
        self._work = work
        self._done = done
        self._result = list(result)

    def result(self) -> list[Any]:
        """The Tensors that the collective wrote to."""
        return self._result

    def get_future(self) -> Future:
        """A future of the list of Tensors that the collective writes to."""
        return Future(fetch=lambda: self._result if self.wait() else None)

    def is_completed(self) -> bool:
        """Whether it is done; pushes it on."""
        return self._work is None or self._work.test()

    def wait(self, timeout: Any = None) -> bool:
        """Wait until it is done."""
        if self._work is not None:
            self._work.wait()
            self._work = None
            self._done()
        return True


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> WorkHandle | None:
    """Replace ``tensor`` by the reduction over all ranks, the same bits on each: (...) -> (...)."""
    g = group_of(group)
    a = tensor_array(tensor)
    flat, copied = flat_copy(a)
    name, scale = _named(op, g)
    label = shape_label(a)
    if not async_op:
        if g.gate is not None:
            if not copied and g.gate.reduced(flat, name, scale, label):
                tensor._cell[0] += 1
                return None
            if copied:
                entered(group, "all_reduce")
            flat, copied = flat_copy(tensor_array(tensor))  # what this rank stood in for may have changed it
        g.comm.all_reduce(flat, name, scale=scale, label=label)
        written(tensor, flat, copied)
        return None
    # started at once: nobody can be waited for
    work = g.comm.start_all_reduce(flat, name, scale=scale, label=label)
    return WorkHandle(work, lambda: written(tensor, flat, copied), [tensor])


def _named(op: Any, g: ProcessGroup) -> tuple[str, float | None]:
    """The communicator's name of an op, and what to scale its result by."""
    if op is ReduceOp.SUM:
        return "sum", None
    if isinstance(op, ReduceOp.PREMUL_SUM):
        return "sum", op.factor
    name = str(op).lower()
    if name in ("avg", "mean"):
        return "sum", 1.0 / g.comm.size
    return name, None


def done(async_op: bool) -> WorkHandle | None:
    """What a call returns that was finished before it returned."""
    return WorkHandle(None, None) if async_op else None


def broadcast(
    tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> WorkHandle | None:
    """Replace ``tensor`` by that of rank ``src``."""
    g = entered(group, "broadcast")
    root = _root(g, src, group_src, "src")
    flat, copied = flat_copy(tensor_array(tensor))
    g.comm.broadcast(flat, root)
    written(tensor, flat, copied)
    return done(async_op)


def _root(g: ProcessGroup, rank: int | None, group_rank: int | None, name: str) -> int:
    if (rank is None) == (group_rank is None):
        raise ArgumentError(f"give either {name} or group_{name}, found {rank} and {group_rank}")
    if group_rank is not None:
        return group_rank
    if rank not in g.ranks:
        raise ArgumentError(f"Global rank {rank} is not part of group {g}")
    return g.ranks.index(rank)


def reduce(
    tensor: Any, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False,
    group_dst: int | None = None,
) -> WorkHandle | None:  # fmt: skip
    """Replace ``tensor`` on rank ``dst`` by the reduction over all ranks; the others keep theirs."""
    g = entered(group, "reduce")
    root = _root(g, dst, group_dst, "dst")
    name, scale = _named(op, g)
    flat, copied = flat_copy(tensor_array(tensor))
    g.comm.reduce(flat, root, name, scale=scale, label=shape_label(tensor._a))
    if g.comm.rank == root:
        written(tensor, flat, copied)
    return done(async_op)


def _check_outputs(outputs: Sequence[Any], count: int, like: Array, what: str) -> None:
    if len(outputs) != count:
        raise ShapeError(f"{what} needs {count} tensors, one per rank, found {len(outputs)}")
    for out in outputs:
        if tensor_array(out, what).shape != like.shape or out._a.dtype != like.dtype:
            raise ShapeError(
                f"{what}: a tensor has shape {list(out._a.shape)} and dtype {out._a.dtype}, "
                f"expected {list(like.shape)} and {like.dtype}"
            )


def _spread(rows: Any, outputs: Sequence[Any], shape: tuple[int, ...]) -> None:
    for out, row in zip(outputs, rows):
        np.copyto(out._a, row.reshape(shape))
        out._cell[0] += 1


def all_gather(tensor_list: Sequence[Any], tensor: Any, group: Any = None, async_op: bool = False) -> WorkHandle | None:
    """Fill ``tensor_list`` (one Tensor per rank, of the shape of ``tensor``) with the tensors of all ranks."""
    g = entered(group, "all_gather")
    a = tensor_array(tensor)
    _check_outputs(tensor_list, g.comm.size, a, "all_gather")
    _spread(g.comm.all_gather(np.ascontiguousarray(a).reshape(-1)), tensor_list, a.shape)
    return done(async_op)


def all_gather_into_tensor(
    output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False
) -> WorkHandle | None:
    """All ranks' tensors in one: (n, ...) -> (size * n, ...), or stacked (size, n, ...)."""
    g = entered(group, "all_gather_into_tensor")
    a, out = tensor_array(input_tensor), tensor_array(output_tensor, "output_tensor")
    if out.size != a.size * g.comm.size or out.dtype != a.dtype:
        raise ShapeError(
            f"all_gather_into_tensor: output has {out.size} elements of {out.dtype}, expected {a.size * g.comm.size} of {a.dtype}"
        )
    rows = g.comm.all_gather(np.ascontiguousarray(a).reshape(-1))
    np.copyto(out, rows.reshape(out.shape))
    output_tensor._cell[0] += 1
    return done(async_op)


def gather(
    tensor: Any, gather_list: Sequence[Any] | None = None, dst: int | None = None, group: Any = None,
    async_op: bool = False, group_dst: int | None = None,
) -> WorkHandle | None:  # fmt: skip
    """Fill ``gather_list`` on rank ``dst`` (0) with the tensors of all ranks; the others give None."""
    g = entered(group, "gather")
    root = _root(g, 0 if dst is None and group_dst is None else dst, group_dst, "dst")
    a = tensor_array(tensor)
    if g.comm.rank == root:
        _check_outputs(gather_list or (), g.comm.size, a, "gather on its destination")
    elif gather_list:
        raise ArgumentError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    rows = g.comm.gather(np.ascontiguousarray(a).reshape(-1), root)
    if rows is not None:
        _spread(rows, gather_list or (), a.shape)
    return done(async_op)


def scatter(
    tensor: Any, scatter_list: Sequence[Any] | None = None, src: int | None = None, group: Any = None,
    async_op: bool = False, group_src: int | None = None,
) -> WorkHandle | None:  # fmt: skip
    """Replace ``tensor`` on rank r by the r-th of the list that rank ``src`` (0) gives; the others give None."""
    g = entered(group, "scatter")
    root = _root(g, 0 if src is None and group_src is None else src, group_src, "src")
    a = tensor_array(tensor)
    whole = None
    if g.comm.rank == root:
        _check_outputs(scatter_list or (), g.comm.size, a, "scatter on its source")
        whole = np.concatenate([t._a.reshape(-1) for t in scatter_list or ()])
    elif scatter_list:
        raise ArgumentError("Argument ``scatter_list`` must NOT be specified on non-source ranks.")
    flat, copied = flat_copy(a)
    g.comm.scatter(whole, flat, root)
    written(tensor, flat, copied)
    return done(async_op)


def reduce_scatter(
    output: Any, input_list: Sequence[Any], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> WorkHandle | None:
    """Replace ``output`` on rank r by the reduction of all ranks' r-th list entries."""
    g = entered(group, "reduce_scatter")
    out = tensor_array(output, "output")
    _check_outputs(input_list, g.comm.size, out, "reduce_scatter")
    name, scale = _named(op, g)
    whole = np.concatenate([t._a.reshape(-1) for t in input_list])
    np.copyto(out, g.comm.reduce_scatter(whole, name, scale=scale).reshape(out.shape))
    output._cell[0] += 1
    return done(async_op)


def reduce_scatter_tensor(
    output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> WorkHandle | None:
    """(size * n, ...) on every rank -> (n, ...): rank r gets the reduction of all ranks' r-th part."""
    g = entered(group, "reduce_scatter_tensor")
    a, out = tensor_array(input, "input"), tensor_array(output, "output")
    if a.size != out.size * g.comm.size or a.dtype != out.dtype:
        raise ShapeError(
            f"reduce_scatter_tensor: input has {a.size} elements of {a.dtype}, expected {out.size * g.comm.size} of {out.dtype}"
        )
    name, scale = _named(op, g)
    block = g.comm.reduce_scatter(np.ascontiguousarray(a).reshape(-1), name, scale=scale)
    np.copyto(out, block.reshape(out.shape))
    output._cell[0] += 1
    return done(async_op)


def all_to_all(
    output_tensor_list: Sequence[Any], input_tensor_list: Sequence[Any], group: Any = None, async_op: bool = False
) -> WorkHandle | None:
    """The r-th input goes to rank r; the r-th output comes from rank r.  Shapes may differ by pair."""
    g = entered(group, "all_to_all")
    for name, tensors in (("input_tensor_list", input_tensor_list), ("output_tensor_list", output_tensor_list)):
        if len(tensors) != g.comm.size:
            raise ShapeError(f"{name} needs {g.comm.size} tensors, one per rank, found {len(tensors)}")
    sends = [np.ascontiguousarray(tensor_array(t)).reshape(-1) for t in input_tensor_list]
    counts = [tensor_array(t).size for t in output_tensor_list]
    received = g.comm.all_to_all(np.concatenate(sends), [s.size for s in sends], counts)
    start = 0
    for out, count in zip(output_tensor_list, counts):
        np.copyto(out._a, received[start : start + count].reshape(out._a.shape))
        out._cell[0] += 1
        start += count
    return done(async_op)


def all_to_all_single(
    output: Any, input: Any, output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None, group: Any = None, async_op: bool = False,
) -> WorkHandle | None:  # fmt: skip
    """Parts of ``input`` along its first dimension go to the ranks; ``output`` holds what came, in rank order."""
    g = entered(group, "all_to_all_single")
    a, out = tensor_array(input, "input"), tensor_array(output, "output")
    send, recv = _splits(a, input_split_sizes, g.comm.size), _splits(out, output_split_sizes, g.comm.size)
    received = g.comm.all_to_all(np.ascontiguousarray(a).reshape(-1), send, recv)
    np.copyto(out, received.reshape(out.shape))
    output._cell[0] += 1
    return done(async_op)


def _splits(a: Array, sizes: Sequence[int] | None, parts: int) -> list[int]:
    """Elements per part."""
    rows = a.shape[0] if a.ndim else 0
    if not sizes:
        if rows % parts:
            raise ShapeError(f"Tensor's dim 0 ({rows}) does not divide equally across group size {parts}")
        sizes = [rows // parts] * parts
    if len(sizes) != parts or sum(sizes) != rows:
        raise ShapeError(f"split sizes {list(sizes)} must be {parts} counts that add up to dim 0, {rows}")
    row = a.size // rows if rows else 0
    return [int(n) * row for n in sizes]


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> WorkHandle | None:
    """Return when every rank has called it."""
    entered(group, "barrier").comm.barrier()
    return done(async_op)
