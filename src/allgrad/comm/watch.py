"""The watchdog of an MPI world: notices waits in vain, and says who waits where before it ends the job.

It needs no thread of its own, because a waiting rank never sleeps inside MPI (``comm/progress.py``).  The stacks of the
other ranks of the node come through a signal that ``faulthandler`` answers even while Python is stuck.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from allgrad.comm.agreement import fit, name_ranks
from allgrad.comm.node import CALL_BYTES, FINISHED, GROUP_BYTES, RUNNING, WAITING, Board
from allgrad.comm.progress import Queue, Watch
from allgrad.errors import MismatchError

TIMEOUT_CODE = 75  # EX_TEMPFAIL: a batch system may try again
_STACKS_SIGNAL = signal.SIGRTMIN + 7
_STACKS_S = 0.2
# A rank that finished may still be passing on its part of the last call; after this long it is not.
_FINISHED_S = 1.5
_DIFFERENT_S = 0.5
# All ranks have looked round so often, a quarter of a second each, and nothing has moved: nothing will.
_STUCK_LOOKS = 5
_EVERYBODY = "every group"
_DEFER_S = 2.0
_POKE_EVERY = 64


class Job(Protocol):
    """What a watch needs to know of the world."""

    name: str
    board: Board | None
    size: int
    timeout_s: float
    queues: list[Queue]

    def poke(self) -> None:
        """Let MPI move its messages along."""

    def finished(self) -> set[int]:
        """World ranks that are known to have ended their program."""

    def end(self, code: int) -> None:
        """End all ranks."""


def answer_with_stacks() -> None:
    """Let other processes of this user ask for this one's Python stacks, on stderr."""
    if sys.__stderr__ is not None:
        faulthandler.register(_STACKS_SIGNAL, file=2, all_threads=True)


