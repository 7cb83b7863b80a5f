"""Names of ``torch.distributed.distributed_c10d`` that settle or report how groups work."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.distributed.collectives import ReduceOp, WorkHandle, all_gather, all_reduce
from allgrad.distributed.group import (
    BACKENDS,
    GroupMember,
    ProcessGroup,
    default_group,
    destroy_process_group,
    get_backend,
    get_rank,
    get_world_size,
    group_of,
    init_process_group,
    is_initialized,
    new_group,
)
from allgrad.distributed.objects import decode, encode
from allgrad.distributed.point_to_point import _peer, recv, send
from allgrad.errors import ArgumentError, DistributedError, DistStoreError

__all__ = [
    "Backend",
    "DebugLevel",
    "DistBackendError",
    "DistError",
    "DistNetworkError",
    "DistStoreError",
    "GroupMember",
    "ProcessGroup",
    "ReduceOp",
    "all_gather_coalesced",
    "all_reduce_coalesced",
    "default_pg_timeout",
    "destroy_process_group",
    "get_backend",
    "get_debug_level",
    "get_default_backend_for_device",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "is_backend_available",
    "is_initialized",
    "is_ucc_available",
    "is_xccl_available",
    "new_group",
    "recv_object_list",
    "send_object_list",
    "set_debug_level",
    "set_debug_level_from_env",
]

DistError = DistBackendError = DistNetworkError = DistributedError
default_pg_timeout = datetime.timedelta(minutes=10)


class Backend(str):
    """The name of a backend, in small letters; all of them run on allgrad's communicators."""

    UNDEFINED, GLOO, NCCL, UCC, MPI = "undefined", "gloo", "nccl", "ucc", "mpi"
    backend_list = list(BACKENDS)

    def __new__(cls, name: str) -> Backend:
        if not isinstance(name, str):
            raise ArgumentError(f"Backend constructor parameter must be string-ish, found {type(name).__name__}")
        return super().__new__(cls, name.lower())


def is_backend_available(backend: str) -> bool:
    """Whether ``init_process_group`` takes this backend's name."""
    return backend.lower() in BACKENDS and backend.lower() not in ("nccl", "ucc")


def get_default_backend_for_device(device: Any) -> str:
    """The name "gloo": it runs on allgrad's communicators; there are no other devices than the CPU."""
    if str(device).partition(":")[0] != "cpu":
        raise ArgumentError(f"Default backend not found for device: {device}; allgrad runs on the CPU")
    return "gloo"


def is_ucc_available() -> bool:
    """False: it would be for GPUs."""
    return False


def is_xccl_available() -> bool:
    """False: it would be for GPUs."""
    return False


class DebugLevel(enum.Enum):
    """How much is compared: everything but OFF compares the fingerprint of each collective between the ranks."""

    OFF = 0
    INFO = 1
    DETAIL = 2


def get_debug_level() -> DebugLevel:
    """DETAIL while fingerprints of collectives are compared, which is the default; else OFF."""
    return DebugLevel.DETAIL if not is_initialized() or default_group().comm.check_collectives else DebugLevel.OFF


def set_debug_level(level: DebugLevel) -> None:
    """Compare the fingerprints of the default group's collectives or not; the same on every rank, between collectives."""
    if not isinstance(level, DebugLevel):
        raise ArgumentError(f"expected a DebugLevel, found {level!r}")
    default_group().comm.check_collectives = level is not DebugLevel.OFF


def set_debug_level_from_env() -> None:
    """Nothing to read: ``ALLGRAD_CHECK_COLLECTIVES`` counts when a group is made."""


def all_reduce_coalesced(
    tensors: Sequence[Any], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Any:
    """``all_reduce`` of each Tensor of a list, in place."""
    works = [all_reduce(t, op, group, async_op=True) for t in tensors]
    return _together(works, tensors, async_op)


def all_gather_coalesced(
    output_tensor_lists: Sequence[Sequence[Any]], input_tensor_list: Sequence[Any], group: Any = None, async_op: bool = False
) -> Any:  # fmt: skip
    """``all_gather`` of each Tensor of a list: place r of ``output_tensor_lists`` is the list of rank r."""
    works = []
    for k, t in enumerate(input_tensor_list):
        works.append(all_gather([row[k] for row in output_tensor_lists], t, group, async_op=True))
    return _together(works, [t for row in output_tensor_lists for t in row], async_op)


class _All(WorkHandle):
    """Several collectives under way as one."""

    def __init__(self, works: Sequence[WorkHandle], result: Sequence[Any]) -> None:
        super().__init__(None, lambda: None, result)
        self._works = works

    def is_completed(self) -> bool:
        return all([work.is_completed() for work in self._works])  # each is pushed on

    def wait(self, timeout: Any = None) -> bool:
        for work in self._works:
            work.wait(timeout)
        return True


def _together(started: Sequence[WorkHandle | None], result: Sequence[Any], async_op: bool) -> WorkHandle | None:
    handle = _All([work for work in started if work is not None], result)
    if async_op:
        return handle
    handle.wait()
    return None


def send_object_list(
    object_list: list[Any], dst: int | None = None, group: Any = None, device: Any = None, group_dst: int | None = None,
    use_batch: bool = False,
) -> None:  # fmt: skip
    """Send plain values (see ``all_gather_object``) to rank ``dst``."""
    raw = encode(list(object_list))
    send(wrap(np.array([len(raw)])), dst, group, group_dst=group_dst)
    send(wrap(np.frombuffer(raw, np.uint8).copy()), dst, group, group_dst=group_dst)


def recv_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None,
    use_batch: bool = False,
) -> int:  # fmt: skip
    """Fill ``object_list`` with the values that rank ``src`` (None: any) sent; the rank that sent them."""
    g = group_of(group)
    size = wrap(np.zeros(1, np.int64))
    if src is None and group_src is None:
        source = g.ranks.index(recv(size, None, group))
    else:
        source = _peer(g, src, group_src, "src")
        recv(size, None, group, group_src=source)
    raw = wrap(np.zeros(int(size._a[0]), np.uint8))
    recv(raw, None, group, group_src=source)
    found = decode(raw._a.tobytes())
    if len(found) != len(object_list):
        raise ArgumentError(
            f"recv_object_list: rank {g.ranks[source]} sent {len(found)} values, object_list has {len(object_list)} places"
        )
    object_list[:] = found
    return g.ranks[source]
