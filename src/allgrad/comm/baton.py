"""Threads that take turns: exactly one runs, and the turn passes only where ranks communicate.

The thread that holds the baton is the only one that touches the state below, so no locks are needed, a debugger
sees one thread at a time, and a run is repeated exactly.  Rank 0 is the calling thread, where ``breakpoint()``
and Ctrl-C work.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from allgrad.comm.agreement import name_ranks
from allgrad.errors import MismatchError, RankFailedError

_PATIENCE = 2000


class Baton:
    """The turn of ``size`` ranks; round robin, or drawn from ``schedule_seed`` to try other orders."""

    def __init__(self, size: int, schedule_seed: int | None = None) -> None:
        self.size = size
        self.draw = None if schedule_seed is None else random.Random(schedule_seed)
        self.gates = [threading.Semaphore(0) for _ in range(size)]
        self.left: dict[int, str] = {}  # ranks whose program ended, and how
        self.waits: dict[int, tuple[Callable[[], bool], str]] = {}  # rank -> (may it go on?, where it waits)
        self.failed: tuple[int, BaseException] | None = None  # the first rank that raised
        self.asked_in_vain = 0
        self.stuck: str = ""  # why nobody could go on, once nobody could

    def wait_until(self, rank: int, ready: Callable[[], bool], where: str) -> None:
        """Let the others run until ``ready()``; MismatchError if that can never be, RankFailedError if a rank raised."""
        while not ready():
            self.check(rank)
            self.waits[rank] = (ready, where)
            try:
                self._pass_on(rank)
            finally:
                self.waits.pop(rank, None)

    def yield_turn(self, rank: int, where: str = "") -> None:
        """Let another rank run if one can.  ``where`` names what this rank asks for and has not got.

        Asking for ever is waiting too: MismatchError once all have asked in vain for long.
        """
        self.check(rank)
        if where:
            self.asked_in_vain += 1
            self.waits[rank] = (lambda: True, where)
            if self.asked_in_vain > _PATIENCE * self.size:
                self._declare_stuck()
        self._pass_on(rank)
        self.waits.pop(rank, None)
        self.check(rank)

    def moved(self) -> None:
        """Something happened that another rank may wait for."""
        self.asked_in_vain = 0

    def check(self, rank: int) -> None:
        """Raise here what ends the whole world: a failed rank, or a deadlock."""
        if self.stuck:
            raise MismatchError(self.stuck)
        if self.failed is not None and self.failed[0] != rank:
            other, error = self.failed
            raise RankFailedError(f"rank {other} failed with {type(error).__name__}: {error}; rank {rank} stops too")

    def leave(self, rank: int, how: str) -> None:
        """The rank's program has ended; the turn goes to another one."""
        self.left[rank] = how
        self.moved()
        following = self._choose(rank)
        if following is None and len(self.left) < self.size:
            self._declare_stuck()
            following = self._choose(rank)
        if following is not None:
            self.gates[following].release()

    def fail(self, rank: int, error: BaseException) -> None:
        """Remember the first rank that raised; the others stop at their next communication."""
        if self.failed is None:
            self.failed = (rank, error)

    def _pass_on(self, rank: int) -> None:
        following = self._choose(rank)
        if following is None:
            self._declare_stuck()
            return
        if following == rank:
            return
        self.gates[following].release()
        try:
            self.gates[rank].acquire()
        except BaseException as error:  # Ctrl-C reaches rank 0 while another rank runs: that one stops at its next call
            self.fail(rank, error)
            raise

    def _choose(self, rank: int) -> int | None:
        order = [(rank + 1 + i) % self.size for i in range(self.size)]
        if self.draw is not None:
            self.draw.shuffle(order)
        ending = bool(self.stuck) or self.failed is not None
        for other in order:
            if other not in self.left and (ending or other not in self.waits or self.waits[other][0]()):
                return other
        return None

    def _declare_stuck(self) -> None:
        waiting = "; ".join(f"rank {r} waits in {where}" for r, (_, where) in sorted(self.waits.items()))
        gone = ""
        if self.left:
            ended = sorted(self.left)
            gone = f"; {name_ranks(ended)} {'has' if len(ended) == 1 else 'have'} already finished the program"
        self.stuck = (
            f"no rank can go on: {waiting}{gone}. Every rank must make the same collective calls in the same order; "
            "look for a branch on the rank or for uneven numbers of batches"
        )