class GroupWatch(Watch):
    """Watches the waits of one communicator: ``group`` is its name, equal on all its ranks; ``members`` are world ranks."""

    def __init__(self, job: Job, group: str, members: Sequence[int]) -> None:
        self._job, self._group = job, group
        self._members = list(members)
        self.timeout_s = job.timeout_s
        self._pokes = 0
        self._began_s = 0.0  # of the machine's clock, which the ranks of a node share

    def begin(self, call: str) -> None:
        self._began_s = time.monotonic()
        if self._job.board is not None:
            self._job.board.set(WAITING, self._group, call)

    def moved(self) -> None:
        if self._job.board is not None:
            self._job.board.moved()

    def end(self) -> None:
        if self._job.board is not None:
            self._job.board.set(RUNNING)

    def push(self) -> None:
        for queue in list(self._job.queues):
            queue.push()
        self._pokes += 1
        if self._pokes % _POKE_EVERY == 0:
            self._job.poke()

    def look_around(self, call: str, waited_s: float, in_vain: bool) -> None:
        if self._job.board is not None:
            self._job.board.looked(in_vain)
            self._raise_if_declared(self._job.board)
            if waited_s > _DIFFERENT_S:
                self._raise_if_different(self._job.board, call)
            self._raise_if_stuck(self._job.board)
        if waited_s > _FINISHED_S:
            gone = sorted(self._job.finished() & set(self._members))
            if gone:
                raise MismatchError(
                    f"{self._job.name} waits in {call}, but {name_ranks(gone)} "
                    f"{'has' if len(gone) == 1 else 'have'} already finished the program. Every rank must make the same "
                    "collective calls; look for a branch on the rank or for uneven numbers of batches"
                )
        if waited_s > self.timeout_s:
            self._give_up(call, waited_s)

    def _raise_if_declared(self, board: Board) -> None:
        """Another rank has found out, and may have gone on since: this one would wait for it in vain."""
        for _, message in board.declared(self._group):
            raise MismatchError(message)
        for _, message in board.declared(_EVERYBODY):
            at, _, text = message.partition(" ")
            if float(at) > self._began_s:
                raise MismatchError(text)

    def _raise_if_different(self, board: Board, call: str) -> None:
        """A rank that waits in another call of the same number will never meet us."""
        number = call.partition(" ")[0]
        mine = fit(call, CALL_BYTES).decode(errors="replace")
        group = fit(self._group, GROUP_BYTES).decode(errors="replace")
        for place in board.places():
            same = place.state == WAITING and place.group == group and place.call.partition(" ")[0] == number
            if same and number.startswith("#") and place.call != mine:
                message = (
                    f"ranks disagree at collective {number[1:]} of group {self._group}: {self._job.name} is in {call}, "
                    f"rank {place.rank} is in {place.call}, expected the same call. "
                    "Every rank must make the same collective calls in the same order"
                )
                board.declare(self._group, message)
                raise MismatchError(message)

    def _raise_if_stuck(self, board: Board) -> None:
        """Nobody moves, and they do not all wait for the same: as in the virtual world, that is a mistake, not a delay."""
        places = board.places()
        waiting = [place for place in places if place.state == WAITING]
        if len(places) < self._job.size or any(p.state not in (WAITING, FINISHED) for p in places):
            return
        if min(p.looks for p in waiting) < _STUCK_LOOKS or len({(p.group, p.call) for p in waiting}) == 1:
            return
        gone = [p.rank for p in places if p.state == FINISHED]
        where = "; ".join(f"rank {p.rank} waits in {p.call} of group {p.group}" for p in waiting)
        message = (
            f"no rank can go on: {where}"
            + (
                f"; {name_ranks(gone)} {'has' if len(gone) == 1 else 'have'} already finished the program"
                if gone
                else ""
            )
            + ". Every rank must make the same collective calls in the same order; "
            "look for a branch on the rank or for uneven numbers of batches"
        )
        board.declare(_EVERYBODY, f"{time.monotonic()} {message}")
        raise MismatchError(message)

    def _give_up(self, call: str, waited_s: float) -> None:
        """Say all that is known and end the job with code 75."""
        board = self._job.board
        lines = [
            f"[{self._job.name}] waited {waited_s:.0f} s in {call} of group {self._group}; the limit is "
            f"{self.timeout_s:g} s (ALLGRAD_TIMEOUT). The job ends with code {TIMEOUT_CODE}."
        ]
        if board is not None:
            places = board.places()
            if not board.claim_report():  # another rank of the node says it, and asks this one for its stacks
                time.sleep(_DEFER_S + _STACKS_S * len(places))
                self._job.end(TIMEOUT_CODE)
            absent = [p.rank for p in places if p.rank in self._members and p.state != WAITING]
            here = [p.rank for p in places if p.rank in self._members and p.state == WAITING]
            if absent:
                lines.append(f"  not arrived: {name_ranks(absent)}; waiting: {name_ranks(here)}")
            lines += [f"  {place}; process {place.pid} {state_of(place.pid)}" for place in places]
            pids = board.pids()
        else:
            pids = {}
        elsewhere = len(self._members) - (len(board.places()) if board is not None else 1)
        if elsewhere > 0:
            lines.append(f"  {elsewhere} ranks are on other nodes; what they do is not known here")
        _write("\n".join(lines))
        _write(f"[{self._job.name}] Python stacks:")
        faulthandler.dump_traceback(file=2, all_threads=True)
        for rank, pid in pids.items():
            if pid != os.getpid():
                _write(f"[rank {rank}, process {pid}] Python stacks:")
                os.kill(pid, _STACKS_SIGNAL)
                time.sleep(_STACKS_S)
        self._job.end(TIMEOUT_CODE)


_STATES = {
    "R": "is computing", "S": "sleeps or waits", "D": "waits for a disk or a network file system",
    "T": "is stopped by a signal", "t": "is stopped by a debugger", "Z": "is dead",
}  # fmt: skip


def state_of(pid: int) -> str:
    """What the system says that a process does."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            letter = file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "is gone"
    return _STATES.get(letter, f"is in state {letter}")


def _write(text: str) -> None:
    if sys.__stderr__ is not None:
        sys.__stderr__.write(text + "\n")
        sys.__stderr__.flush()


def await_others(board: Board | None, everybody: Callable[[], bool], poke: Callable[[], None]) -> None:
    """At the end of the program: stay reachable until every rank has ended its own."""
    if board is not None:
        board.set(FINISHED)
    tries = 0
    while not everybody():
        poke()
        tries += 1
        time.sleep(0.0005 if tries < 2000 else 0.01)
