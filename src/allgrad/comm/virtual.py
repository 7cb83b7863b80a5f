"""N ranks in one process, without MPI: threads that take turns.  For debugging and for tests, also users' own.

A collective is a *meeting*: each rank brings its arrays, and the last one to arrive does the work for all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from allgrad.comm.agreement import Call, mismatch_message
from allgrad.comm.baton import Baton
from allgrad.comm.mail import MailWork, PostOffice
from allgrad.comm.protocol import Communicator, read_only
from allgrad.comm.reduction import Array, fold
from allgrad.comm.work import Buffer, Work, plain_buffer
from allgrad.context import ctx, run_endings
from allgrad.errors import ArgumentError, MismatchError


class Meeting:
    """One collective call of a group: what each rank brought, and what each takes home."""

    def __init__(self) -> None:
        self.calls: dict[int, str] = {}
        self.brought: dict[int, Any] = {}
        self.results: list[Any] | None = None
        self.error = ""
        self.departed = 0


class Group:
    """What the ranks of one virtual communicator share."""

    def __init__(self, members: tuple[int, ...]) -> None:
        self.members = members  # rank here -> rank in the world
        self.meetings: dict[int, Meeting] = {}
        self.office = PostOffice()


class VirtualCommunicator(Communicator):
    """One rank of a group of threads that take turns."""

    kind = "virtual"

    def __init__(self, baton: Baton, group: Group, rank: int) -> None:
        super().__init__()
        self._baton, self._group = baton, group
        self.rank, self.size = rank, len(group.members)
        self._me = group.members[rank]
        self.local_rank, self.local_size = rank, self.size
        self.host = "virtual"
        self.hosts = (self.host,) * self.size

    # -- meeting --------------------------------------------------------------------------------------------------

    def _arrive(self, call: Call, thing: Any, finish: Callable[[list[Any]], list[Any]]) -> Meeting:
        """Bring ``thing``; the last rank to arrive runs ``finish(things in rank order)`` -> one result per rank."""
        self._baton.check(self._me)
        self._baton.moved()
        meeting = self._group.meetings.setdefault(call.sequence, Meeting())
        meeting.calls[self.rank] = call.text()
        meeting.brought[self.rank] = thing
        if len(meeting.brought) == self.size:
            message = mismatch_message([meeting.calls[r] for r in range(self.size)], call.sequence)
            if message:
                meeting.error = message
            else:
                try:
                    meeting.results = finish([meeting.brought[r] for r in range(self.size)])
                except MismatchError as error:  # raised again on every rank of the meeting
                    meeting.error = str(error)
        return meeting

    def _leave(self, call: Call, meeting: Meeting) -> Any:
        """Wait for the meeting's end and take this rank's result."""
        where = f"{call.text()}, collective {call.sequence} of its group"
        self._baton.wait_until(self._me, lambda: meeting.results is not None or bool(meeting.error), where)
        meeting.departed += 1
        if meeting.departed == self.size:
            del self._group.meetings[call.sequence]
        if meeting.results is None:
            raise MismatchError(meeting.error)
        return meeting.results[self.rank]

    def _meet(self, call: Call, thing: Any, finish: Callable[[list[Any]], list[Any]]) -> Any:
        return self._leave(call, self._arrive(call, thing, finish))

    def progress(self) -> None:
        if self._baton.draw is not None:  # a drawn schedule may switch at every chance
            self._baton.yield_turn(self._me)

    # -- collectives ----------------------------------------------------------------------------------------------

    def _all_gather_bytes(self, call: Call, payload: bytes) -> list[bytes]:
        gathered: list[bytes] = self._meet(call, payload, lambda payloads: [payloads] * self.size)
        return list(gathered)

    def _broadcast_bytes(self, call: Call, payload: bytes, root: int) -> bytes:
        received: bytes = self._meet(call, payload, lambda payloads: [payloads[root]] * self.size)
        return received

    def _barrier(self, call: Call) -> None:
        self._meet(call, None, lambda nothing: nothing)

    def _start_all_reduce(self, call: Call, flat: Array, op: str, scale: float | None, shared_result: bool) -> Work:
        def finish(flats: list[Array]) -> list[Array]:
            total = np.empty_like(flats[0])
            fold(op, flats, [total], scale)
            if shared_result:
                return [read_only(total)] * self.size
            for each in flats:
                each[...] = total
            return flats

        return VirtualWork(self, call, self._arrive(call, flat, finish))

    def _broadcast(self, call: Call, flat: Array, root: int) -> None:
        def finish(flats: list[Array]) -> list[Any]:
            for r, each in enumerate(flats):
                if r != root:
                    each[...] = flats[root]
            return flats

        self._meet(call, flat, finish)

    def _all_gather(self, call: Call, flat: Array, out: Array) -> None:
        def finish(pairs: list[tuple[Array, Array]]) -> list[Any]:
            for _, mine in pairs:
                for r, (theirs, _) in enumerate(pairs):
                    mine[r] = theirs
            return pairs

        self._meet(call, (flat, out), finish)

    def _reduce_scatter(self, call: Call, flat: Array, op: str, scale: float | None, out: Array) -> None:
        def finish(pairs: list[tuple[Array, Array]]) -> list[Any]:
            for r, (_, mine) in enumerate(pairs):
                block = slice(r * mine.size, (r + 1) * mine.size)
                fold(op, [theirs[block] for theirs, _ in pairs], [mine], scale)
            return pairs

        self._meet(call, (flat, out), finish)

    def _all_to_all(self, call: Call, flat: Array, send: list[int], recv: list[int], out: Array) -> None:
        def finish(rows: list[tuple[list[Array], list[Array], list[int]]]) -> list[Any]:
            for source, (blocks, _, _) in enumerate(rows):
                for target, block in enumerate(blocks):
                    place, awaited = rows[target][1][source], rows[target][2][source]
                    if block.size != awaited:
                        raise MismatchError(
                            f"all_to_all: rank {source} sends {block.size} elements to rank {target}, "
                            f"which expects {awaited}"
                        )
                    place[...] = block
            return rows

        self._meet(call, (_cut(flat, send), _cut(out, recv), recv), finish)

    def _gather(self, call: Call, flat: Array, root: int, out: Array | None) -> None:
        def finish(pairs: list[tuple[Array, Array | None]]) -> list[Any]:
            at_root = pairs[root][1]
            if at_root is not None:
                for r, (theirs, _) in enumerate(pairs):
                    at_root[r] = theirs
            return pairs

        self._meet(call, (flat, out), finish)

    def _scatter(self, call: Call, flat: Array | None, out: Array, root: int) -> None:
        def finish(pairs: list[tuple[Array | None, Array]]) -> list[Any]:
            source = pairs[root][0]
            if source is not None:
                for r, (_, mine) in enumerate(pairs):
                    mine[...] = source[r * mine.size : (r + 1) * mine.size]
            return pairs

        self._meet(call, (flat, out), finish)

    def _reduce(self, call: Call, flat: Array, root: int, op: str, scale: float | None) -> None:
        def finish(flats: list[Array]) -> list[Any]:
            total = np.empty_like(flats[root])
            fold(op, flats, [total], scale)
            flats[root][...] = total
            return flats

        self._meet(call, flat, finish)

    # -- between two ranks ----------------------------------------------------------------------------------------

    def _isend(self, flat: Array, peer: int, tag: int) -> Work:
        where = f"send({flat.dtype}, {flat.size}) to rank {peer}, tag {tag}"
        self._baton.moved()
        work = MailWork(self._baton, self._me, flat, peer, where)
        self._group.office.send(self.rank, peer, tag, work)
        return work

    def _irecv(self, flat: Array, peer: int | None, tag: int) -> Work:
        where = f"recv({flat.dtype}, {flat.size}) from {'any rank' if peer is None else f'rank {peer}'}, tag {tag}"
        self._baton.moved()
        work = MailWork(self._baton, self._me, flat, peer, where)
        self._group.office.receive(self.rank, tag, work)
        return work

    # -- memory and groups ----------------------------------------------------------------------------------------

    def allocate(self, nbytes: int) -> Buffer:
        self._barrier(self._call("allocate", nbytes))
        return plain_buffer(nbytes)

    def split(self, color: int | None, key: int = 0, label: str = "") -> Communicator | None:
        def finish(wishes: list[tuple[int | None, int]]) -> list[Group | None]:
            groups: dict[int, Group] = {}
            for c in sorted({c for c, _ in wishes if c is not None}):
                order = sorted((k, r) for r, (each, k) in enumerate(wishes) if each == c)
                groups[c] = Group(tuple(self._group.members[r] for _, r in order))
            return [None if c is None else groups[c] for c, _ in wishes]

        group: Group | None = self._meet(self._call("split", label=label), (color, key), finish)
        if group is None:
            return None
        comm = VirtualCommunicator(self._baton, group, group.members.index(self._me))
        comm.algorithm = self.algorithm
        return comm

    def abort(self, code: int = 1) -> NoReturn:
        raise SystemExit(code)

    def set_timeout(self, seconds: float) -> None:
        self.timeout_s = seconds  # kept for reports; nobody is waited for in vain here

    def close(self) -> None:
        self._group.office = PostOffice()


def _cut(flat: Array, counts: list[int]) -> list[Array]:
    """(sum of counts,) -> consecutive views."""
    return np.split(flat, np.cumsum(counts)[:-1]) if counts else []


class VirtualWork(Work):
    """An all-reduce of virtual ranks under way: done when the last rank has started its own."""

    def __init__(self, comm: VirtualCommunicator, call: Call, meeting: Meeting) -> None:
        self._comm, self._call, self._meeting = comm, call, meeting
        self._taken = False

    def test(self) -> bool:
        if not self._taken and self._meeting.results is None and not self._meeting.error:
            self._comm._baton.yield_turn(self._comm._me, self._call.text())
            if self._meeting.results is None and not self._meeting.error:
                return False
        self.wait()
        return True

    def wait(self) -> Array:
        if not self._taken:
            self.result = self._comm._leave(self._call, self._meeting)
            self._taken = True
        return self.result


def run_virtual(
    fn: Callable[..., Any], size: int, *args: Any, schedule_seed: int | None = None, **kwargs: Any
) -> list[Any]:
    """Run ``fn(*args, **kwargs)`` on ``size`` virtual ranks; what each returned, in rank order.

    In each, ``allgrad.comm.launch_world()`` is that rank's communicator.  If a rank raises, the others are stopped and its
    exception is raised here.  Equal programs run in equal order: round robin, or as drawn from ``schedule_seed``.

    >>> import numpy as np
    >>> from allgrad.comm import launch_world, run_virtual
    >>> def program():
    ...     flat = np.array([launch_world().rank + 1.0])
    ...     launch_world().all_reduce(flat)
    ...     return float(flat[0])
    >>> run_virtual(program, 3)
    [6.0, 6.0, 6.0]
    """
    if size < 1:
        raise ArgumentError(f"size must be at least 1, found {size}")
    baton = Baton(size, schedule_seed)
    group = Group(tuple(range(size)))
    results: list[Any] = [None] * size

    def one_rank(rank: int) -> None:
        ctx.launched = VirtualCommunicator(baton, group, rank)
        how = "finished"
        try:
            baton.check(rank)
            results[rank] = fn(*args, **kwargs)
            run_endings()
        except SystemExit as error:
            how = "exited"
            if error.code not in (None, 0):
                baton.fail(rank, error)
        except BaseException as error:
            how = "failed"
            baton.fail(rank, error)
        baton.leave(rank, how)

    def thread_main(rank: int) -> None:
        baton.gates[rank].acquire()
        one_rank(rank)

    threads = [
        threading.Thread(target=thread_main, args=(rank,), name=f"rank {rank}", daemon=True) for rank in range(1, size)
    ]
    for thread in threads:
        thread.start()
    outside = dict(ctx.__dict__)  # rank 0 runs in this thread: it starts from the defaults like the others
    ctx.__dict__.clear()
    type(ctx).__init__(ctx)
    try:
        one_rank(0)
        for thread in threads:
            thread.join()
    finally:
        ctx.__dict__.clear()
        ctx.__dict__.update(outside)
    if baton.failed is not None:
        rank, error = baton.failed
        note = f"raised on virtual rank {rank} of {size}"
        if hasattr(error, "add_note"):
            error.add_note(note)
        else:  # Python 3.10 keeps notes but does not print them
            vars(error)["__notes__"] = [*getattr(error, "__notes__", []), note]
        raise error
    return results
