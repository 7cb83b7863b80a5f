"""What a wrapped model has of its group, and how the group gets it back once the program has thrown the model away.

Each wrapped model needs a stream of messages of its own, because two models must not wait for each other's, and memory for
its buckets.  MPI takes such things back only in calls of all ranks, but Python drops objects on each rank when it
likes.  So when the next model is wrapped the ranks tell each other what they have dropped: what all of them have goes to
that next model, or back to the node.  Memory that somebody still looks at, such as a gradient kept in a list, stays.
"""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.comm import Buffer, Communicator

if TYPE_CHECKING:
    from allgrad.distributed.ddp import DistributedDataParallel
    from allgrad.distributed.step_word import Gate

_HELD = -1  # in place of a stream's number of calls: the model is still there
_MANY = 16  # models alive from which on garbage is collected first: some may hang in a cycle


class Lease:
    """What one wrapped model has: a stream, a number in the step words, buckets."""

    def __init__(self, stream: Communicator, model: DistributedDataParallel) -> None:
        self.stream = stream
        self._model = weakref.ref(model)
        self.reducer: Any = None
        self.gate: Gate | None = None  # it holds the model too: others may still take steps of it
        self.slot: int | None = None

    def state(self) -> int:
        """How many calls the stream has seen, if this rank is done with it; else ``_HELD``."""
        if self.gate is not None and self.slot is not None and self.gate.holds(self.slot):
            dropped = not self.gate.in_use(self.slot)
        else:
            dropped = self._model() is None
        # a forward whose backward may still come
        awaited = self.reducer is not None and (self.reducer.active or bool(self.reducer._outputs))
        return self.stream.sequence if dropped and not awaited and self.stream.idle else _HELD

    def end(self) -> list[Buffer]:
        """The model is no more, on any rank; its memory, which is still to be freed."""
        if self.gate is not None and self.slot is not None:
            self.gate.leave(self.slot)
        reducer, self.reducer = self.reducer, None
        return [] if reducer is None else reducer.close()


class Leases:
    """The leases of one communicator, in the order in which models were wrapped: the same on every rank."""

    def __init__(self, comm: Communicator) -> None:
        self.comm = comm
        self.free = [comm]  # streams that no model has
        self.held: list[Lease] = []
        self.left: list[Buffer] = []  # memory of models and plans that are no more
        self._many = _MANY

    def enter(self, model: DistributedDataParallel) -> Lease:
        """A lease for ``model``.  Collective."""
        self.sweep()
        stream = self.free.pop(0) if self.free else self.comm.split(0, self.comm.rank, "a further wrapped model")
        if stream is None:
            raise AssertionError("every rank gave the same color")
        stream.algorithm = self.comm.algorithm
        self.held.append(Lease(stream, model))
        return self.held[-1]

    def sweep(self) -> None:
        """Take back what all ranks have done with.  Collective."""
        if self.held:
            if len(self.held) >= self._many:
                gc.collect()
                self._many = max(_MANY, 2 * len(self.held))
            mine = np.array([lease.state() for lease in self.held], np.int64)
            said = np.array(self._told(mine, "which wrapped models are alive")).reshape(self.comm.size, -1)
            ended = [lease for lease, row in zip(self.held, said.T) if (row != _HELD).all()]
            whole = {id(lease) for lease, row in zip(self.held, said.T) if len(set(row)) == 1}
            self.held = [lease for lease in self.held if lease not in ended]
            for lease in ended:
                memory = lease.end()
                # Ranks that have made different calls were torn apart by an error: nothing can be agreed there any more.
                if id(lease) in whole:
                    self.left += memory
                    self.free.insert(0 if lease.stream is self.comm else len(self.free), lease.stream)
        self._free_memory()

    def _free_memory(self) -> None:
        if not self.left:
            return
        mine = np.array([buffer.unseen() for buffer in self.left], np.int64)
        said = np.array(self._told(mine, "which memory is looked at")).reshape(self.comm.size, -1)
        kept = []
        for buffer, nobody in zip(self.left, [all(column) for column in said.T]):
            if nobody:
                buffer.free()
            else:
                kept.append(buffer)
        self.left = kept

    def _told(self, mine: Any, label: str) -> list[Any]:
        return [np.frombuffer(raw, np.int64) for raw in self.comm.all_gather_bytes(mine.tobytes(), label=label)]

    def close(self) -> None:
        """The group is about to end: give back all that no living model has.  Collective."""
        self.sweep()
        for stream in self.free:
            if stream is not self.comm:
                stream.close()
        self.free.clear()


def leases_of(comm: Communicator) -> Leases:
    """The leases of ``comm``, made when they are first asked for."""
    if comm.leases is None:
        comm.leases = Leases(comm)
    found: Leases = comm.leases
    return found
