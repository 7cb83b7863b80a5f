"""A communicator over MPI: control records, messages, and all-reduce under way.

Nothing blocks inside MPI: every call is started, then asked for again and again (``comm/progress.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from allgrad.comm import exchange, letters
from allgrad.comm.agreement import Call
from allgrad.comm.allreduce import AllReducer
from allgrad.comm.exchange import in_chunks, message_tag
from allgrad.comm.node import RING
from allgrad.comm.progress import SPINS, Queue, QueuedWork, Steps, advance, wait_until
from allgrad.comm.protocol import Communicator, read_only
from allgrad.comm.record import FITS_BYTES, Record
from allgrad.comm.reduction import Array, fold
from allgrad.comm.watch import GroupWatch
from allgrad.comm.work import Buffer, Work
from allgrad.errors import MismatchError

if TYPE_CHECKING:
    from allgrad.comm.mpi import World


class MpiCommunicator(Communicator):
    """A group of MPI processes; owns three private duplicates of its MPI communicator."""

    kind = "mpi"

    def __init__(self, world: World, comm: Any, group: str, members: tuple[int, ...]) -> None:
        super().__init__()
        self._world, self._comm, self._name, self._members = world, comm, group, members
        self._mail, self._lanes = comm.Dup(), comm.Dup()
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.host = world.host
        self.hosts = tuple(world.hosts[m] for m in members)
        homes = [world.node_of[m] for m in members]
        self.nodes = len(set(homes))
        here = [r for r, home in enumerate(homes) if home == homes[self.rank]]
        self.local_rank, self.local_size = here.index(self.rank), len(here)
        self._board = world.board
        self._watch = GroupWatch(world, group, members)
        self._queue = Queue(self._watch)
        world.queues.append(self._queue)
        self._reducer = AllReducer(world, comm, self._lanes, homes)
        self.algorithm, self.check_collectives = world.algorithm, world.check_collectives

    # -- control plane --------------------------------------------------------------------------------------------

    def _call(self, name: str, *facts: Any, label: str = "") -> Call:
        call = super()._call(name, *facts, label=label)
        if self._world.board is not None:
            self._world.board.count(call.line())
        return call

    def _complete(self, requests: list[Any], call: Call, nbytes: int = 0) -> None:
        """Wait for all of ``requests``, which move ``nbytes``."""

        def ready() -> bool:
            self._queue.raise_failed()
            while requests and requests[-1].Test():
                requests.pop()
            return not requests

        wait_until(ready, call.signature, self._watch, nbytes, lambda: len(requests))

    def _record(self, call: Call, payload: bytes = b"") -> list[bytes]:
        """Exchange the text of the call and a payload; MismatchError on every rank if the texts differ."""
        record = Record(self._comm, self.size, call, payload)
        self._complete([record.request], call)
        lengths, found = record.payloads()
        if max(lengths) <= FITS_BYTES:
            return found
        parts = [np.empty(n, np.uint8) for n in lengths]
        self._exchange([np.frombuffer(payload, np.uint8)] * self.size, parts, call)
        return [part.tobytes() for part in parts]

    def _check(self, call: Call) -> None:
        """Before data moves: do all ranks make this call?"""
        if self.check_collectives:
            self._record(call)

    def _exchange(self, sends: list[Array], recvs: list[Array], call: Call) -> None:
        """``sends[r]`` to rank r and ``recvs[r]`` from rank r, for every r; empty ones are not sent."""
        requests: list[Any] = []
        tag = message_tag(call)
        for i in range(1, self.size):
            requests += in_chunks(self._lanes.Irecv, recvs[self.rank - i], (self.rank - i) % self.size, tag)
        for i in range(1, self.size):
            target = (self.rank + i) % self.size
            requests += in_chunks(self._lanes.Isend, sends[target], target, tag)
        recvs[self.rank][...] = sends[self.rank]
        self._complete(requests, call, sum(each.nbytes for each in (*sends, *recvs)))

    def _all_gather_bytes(self, call: Call, payload: bytes) -> list[bytes]:
        return self._record(call, payload)

    def _broadcast_bytes(self, call: Call, payload: bytes, root: int) -> bytes:
        return self._record(call, payload if self.rank == root else b"")[root]

    def _barrier(self, call: Call) -> None:
        self._record(call)

    # -- data plane -----------------------------------------------------------------------------------------------

    def all_reduce(self, flat: Array, op: str = "sum", *, scale: float | None = None, label: str = "") -> None:
        reducer, queue, kind = self._reducer, self._queue, None
        quick = reducer.quick
        if quick is not None and not queue.pending and queue.failed is None and isinstance(flat, np.ndarray):
            kind = reducer.kind(flat, op, scale, label, self._algorithm)
        if quick is None or kind is None:
            super().all_reduce(flat, op, scale=scale, label=label)
            return
        number = self._count(kind.line)
        steps = quick.reduce(kind, flat, number)
        if steps is not None:
            self._queue.add(steps, flat, lambda: f"#{number} {kind.text}").wait()

    def all_reduce_behind(
        self, notice: Array, told: Array, flat: Array, op: str, scale: float | None, label: str, front: str
    ) -> bool:
        # Not while something is under way: calls are answered in the order in which they were made.
        quick, before, kind = self._reducer.quick, None, None
        if quick is not None and not self._queue.pending and self._queue.failed is None:
            before = self._reducer.kind(told, "sum", None, front, self._algorithm)
            kind = self._reducer.kind(flat, op, scale, label, self._algorithm, -(-told.nbytes // 64) * 64)
        if quick is None or before is None or kind is None:
            return super().all_reduce_behind(notice, told, flat, op, scale, label, front)
        number, text = self._count(before.line), before.text
        steps = quick.reduce_behind(before, kind, notice, told, flat, number)
        if steps is not None:
            self._queue.add(steps, flat, lambda: f"#{number} {text}").wait()
        return quick.both

    def _count(self, line: bytes) -> int:
        """The number of a call that begins, whose ``Call.line()`` is given."""
        self.sequence = number = self.sequence + 1
        if self._board is not None:
            self._board.count(line)
        return number

    def _all_reduce(self, call: Call, flat: Array, op: str, scale: float | None) -> None:
        if self._queue.pending:
            self._start_all_reduce(call, flat, op, scale, False).wait()
            return
        # what the others are about to answer needs no queue
        steps, _ = self._reducer.start(call, flat, op, scale, False, self._algorithm)
        if not advance(steps, 1 if self._reducer.crowded else SPINS):
            self._queue.add(steps, flat, call.signature).wait()

    def _start_all_reduce(self, call: Call, flat: Array, op: str, scale: float | None, shared_result: bool) -> Work:
        while len(self._queue.pending) >= RING - 2:  # a rank may not run further ahead than the ring of calls is long
            self._queue.pending[0].wait()
        steps, result = self._reducer.start(call, flat, op, scale, shared_result, self._algorithm)
        return self._queue.add(steps, read_only(result) if shared_result else result, call.signature)

    @property
    def idle(self) -> bool:
        return not self._queue.pending and self._queue.failed is None

    def progress(self) -> None:
        if self._queue.pending:
            self._queue.push()

    def _broadcast(self, call: Call, flat: Array, root: int) -> None:
        self._check(call)
        raw = flat.view(np.uint8)
        for start in range(0, raw.size, exchange.CHUNK_BYTES):
            self._complete([self._comm.Ibcast(raw[start : start + exchange.CHUNK_BYTES], root)], call, raw.size)

    def _all_gather(self, call: Call, flat: Array, out: Array) -> None:
        self._check(call)
        self._exchange([flat] * self.size, list(out), call)

    def _reduce_scatter(self, call: Call, flat: Array, op: str, scale: float | None, out: Array) -> None:
        self._check(call)
        rows = np.empty((self.size, out.size), flat.dtype)
        self._exchange(list(flat.reshape(self.size, -1)), list(rows), call)
        fold(op, list(rows), [out], scale)

    def _all_to_all(self, call: Call, flat: Array, send: list[int], recv: list[int], out: Array) -> None:
        if self.check_collectives:
            told = self._record(call, np.array([send, recv], np.int64).tobytes())
            counts = [np.frombuffer(each, np.int64).reshape(2, -1) for each in told]
            for source in range(self.size):
                for target in range(self.size):
                    sent, awaited = counts[source][0, target], counts[target][1, source]
                    if sent != awaited:
                        raise MismatchError(
                            f"all_to_all: rank {source} sends {sent} elements to rank {target}, which expects {awaited}"
                        )
        self._exchange(np.split(flat, np.cumsum(send)[:-1]), np.split(out, np.cumsum(recv)[:-1]), call)

    def _gather(self, call: Call, flat: Array, root: int, out: Array | None) -> None:
        self._check(call)
        nothing = flat[:0]
        sends = [flat if r == root else nothing for r in range(self.size)]
        recvs = [nothing.copy() if out is None else out[r] for r in range(self.size)]
        if out is None:
            sends[self.rank] = nothing
        self._exchange(sends, recvs, call)

    def _scatter(self, call: Call, flat: Array | None, out: Array, root: int) -> None:
        self._check(call)
        nothing = out[:0]
        sends = [nothing] * self.size if flat is None or self.rank != root else list(flat.reshape(self.size, -1))
        recvs = [out if r == root else nothing for r in range(self.size)]
        self._exchange(sends, recvs, call)

    def _reduce(self, call: Call, flat: Array, root: int, op: str, scale: float | None) -> None:
        rows = np.empty((self.size, flat.size), flat.dtype) if self.rank == root else None
        self._gather(call, flat, root, rows)
        if rows is not None:
            fold(op, list(rows), [flat], scale)

    # -- between two ranks ----------------------------------------------------------------------------------------

    def _isend(self, flat: Array, peer: int, tag: int) -> Work:
        requests = letters.post(self._mail.Isend, letters.sealed(flat), peer, tag)

        def steps() -> Steps:
            for request in requests:
                while not request.Test():
                    yield

        return self._letter(steps(), flat, f"send({flat.dtype}, {flat.size}) to rank {peer}, tag {tag}")[1]

    def _irecv(self, flat: Array, peer: int | None, tag: int) -> Work:
        pieces = letters.empty(flat)
        posted = [] if peer is None else letters.post(self._mail.Irecv, pieces, peer, tag)

        def steps() -> Steps:
            status, got, requests = self._world.status(), 0, posted
            if peer is None:
                # MPICH 5.0.2 loses receives from MPI_ANY_SOURCE when ranks are on the same node and on others; a probe works
                while not self._mail.Iprobe(self._world.any_source, tag, status):
                    yield
                requests = letters.post(self._mail.Irecv, pieces, status.Get_source(), tag)
            for request, piece in zip(requests, pieces):
                try:
                    while not request.Test(status):
                        yield
                except self._world.error as error:
                    sender = peer if peer is not None else status.Get_source()
                    raise MismatchError(
                        f"rank {sender} sent a message (tag {tag}) longer than the {flat.nbytes} bytes of {flat.dtype} that "
                        f"rank {self.rank} receives into: {error}"
                    ) from None
                got += status.Get_count()
                if status.Get_count() < piece.size:  # no further pieces will come
                    break
            work.source = status.Get_source()
            self._world.queues.remove(queue)
            letters.unseal(pieces, got, flat, f"rank {work.source} sent", f"(tag {tag}), but rank {self.rank} receives")

        source = "any rank" if peer is None else f"rank {peer}"
        queue, work = self._letter(steps(), flat, f"recv({flat.dtype}, {flat.size}) from {source}, tag {tag}")
        self._world.queues.append(queue)  # pushed by every wait, until it is received
        return work

    def _letter(self, steps: Steps, flat: Array, text: str) -> tuple[Queue, QueuedWork]:
        """Messages do not wait for each other: each has a queue of its own."""
        queue = Queue(self._watch)
        work = QueuedWork(queue, steps, flat, lambda: text)
        queue.pending.append(work)
        return queue, work

    # -- memory and groups ----------------------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> Buffer:
        self._record(self._call("allocate", nbytes))
        return self._reducer.allocate(nbytes, lambda: self._before_free(nbytes))

    def _before_free(self, nbytes: int) -> None:
        self._drain()
        self._barrier(self._call("free", nbytes))  # nobody writes there any more

    def _drain(self) -> None:
        """Wait for all work under way."""
        while self._queue.pending:
            self._queue.pending[0].wait()

    @property
    def timeout_s(self) -> float:
        """Seconds that a collective may take before the watchdog ends the job; ``ALLGRAD_TIMEOUT`` at first."""
        return self._watch.timeout_s

    @timeout_s.setter
    def timeout_s(self, seconds: float) -> None:
        self._watch.timeout_s = seconds

    def set_timeout(self, seconds: float) -> None:
        self.timeout_s = seconds

    def split(self, color: int | None, key: int = 0, label: str = "") -> Communicator | None:
        call = self._call("split", label=label)
        self._record(call)
        comm = self._comm.Split(self._world.undefined if color is None else color, key)
        if color is None:
            return None
        ranks = comm.allgather(self._members[self.rank])
        group = MpiCommunicator(self._world, comm, f"{self._name}/{call.sequence}.{color}", tuple(ranks))
        group.algorithm, group.timeout_s = self.algorithm, self.timeout_s
        return group

    def abort(self, code: int = 1) -> NoReturn:
        self._world.end(code)

    def close(self) -> None:
        if self._comm is None:
            return
        self._drain()
        self._reducer.close()
        self._world.queues.remove(self._queue)
        for comm in (self._comm, self._mail, self._lanes):
            comm.Free()
        self._comm = None
        self._world.forget(self)

    def describe(self) -> dict[str, Any]:
        facts = super().describe()
        algorithm = self.algorithm if self._reducer.possible(self.algorithm) else f"auto, not {self.algorithm}"
        return facts | self._world.describe() | {"algorithm": algorithm, "shared_windows": self._reducer.windows}
