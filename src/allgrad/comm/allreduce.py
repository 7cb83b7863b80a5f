"""Which way an all-reduce takes over MPI, and the memory that makes it fast.

    one node, little data, see stage.eager_bytes()   stage.eager, quick        one meeting, everybody folds everything
    one node, data in a buffer of allocate()         exchange.in_window        no copies
    one node, data elsewhere                         stage.through             copied in and out of shared memory
    several nodes of several ranks, data in a buffer chain.along_nodes         one rank's bytes between two nodes
    several nodes, up to 256 bytes                   exchange.by_record        one message, the one that announces the call
    several nodes, many ranks, little data           exchange.by_doubling      log2(size) messages
    otherwise                                        exchange.by_messages      the bytes of a ring
    only if asked for                                exchange.by_library       MPI's own: its bits are not ours

All but the last fold in rank order and give the same bits.  All ranks choose alike: from facts that all know, and from
texts that all have compared.  ``comm/protocol.py`` has the names by which one way can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.comm.agreement import OWN_SPAN, Call
from allgrad.comm.chain import Lane, along_nodes
from allgrad.comm.exchange import by_doubling, by_library, by_messages, by_record, in_window, message_tag
from allgrad.comm.node import CHANNEL_BYTES, MARKS_BYTES, Channel, Marks, packed
from allgrad.comm.progress import Steps
from allgrad.comm.quick import Kind, Quick, cores
from allgrad.comm.record import FITS_BYTES, Record
from allgrad.comm.reduction import Array, accumulator, check_op, fold, scaled
from allgrad.comm.stage import EAGER_BYTES, Stage, Task, eager_bytes, stage_bytes
from allgrad.comm.work import Buffer, plain_buffer
from allgrad.errors import ArgumentError, DtypeError

if TYPE_CHECKING:
    from allgrad.comm.mpi import SharedMemory, World

# Among many ranks a message to each costs more than the bytes of log2(size) larger ones.
MANY_RANKS = 8
DOUBLING_BYTES = 256 * 1024  # of all ranks together
_FIXED_BYTES = CHANNEL_BYTES + MARKS_BYTES
_KINDS = 512  # of small all-reduces that are kept


class AllReducer:
    """The all-reduces of one communicator; ``homes[r]`` is the node of rank r, ``comm`` carries records, ``lanes`` data."""

    def __init__(self, world: World, comm: Any, lanes: Any, homes: list[int]) -> None:
        self._share, self._lanes, self._rank, self._size = world.share, lanes, comm.Get_rank(), comm.Get_size()
        self._in_place, self._comm, self._native = world.in_place, comm, world.library_ops
        here = [r for r, home in enumerate(homes) if home == homes[self._rank]]
        self._local_rank = here.index(self._rank)
        self._one_node = len(here) == self._size
        self._lane = None if self._one_node else _lane(lanes, homes, self._rank)
        self._node: Any = None
        self._memory: SharedMemory | None = None
        self._buffers: list[tuple[Buffer, SharedMemory]] = []
        self._kinds: dict[Any, Kind | None] = {}
        self._eager, self.crowded = EAGER_BYTES, False
        self.quick: Quick | None = None
        if self._size > 1 and (self._one_node or self._lane is not None):
            self._node = comm.Split(homes[self._rank], self._rank)
            stage = stage_bytes(len(here)) if self._one_node else 0
            self._memory = self._agree(self._share(self._node, _FIXED_BYTES + stage, stage))
            self.crowded = self._said_by_any(len(here) > cores())
            self._eager = eager_bytes(len(here), self.crowded)
        if self._memory is not None:
            rows = self._memory.rows
            # Written all at once: memory that is promised but not there would end the process (SIGBUS) in the middle of a step.
            rows[self._local_rank][...] = 0
            if self._local_rank == 0:
                self._memory.common[...] = 0
            self._calls = Channel([row[:CHANNEL_BYTES] for row in rows], self._local_rank)
            marks = Marks([row[CHANNEL_BYTES:_FIXED_BYTES] for row in rows], self._local_rank)
            stages = [row[_FIXED_BYTES:] for row in rows]
            self._stage = Stage(self._calls, marks, self._local_rank, stages, self._memory.common)
            self.quick = Quick(self._calls, self._stage, self.crowded) if self._one_node else None
            self._node.Barrier()  # nobody posts before every row is zero

    def _agree(self, memory: SharedMemory | None) -> SharedMemory | None:
        """``memory`` if every rank of every node got some; else None."""
        if not self._said_by_any(memory is None):
            return memory
        if memory is not None:
            memory.free()
        return None

    def _said_by_any(self, yes: bool) -> bool:
        """Whether some rank says yes.  Collective."""
        count = np.array([yes], np.int64)
        self._lanes.Allreduce(self._in_place, count)
        return bool(count[0])

    @property
    def windows(self) -> bool:
        """Whether buffers are shared by the ranks of a node."""
        return self._memory is not None

    def possible(self, algorithm: str) -> bool:
        """Whether this group can go the way asked for; else it goes the best one."""
        shared = self._memory is not None
        return {"window": shared and self._one_node, "hierarchical": shared and self._lane is not None}.get(
            algorithm, True
        )

    def way(self, flat: Array, algorithm: str = "auto") -> str:
        """The name of the way that ``flat`` will take."""
        if self._size == 1:
            return "alone"
        if algorithm == "library" and accumulator(flat.dtype) == flat.dtype and flat.dtype.kind in "fiu":
            return "by_library"
        if algorithm == "ordered":
            return "by_messages"
        if algorithm == "doubling":
            return "by_doubling"
        if self._memory is not None:
            # what lies in a buffer needs no copies: from half as many bytes on that makes up for a second meeting
            if self._one_node and flat.nbytes <= EAGER_BYTES // 2:
                return "eager"
            if flat.nbytes > FITS_BYTES and self._find(flat) is not None:
                return "in_window" if self._one_node else "along_nodes"
            if self._one_node and flat.nbytes <= self._eager:
                return "eager"
            if self._one_node:
                return "through_stage"
        if flat.nbytes <= FITS_BYTES:
            return "by_record"
        few = self._size <= MANY_RANKS or flat.nbytes * self._size > DOUBLING_BYTES
        return "by_messages" if few else "by_doubling"

    def kind(
        self, flat: Array, op: str, scale: float | None, label: str, algorithm: str, behind: int = 0
    ) -> Kind | None:
        """The kind of all-reduce that this is for ``quick``, ``behind`` bytes of another; None if it has to go by ``start``."""
        key = (op, flat.dtype, flat.size, scale, label, algorithm, behind)
        try:
            kind = self._kinds[key]
        except KeyError:
            if len(self._kinds) >= _KINDS:
                self._kinds.clear()
            self._kinds[key] = kind = self._new_kind(*key)
        if kind is None or flat.ndim != 1 or not flat.flags.carray:
            return None
        if self._buffers and flat.nbytes > EAGER_BYTES // 2 and self._find(flat) is not None:
            return None
        return kind

    def _new_kind(
        self, op: str, dtype: np.dtype[Any], count: int, scale: float | None, label: str, algorithm: str, behind: int
    ) -> Kind | None:
        try:
            accumulator(dtype)
            check_op(op, dtype, scale is not None)
        except (ArgumentError, DtypeError):  # ``start`` is not reached: the ordinary call says what is wrong
            return None
        if count * dtype.itemsize > self._eager or self.way(np.empty(count, dtype), algorithm) != "eager":
            return None
        asked = () if algorithm == "auto" else (algorithm,)
        call = Call(0, "all_reduce", (scaled(op, scale), dtype, count, *asked), label)
        return Kind(self._stage, call, op, dtype, count, scale, behind)

    def start(
        self, call: Call, flat: Array, op: str, scale: float | None, shared_result: bool, algorithm: str
    ) -> tuple[Steps, Array]:
        """The steps still to do, and where the result will lie."""
        way = self.way(flat, algorithm)
        if way == "alone":
            fold(op, [flat], [flat], scale)
            return iter(()), flat
        if way == "by_record":
            return by_record(Record(self._comm, self._size, call, flat.tobytes(), f" {way}"), flat, op, scale), flat
        if way in ("eager", "through_stage"):
            text = f"{call.text()} {way}"
            word = packed(text)[1] + call.sequence
            task = Task(self._calls.post(text, call.sequence), call.sequence, word, flat, op, scale)
            return self._stage.eager(task) if way == "eager" else self._stage.through(task), flat
        if way in ("in_window", "along_nodes"):
            return self._start_in_buffer(call, flat, op, scale, shared_result)
        agreed = Record(self._comm, self._size, call, where=f" {way}").agreed
        if way == "by_library":
            return by_library(self._lanes, agreed, flat, self._native[op], self._in_place, op, scale), flat
        if way == "by_doubling":
            return by_doubling(self._lanes, agreed, flat, message_tag(call), op, scale), flat
        half = OWN_SPAN in call.facts
        return by_messages(self._lanes, agreed, flat, message_tag(call), op, scale, half), flat

    def _start_in_buffer(
        self, call: Call, flat: Array, op: str, scale: float | None, shared_result: bool
    ) -> tuple[Steps, Array]:
        """``start`` where the ranks of the node see each other's data."""
        home = self._find(flat)
        if home is None:
            raise ArgumentError("the data lie in no buffer of this communicator")
        memory, offset = home
        span = slice(offset, offset + flat.nbytes)
        windows = [row[span].view(flat.dtype) for row in memory.rows]
        shared = memory.common[span].view(flat.dtype) if shared_result else None
        result = flat if shared is None else shared
        where = f" in a buffer at byte {offset}{', result shared' if shared_result else ''}"
        k = self._calls.post(call.text() + where, call.sequence)
        if self._lane is None:
            return in_window(self._calls, k, call.sequence, self._local_rank, windows, op, scale, shared), result
        outs = windows if shared is None else [shared]
        agreed = Record(self._comm, self._size, call, where=where).agreed
        return along_nodes(agreed, self._calls, k, self._lane, windows, outs, message_tag(call), op, scale), result

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

        entry.append((Buffer(mine, shared=True, release=release, unseen=memory.unseen), memory))
        self._buffers.append(entry[0])
        return entry[0][0]

    def close(self) -> None:
        """Free the memory of the node; collective.  Buffers stay: gradients that lie there may still be read."""
        self.quick = None
        self._kinds.clear()
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
