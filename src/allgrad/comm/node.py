"""What ranks of one node tell each other through shared memory: who is where, and who has arrived.

Plain NumPy over memory that somebody else mapped (``comm/mpi.py``); one row of bytes per rank, and a rank writes
into its own row only.
"""

from __future__ import annotations

import mmap
import os
import platform
import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from allgrad.comm.agreement import LINE_BYTES, fit, mismatch_message
from allgrad.comm.reduction import Array
from allgrad.errors import MismatchError

RUNNING, WAITING, FINISHED, FAILED = range(4)
_STATE, _SEQUENCE, _PID, _LOOKS, _LABEL = 0, 1, 2, 3, 64
_LAST, _VERDICT, BOARD_BYTES = 256, 384, 1024
GROUP_BYTES, CALL_BYTES = 64, 120


_fence_lock = threading.Lock()
# x86 shows writes in the order in which they were made, and reads in the order of the program.
IN_ORDER = platform.machine() in ("x86_64", "AMD64", "i686")


def fence() -> None:
    """Order memory: what this process wrote before is seen by others before what it writes after; so with reads.

    Taking and leaving a lock does this on every processor.
    """
    if not IN_ORDER:
        _fence_lock.acquire()
        _fence_lock.release()


def map_board(path: str, rows: int) -> list[Array]:
    """Rows of a board in a small file that every rank of the node maps."""
    with open(path, "r+b") as file:
        memory = np.frombuffer(mmap.mmap(file.fileno(), rows * BOARD_BYTES), np.uint8)
    return list(memory.reshape(rows, BOARD_BYTES))


class Place(NamedTuple):
    """Where a rank of the board is: its state, its number of calls, and the group and call it waits in."""

    rank: int
    state: int
    sequence: int
    group: str
    call: str
    looks: int  # how often it has looked round in vain
    last: str  # the collective that it began last, whether it came back from it or not
    pid: int

    def __str__(self) -> str:
        words = {
            RUNNING: f"not in a collective, the last was {self.last or 'none'}",
            FINISHED: "has finished its program",
            FAILED: "has failed",
        }
        doing = words.get(self.state, f"waits in {self.call} of group {self.group}")
        return f"rank {self.rank}: {doing}; {self.sequence} calls so far"


class Board:
    """One row per rank of the node: state, number of calls, process, and where it waits.  Ranks are those of the world."""

    def __init__(self, rows: Sequence[Array], me: int, ranks: Sequence[int]) -> None:
        self._bytes = [memoryview(row[:BOARD_BYTES]) for row in rows]  # type: ignore[arg-type]
        self._words = [view.cast("q") for view in self._bytes]
        self._mine = self._words[me]
        self._last = b""
        self._me = me
        self.ranks = list(ranks)
        self._mine[_PID] = os.getpid()

    def count(self, line: bytes) -> None:
        """This rank makes one more call, whose ``Call.line()`` is given."""
        if line is not self._last:  # the same object from one call to the next of its kind
            self._bytes[self._me][_LAST : _LAST + LINE_BYTES] = self._last = line
        self._mine[_SEQUENCE] += 1

    def set(self, state: int, group: str = "", call: str = "") -> None:
        """This rank's state, and where it waits.  FAILED is final, whatever other threads of this process do."""
        if self._mine[_STATE] == FAILED:
            return
        text = fit(group, GROUP_BYTES) + b"\n" + fit(call, CALL_BYTES)
        self._bytes[self._me][_LABEL:_LAST] = text.ljust(_LAST - _LABEL, b"\0")
        self._mine[_LOOKS] = 0
        fence()
        self._mine[_STATE] = state

    def looked(self, in_vain: bool) -> None:
        """This rank has looked round for a quarter of a second, and nothing has moved; ``in_vain`` False: something may."""
        self._mine[_LOOKS] = self._mine[_LOOKS] + 1 if in_vain else 0

    def moved(self) -> None:
        """Some work of this rank was done."""
        self._mine[_LOOKS] = 0

    def places(self) -> list[Place]:
        """Where every rank of the node is, this one too."""
        found = []
        for rank, words, raw in zip(self.ranks, self._words, self._bytes):
            group, _, call = bytes(raw[_LABEL:_LAST]).rstrip(b"\0").decode(errors="replace").partition("\n")
            last = bytes(raw[_LAST : _LAST + LINE_BYTES]).rstrip(b"\0").decode(errors="replace")
            found.append(Place(rank, words[_STATE], words[_SEQUENCE], group, call, words[_LOOKS], last, words[_PID]))
        return found

    def declare(self, group: str, message: str) -> None:
        """This rank has found out that the ranks of ``group`` disagree; for the others, also when it goes on."""
        text = fit(group, GROUP_BYTES) + b"\n" + fit(message, BOARD_BYTES - _VERDICT - GROUP_BYTES - 1)
        self._bytes[self._me][_VERDICT:] = text.ljust(BOARD_BYTES - _VERDICT, b"\0")

    def declared(self, group: str) -> list[tuple[int, str]]:
        """(rank, message) of every rank of this node that has declared a disagreement in ``group``."""
        wanted, found = fit(group, GROUP_BYTES), []
        for rank, raw in zip(self.ranks, self._bytes):
            name, _, message = bytes(raw[_VERDICT:]).rstrip(b"\0").partition(b"\n")
            if name and name == wanted:
                found.append((rank, message.decode(errors="replace")))
        return found

    def in_state(self, state: int) -> list[int]:
        """The ranks of this node in ``state``."""
        return [rank for rank, words in zip(self.ranks, self._words) if words[_STATE] == state]

    def claim_report(self) -> bool:
        """True for the first rank of the node to fail: it prints; the others leave that to it.

        Two ranks that fail within the same microseconds are told apart by a second look.
        """
        if self.in_state(FAILED):
            return False
        self.set(FAILED)
        time.sleep(0.01)
        return self.in_state(FAILED)[0] == self.ranks[self._me]

    def pids(self) -> dict[int, int]:
        """World rank -> process, of those on the board that still run."""
        return {r: w[_PID] for r, w in zip(self.ranks, self._words) if w[_PID] and w[_STATE] != FINISHED}


