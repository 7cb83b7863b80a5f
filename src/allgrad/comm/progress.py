"""Work under way: a queue of step-by-step algorithms, and how a rank waits.

An algorithm is a generator that yields wherever it cannot go on yet.  The head of the queue runs first, so work is
done in the order in which it was started.  Nothing here blocks inside a library: a waiting rank asks again and again,
so signals, Ctrl-C, time limits and other ranks' ends are noticed while it waits.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from allgrad.comm.reduction import Array
from allgrad.comm.work import Work

Steps = Iterator[Any]  # what is yielded (None, or a number that changes) tells how far it has come

# So long a rank asks without pause, giving the core away in between; after that it sleeps between its questions.
# A sleeper is run at once when it wakes, even beside programs that never sleep; one that gives its core away to them
# gets it back milliseconds later.
SPINS = (
    20  # first without giving it away: it may come back milliseconds later, and the others mostly are about to arrive
)
QUICK_S = 300e-6
_NAP_S = 50e-6
_LOOK_AROUND_S = 0.25
_SOON_BYTES = 16 * 1024 * 1024  # within a node so much arrives in a fraction of a second


class Watch(ABC):
    """Who is told when a wait gets long."""

    @abstractmethod
    def begin(self, call: str) -> None:
        """A wait in ``call`` is getting long."""

    @abstractmethod
    def look_around(self, call: str, waited_s: float, in_vain: bool) -> None:
        """Asked four times a second; raises if nobody will come.

        ``in_vain``: nothing is awaited that could be under way for so long already.
        """

    @abstractmethod
    def push(self) -> None:
        """Move other work along; often, and without waiting."""

    @abstractmethod
    def moved(self) -> None:
        """Some work of this rank was done."""

    @abstractmethod
    def end(self) -> None:
        """The wait is over, well or by an error."""


def wait_until(
    ready: Callable[[], bool],
    call: Callable[[], str],
    watch: Watch,
    nbytes: int = 0,
    moves: Callable[[], int] = lambda: 0,
) -> None:
    """Return once ``ready()``; ``nbytes`` are under way at most.  ``moves()`` changes whenever something was achieved."""
    for _ in range(SPINS):
        if ready():
            return
    started = looked = quick_s = time.monotonic()
    seen, text = moves(), ""
    try:
        while not ready():
            now, achieved = time.monotonic(), moves()
            if achieved != seen:  # the others are there and at work: what comes next comes soon
                seen, quick_s = achieved, now
            if now - quick_s < QUICK_S:
                os.sched_yield()  # ranks may be more than cores
                continue
            if not text:
                text = call()
                watch.begin(text)
            watch.push()
            time.sleep(_NAP_S)
            if now - looked > _LOOK_AROUND_S:
                looked = now
                before, text = text, call()
                if text != before:  # work before the one that is waited for was done meanwhile
                    watch.begin(text)
                watch.look_around(text, now - started, nbytes <= _SOON_BYTES)
    finally:
        if text:
            watch.end()


def advance(steps: Steps, spins: int) -> bool:
    """Run ``steps`` for as long as they get on in a fraction of a millisecond; whether they are done."""
    seen, asked, until = None, 0, 0.0
    for at in steps:
        if at != seen:
            seen, asked = at, 0
        asked += 1
        if asked > spins:
            now = time.monotonic()
            if asked == spins + 1:
                until = now + QUICK_S
            elif now > until:
                return False
            os.sched_yield()
    return True


class Queue:
    """The work of one communicator, oldest first."""

    def __init__(self, watch: Watch) -> None:
        self.pending: deque[QueuedWork] = deque()
        self.watch = watch
        self.moves = 0  # how often some work has come further
        self.failed: QueuedWork | None = None  # its error has not been raised yet

    def add(self, steps: Steps, result: Array, label: Callable[[], str]) -> QueuedWork:
        """Put work at the end, and push."""
        work = QueuedWork(self, steps, result, label)
        self.pending.append(work)
        self.push()
        return work

    def push(self) -> None:
        """Run the oldest work as far as it goes, then the next; no waiting."""
        pending = self.pending
        while pending:
            head = pending[0]
            try:
                at = next(head.steps)
                if at != head.at:
                    head.at = at
                    self.moves += 1
                return
            except StopIteration:
                head.done = True
            except Exception as error:
                head.error = error
                head.done = True
                self.failed = head
            self.moves += 1
            if pending and pending[0] is head:
                pending.popleft()
            self.watch.moved()

    def raise_failed(self) -> None:
        """Raise what earlier work has failed with: the ranks are out of step, so what comes after it may never be."""
        if self.failed is not None:
            failed, self.failed = self.failed, None
            failed.test()


class QueuedWork(Work):
    """One algorithm under way; what it raised is raised by ``wait()`` and ``test()``."""

    def __init__(self, queue: Queue, steps: Steps, result: Array, label: Callable[[], str]) -> None:
        self._queue, self.steps, self.result, self._label = queue, steps, result, label
        self.done = False
        self.at: Any = None
        self.source: int | None = None  # of a message received: the rank that sent it
        self.error: Exception | None = None

    def test(self) -> bool:
        if not self.done:
            self._queue.push()
        return self._check()

    def wait(self) -> Array:
        if not self.done:
            queue = self._queue
            wait_until(self._advance, self._awaited, queue.watch, self._under_way(), lambda: queue.moves)
        self._check()
        return self.result

    def _awaited(self) -> str:
        """The oldest work of the queue: this one waits for that."""
        pending = self._queue.pending
        return (pending[0] if pending else self)._label()

    def _under_way(self) -> int:
        return max((work.result.nbytes for work in self._queue.pending), default=0)

    def _advance(self) -> bool:
        self._queue.push()
        if not self.done:
            self._queue.raise_failed()
        return self.done

    def _check(self) -> bool:
        if self.error is not None:
            if self._queue.failed is self:
                self._queue.failed = None
            raise self.error
        return self.done
