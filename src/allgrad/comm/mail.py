"""Messages between two virtual ranks: a letter meets the first receive that was posted for it, as in MPI."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from allgrad.comm.baton import Baton
from allgrad.comm.reduction import Array
from allgrad.comm.work import Work
from allgrad.errors import MismatchError

# A larger message is done only when its receiver is there, as MPI does it: a send that would hang there is found here.
_EAGER_BYTES = 4096


class MailWork(Work):
    """A send or a receive of rank ``me``; ``peer`` is the other side, None for any."""

    def __init__(self, baton: Baton, me: int, flat: Array, peer: int | None, where: str) -> None:
        self._baton, self._me, self.result, self.peer, self._where = baton, me, flat, peer, where
        self.done = False
        self.error = ""
        self.source: int | None = None

    def test(self) -> bool:
        if not self.done:
            self._baton.yield_turn(self._me, self._where)
        if self.done:
            self.wait()
        return self.done

    def wait(self) -> Array:
        self._baton.wait_until(self._me, lambda: self.done, self._where)
        if self.error:
            raise MismatchError(self.error)
        return self.result


class PostOffice:
    """Letters not yet received and receives not yet served, by (receiver, tag), oldest first."""

    def __init__(self) -> None:
        self._letters: dict[tuple[int, int], list[tuple[int, Array, MailWork]]] = defaultdict(list)
        self._posted: dict[tuple[int, int], list[MailWork]] = defaultdict(list)

    def send(self, sender: int, receiver: int, tag: int, work: MailWork) -> None:
        """Hand in the letter of ``work``."""
        content = work.result.copy()
        for posted in self._posted[receiver, tag]:
            if posted.peer in (None, sender):
                self._posted[receiver, tag].remove(posted)
                _deliver(sender, content, work, posted, tag)
                return
        self._letters[receiver, tag].append((sender, content, work))
        work.done = content.nbytes <= _EAGER_BYTES

    def receive(self, receiver: int, tag: int, posted: MailWork) -> None:
        """Ask for a letter."""
        waiting = self._letters[receiver, tag]
        for i, (sender, content, work) in enumerate(waiting):
            if posted.peer in (None, sender):
                del waiting[i]
                _deliver(sender, content, work, posted, tag)
                return
        self._posted[receiver, tag].append(posted)


def _deliver(sender: int, content: Array, work: MailWork, posted: MailWork, tag: int) -> None:
    work.done = posted.done = True
    posted.source = sender
    flat = posted.result
    if content.nbytes != flat.nbytes or content.dtype != flat.dtype:
        posted.error = (
            f"rank {sender} sent {content.size} elements of {content.dtype}, {content.nbytes} bytes (tag {tag}), "
            f"but the receiver expects {flat.size} of {flat.dtype}, {flat.nbytes} bytes"
        )
        return
    flat.view(np.uint8)[...] = content.view(np.uint8)
