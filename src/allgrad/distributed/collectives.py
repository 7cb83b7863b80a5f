"""Collectives on Tensors, in place, under PyTorch's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable
from allgrad.comm import Work
from allgrad.distributed.group import ProcessGroup, group_of
from allgrad.errors import ArgumentError, DtypeError, ShapeError

Array = np.ndarray[Any, Any]


class ReduceOp:
    """How values of several ranks become one."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "prod"
    MIN = "min"
    MAX = "max"
    BAND = "band"
    BOR = "bor"
    BXOR = "bxor"


def tensor_array(tensor: Any, name: str = "tensor") -> Array:
    """The array of a Tensor argument."""
    if not isinstance(tensor, Variable):
        raise DtypeError(f"{name} must be a Tensor, found {type(tensor).__name__}")
    return tensor._a


def flat_copy(a: Array) -> tuple[Array, bool]:
    """``a`` as flat contiguous memory, and whether that is a copy."""
    if a.flags.c_contiguous and a.flags.writeable:
        return a.reshape(-1), False
    return np.array(a, order="C").reshape(-1), True


def written(tensor: Any, flat: Array, copied: bool) -> None:
    """Bring a result home and note the change."""
    if copied:
        np.copyto(tensor._a, flat.reshape(tensor._a.shape))
    tensor._version[0] += 1


class WorkHandle:
    """A collective under way: ``wait()``, ``is_completed()``."""

    def __init__(self, work: Work | None, done: Any) -> None:
        self._work = work
        self._done = done

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
    if not async_op:
        g.comm.all_reduce(flat, name, scale=scale)
        written(tensor, flat, copied)
        return None
    work = g.comm.start_all_reduce(flat, name, scale=scale)
    return WorkHandle(work, lambda: written(tensor, flat, copied))


def _named(op: Any, g: ProcessGroup) -> tuple[str, float | None]:
    name = str(op).lower()
    if name in ("avg", "mean"):
        return "sum", 1.0 / g.comm.size
    return name, None


def broadcast(tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None) -> WorkHandle | None:  # fmt: skip
    """Replace ``tensor`` by that of rank ``src``."""
    g = group_of(group)
    root = _root(g, src, group_src, "src")
    flat, copied = flat_copy(tensor_array(tensor))
    g.comm.broadcast(flat, root)
    written(tensor, flat, copied)
    return WorkHandle(None, None) if async_op else None


def _root(g: ProcessGroup, rank: int | None, group_rank: int | None, name: str) -> int:
    if (rank is None) == (group_rank is None):
        raise ArgumentError(f"give either {name} or group_{name}, found {rank} and {group_rank}")
    if group_rank is not None:
        return group_rank
    if rank not in g.ranks:
        raise ArgumentError(f"Global rank {rank} is not part of group {g}")
    return g.ranks.index(rank)


def all_gather(tensor_list: Sequence[Any], tensor: Any, group: Any = None, async_op: bool = False) -> WorkHandle | None:
    """Fill ``tensor_list`` (one Tensor per rank, of the shape of ``tensor``) with the tensors of all ranks."""
    g = group_of(group)
    a = tensor_array(tensor)
    if len(tensor_list) != g.comm.size:
        raise ShapeError(f"all_gather needs {g.comm.size} output tensors, one per rank, found {len(tensor_list)}")
    for out in tensor_list:
        if tensor_array(out, "tensor_list").shape != a.shape or out._a.dtype != a.dtype:
            raise ShapeError(
                f"all_gather: an output has shape {list(out._a.shape)} and dtype {out._a.dtype}, "
                f"expected {list(a.shape)} and {a.dtype}"
            )
    rows = g.comm.all_gather(np.ascontiguousarray(a).reshape(-1))
    for out, row in zip(tensor_list, rows):
        np.copyto(out._a, row.reshape(a.shape))
        out._version[0] += 1
    return WorkHandle(None, None) if async_op else None


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> WorkHandle | None:
    """Return when every rank has called it."""
    group_of(group).comm.barrier()
    return WorkHandle(None, None) if async_op else None
