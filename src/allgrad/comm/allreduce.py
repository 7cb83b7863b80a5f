"""Which way an all-reduce takes over MPI, and the memory that makes it fast.

    one node, data in a buffer of allocate()         exchange.in_window        no copies
    one node, data elsewhere                         exchange.through_stage    copied in and out of shared memory
    several nodes of several ranks, data in a buffer chain.along_nodes         one rank's bytes between two nodes
    otherwise                                        exchange.by_messages      the bytes of a ring

All ranks choose alike: from facts that all know, and from texts that all have compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.comm.agreement import Call
from allgrad.comm.chain import Lane, along_nodes
from allgrad.comm.exchange import by_messages, in_window, message_tag, through_stage
from allgrad.comm.node import CHANNEL_BYTES, Channel
from allgrad.comm.progress import Steps
from allgrad.comm.record import Record
from allgrad.comm.reduction import Array, fold
from allgrad.comm.work import Buffer, plain_buffer

if TYPE_CHECKING:
    from allgrad.comm.mpi import SharedMemory, World

STAGE_BYTES = 1024 * 1024


class AllReducer:
    """The all-reduces of one communicator; ``homes[r]`` is the node of rank r, ``comm`` carries records, ``lanes`` data."""

    def __init__(self, world: World, comm: Any, lanes: Any, homes: list[int]) -> None:
        self._share, self._lanes, self._rank, self._size = world.share, lanes, comm.Get_rank(), comm.Get_size()
        self._in_place, self._comm = world.in_place, comm
        here = [r for r, home in enumerate(homes) if home == homes[self._rank]]
        self._local_rank = here.index(self._rank)
        self._one_node = len(here) == self._size
        self._lane = None if self._one_node else _lane(lanes, homes, self._rank)
        self._node: Any = None
        self._memory: SharedMemory | None = None
        self._buffers: list[tuple[Buffer, SharedMemory]] = []
        if self._size > 1 and (self._one_node or self._lane is not None):
            self._node = comm.Split(homes[self._rank], self._rank)
            self._memory = self._agree(self._share(self._node, 2 * CHANNEL_BYTES + STAGE_BYTES, STAGE_BYTES))
        if self._memory is not None:
            rows = self._memory.rows
            rows[self._local_rank][: 2 * CHANNEL_BYTES] = 0
            self._calls = Channel([row[:CHANNEL_BYTES] for row in rows], self._local_rank)
            self._blocks = Channel([row[CHANNEL_BYTES : 2 * CHANNEL_BYTES] for row in rows], self._local_rank)
            self._stages = [row[2 * CHANNEL_BYTES :] for row in rows]
            self._node.Barrier()  # nobody posts before every row is zero

    def _agree(self, memory: SharedMemory | None) -> SharedMemory | None:
        """``memory`` if every rank of every node got some; else None."""
        missing = np.array([memory is None], np.int64)
        self._lanes.Allreduce(self._in_place, missing)
        if not missing[0]:
            return memory
        if memory is not None:
            memory.free()
        return None

    @property
    def windows(self) -> bool:
        """Whether buffers are shared by the ranks of a node."""
        return self._memory is not None

    def way(self, flat: Array) -> str:
        """The name of the way that ``flat`` will take, for reports."""
        if self._memory is None or (self._find(flat) is None and not self._one_node):
            return "by_messages"
        if self._find(flat) is None:
            return "through_stage"
        return "in_window" if self._one_node else "along_nodes"

    def start(self, call: Call, flat: Array, op: str, scale: float | None, shared_result: bool) -> tuple[Steps, Array]:
        """The steps still to do, and where the result will lie."""
        if self._size == 1:
            fold(op, [flat], [flat], scale)
            return iter(()), flat
        tag = message_tag(call)
        home = self._find(flat) if self._memory is not None else None
        if self._memory is None or (home is None and not self._one_node):
            return by_messages(self._lanes, Record(self._comm, self._size, call).agreed, flat, tag, op, scale), flat
        if home is None:
            k = self._calls.post(call.signature())
            common = self._memory.common
            return through_stage(
                self._calls, k, self._blocks, self._local_rank, self._stages, common, flat, op, scale
            ), flat
        memory, offset = home
        span = slice(offset, offset + flat.nbytes)
        windows = [row[span].view(flat.dtype) for row in memory.rows]
        shared = memory.common[span].view(flat.dtype) if shared_result else None
        result = flat if shared is None else shared
        where = f" in a buffer at byte {offset}"
        k = self._calls.post(call.signature() + where)
        if self._lane is None:
            return in_window(self._calls, k, self._local_rank, windows, op, scale, shared), result
        outs = windows if shared is None else [shared]
        agreed = Record(self._comm, self._size, call, where=where).agreed
        return along_nodes(agreed, self._calls, k, self._lane, windows, outs, tag, op, scale), result

    def _find(self, flat: Array) -> tuple[SharedMemory, int] | None:
        """The shared memory that ``flat`` lies in, and at which byte."""
        address = flat.__array_interface__["data"][0]
        for buffer, memory in self._buffers:
            offset: int = address - buffer.address
            if offset >= 0 and offset + flat.nbytes <= buffer.nbytes and flat.size:
                return memory, offset
        return None

    def allocate(self, nbytes: int, before_free: Callable[[], None]) -> Buffer:
        """Memory in a window of the node where there are windows, else ordinary memory; collective."""
        memory = None
        if self._memory is not None and nbytes:
            memory = self._agree(self._share(self._node, nbytes, nbytes))
        if memory is None:
            return plain_buffer(nbytes)
        mine = memory.rows[self._local_rank]
        mine[...] = 0  # touched by its owner first: it lies in memory near its core
        entry: list[tuple[Buffer, SharedMemory]] = []

        def release() -> None:
            before_free()
            self._buffers.remove(entry[0])
            memory.free()

        entry.append((Buffer(mine, shared=True, release=release), memory))
        self._buffers.append(entry[0])
        return entry[0][0]

    def close(self) -> None:
        """Free the memory of the node; collective.  Buffers stay: gradients that lie there may still be read."""
        if self._memory is not None:
            self._memory.free()
            self._memory = None
        if self._node is not None:
            self._node.Free()
            self._node = None


def _lane(lanes: Any, homes: list[int], rank: int) -> Lane | None:
    """This rank's lane where sums can travel along the nodes: several ranks on some node, each node's ranks in a row."""
    order = list(dict.fromkeys(homes))
    if sorted(homes, key=order.index) != homes or len(order) == len(homes):
        return None
    groups = [[r for r, home in enumerate(homes) if home == name] for name in order]
    place = order.index(homes[rank])
    count = min(len(group) for group in groups)
    index = groups[place].index(rank)
    if index >= count:
        return Lane(lanes, index, count, None, None)
    left = groups[place - 1][index] if place > 0 else None
    right = groups[place + 1][index] if place + 1 < len(groups) else None
    return Lane(lanes, index, count, left, right)