RING = 64  # how many calls a rank may be ahead of another
_NUMBER, _TEXT = 8, 128  # each entry of the ring: the number of the call, and its text
_LINE = 64
_WORDS = 2  # rings of words
_WORDS_BYTES = RING * 8
MARKS_BYTES = 2 * _LINE
CHANNEL_BYTES = MARKS_BYTES + _WORDS * _WORDS_BYTES + RING * _TEXT


@lru_cache(maxsize=512)
def packed(text: str) -> tuple[bytes, int]:
    """A call's text as it stands in the ring, and a digest of it: texts that differ have other digests."""
    raw = fit(text, _TEXT - _NUMBER).ljust(_TEXT - _NUMBER, b"\0")
    # 61 bits: with the number of a call added it still is a positive word, and never 0, which is what memory is at first
    return raw, 1 + (int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 3)


class Marks:
    """Two rising numbers per rank: the last thing at which it has arrived, and the last of which it has done its part."""

    def __init__(self, rows: Sequence[Array], rank: int) -> None:
        views = [memoryview(row) for row in rows]  # type: ignore[arg-type]
        self._arrived = [view[:8].cast("q") for view in views]
        self._done = [view[_LINE : _LINE + 8].cast("q") for view in views]
        self.mine_done = self._done[rank]
        self._rank = rank

    def arrive(self, k: int) -> None:
        """This rank has arrived at ``k``; what it wrote before is seen by those who see this."""
        fence()
        self._arrived[self._rank][0] = k

    def all_arrived(self, k: int) -> bool:
        """Whether every rank has arrived at ``k`` or later."""
        for word in self._arrived:
            if word[0] < k:
                return False
        fence()
        return True

    def finish(self, k: int) -> None:
        """This rank has done its part of ``k``."""
        fence()
        self._done[self._rank][0] = k

    def all_done(self, k: int) -> bool:
        """Whether every rank has done its part of ``k``."""
        for word in self._done:
            if word[0] < k:
                return False
        fence()
        return True


class Channel(Marks):
    """Numbered calls that all ranks of a node make in the same order.

    Each call leaves its number and text, so that ranks whose calls differ find out before they touch each other's data.
    Small data come with a word as well, that says "shown" and, by the text's digest, what for: the ranks that see
    the word they expect need not compare texts.
    """

    def __init__(self, rows: Sequence[Array], rank: int) -> None:
        super().__init__(rows, rank)
        views = [memoryview(row)[MARKS_BYTES:CHANNEL_BYTES] for row in rows]  # type: ignore[arg-type]
        self._entries = [view[_WORDS * _WORDS_BYTES :] for view in views]
        mine = [self._entries[rank][i : i + _TEXT] for i in range(0, RING * _TEXT, _TEXT)]
        self._mine = [(entry[:_NUMBER].cast("q"), entry[_NUMBER:]) for entry in mine]
        # words[n][rank][k % RING]
        self.words = [[view[n * _WORDS_BYTES :][:_WORDS_BYTES].cast("q") for view in views] for n in range(_WORDS)]
        self.posted = 0

    def post(self, text: str, number: int) -> int:
        """This rank has arrived at its next call, ``text``, the ``number``-th of its group; the number of the call here."""
        return self.post_packed(packed(text)[0], number)

    def post_packed(self, raw: bytes, number: int) -> int:
        """``post`` of a text that is packed already."""
        self.posted = k = self.posted + 1
        entry, text = self._mine[k % RING]
        entry[0] = number
        text[:] = raw
        if not IN_ORDER:
            fence()
        self._arrived[self._rank][0] = k
        return k

    def show(self, k: int, word: int) -> None:
        """This rank's data of call ``k`` are there to be read."""
        fence()
        self.words[0][self._rank][k % RING] = word

    def all_shown(self, k: int, word: int, n: int = 0) -> bool:
        """Whether every rank's word of call ``k`` is ``word``; ``n``: in which ring of words."""
        i = k % RING
        for words in self.words[n]:
            if words[i] != word:
                return False
        fence()
        return True

    def verify(self, k: int, number: int) -> None:
        """After ``all_arrived(k)``: MismatchError, on every rank alike, if the calls differ; ``number`` is for its text."""
        start = k % RING * _TEXT
        entries = [bytes(view[start : start + _TEXT]) for view in self._entries]
        if all(entry == entries[0] for entry in entries):
            return
        self.finish(k)
        message = mismatch_message([_signature(entry) for entry in entries], number)
        if message:
            raise MismatchError(message)


def _signature(entry: bytes) -> str:
    text = entry[_NUMBER:].rstrip(b"\0").decode(errors="replace")
    return f"#{int.from_bytes(entry[:_NUMBER], 'little')} {text}"
