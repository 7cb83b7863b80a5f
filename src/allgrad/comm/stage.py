"""All-reduce of ordinary memory on one node, through a small stage in shared memory.

Each rank has a row of the stage, the node has one more; all are two halves, used in turn, so that a rank can write the
next block while others still read this one.  Small enough to stay in cache: main memory is read once and written once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from allgrad.comm.node import Channel, Marks
from allgrad.comm.progress import Steps
from allgrad.comm.reduction import Array, fold, spans

STAGE_BYTES = 2 * 1024 * 1024  # per rank, in nodes of few ranks
NODE_BYTES = 32 * 1024 * 1024  # of all ranks together, in nodes of many
# Up to here every rank folds everything itself: more arithmetic, less waiting.
EAGER_BYTES = 64 * 1024
# In nodes of few ranks it pays beyond that: up to so many bytes of one rank, and of the others together.
_EAGER_MOST, _EAGER_OTHERS = 256 * 1024, 512 * 1024
_CROWDED = 3  # times as many where ranks share cores: to wait is to wait for the system's scheduler
BLOCKS = 20  # bits of a mark that count the blocks of one call


def stage_bytes(ranks: int) -> int:
    """The size of one row of the stage of ``ranks`` ranks."""
    return max(4 * EAGER_BYTES, min(STAGE_BYTES, NODE_BYTES // ranks // 4096 * 4096))


def eager_bytes(ranks: int, crowded: bool = False) -> int:
    """Up to how many bytes each of ``ranks`` ranks folds everything itself; ``crowded``: they are more than cores."""
    much = _CROWDED if crowded else 1
    others = much * _EAGER_OTHERS // max(1, ranks - 1) // 4096 * 4096
    return max(EAGER_BYTES, min(much * _EAGER_MOST, others, stage_bytes(ranks) // 4))


class Task(NamedTuple):
    """One all-reduce: call ``k`` of the channel, with its number for messages, and the word that says "shown"."""

    k: int
    number: int
    word: int
    flat: Array
    op: str
    scale: float | None


class Stage:
    """The stage of a node as one rank sees it."""

    def __init__(self, calls: Channel, marks: Marks, rank: int, rows: Sequence[Array], common: Array) -> None:
        self.calls, self.marks, self.rank = calls, marks, rank
        half = common.size // 2
        self.rows = [[row[:half] for row in rows], [row[half : 2 * half] for row in rows]]
        self._common = [common[:half], common[half : 2 * half]]
        self.half = 0
        self.used = [0, 0]  # the mark under which each half was last used

    def free(self, half: int) -> Steps:
        """Wait until nobody reads the rows of that half any more."""
        while not self.marks.all_done(self.used[half]):
            yield

    def eager(self, task: Task) -> Steps:
        """Everybody shows everything and folds everything: one meeting."""
        yield from self.free(self.half)
        parts = [row[: task.flat.nbytes].view(task.flat.dtype) for row in self.rows[self.half]]
        parts[self.rank][...] = task.flat
        self.calls.show(task.k, task.word)
        yield from self.all_shown(task.k, task.number, task.word)
        fold(task.op, parts, [task.flat], task.scale)
        self.read(task.k)

    def all_shown(self, k: int, number: int, word: int) -> Steps:
        """Wait until all ranks have shown their data of call ``k``; MismatchError on every rank if they are in others."""
        while not self.calls.all_arrived(k):
            yield
        self.calls.verify(k, number)
        while not self.calls.all_shown(k, word):
            yield

    def read(self, k: int) -> None:
        """What was shown in call ``k`` was read here; the next call takes the other half."""
        mark = k << BLOCKS
        self.marks.finish(mark)
        self.used[self.half] = mark
        self.half = 1 - self.half

    def through(self, task: Task) -> Steps:
        """Block by block: show the others their spans, fold one's own, fetch theirs.

        The next block is shown before this one is folded, so that ranks rarely wait for each other.
        """
        marks, flat, rank = self.marks, task.flat, self.rank
        while not self.calls.all_arrived(task.k):
            yield
        self.calls.verify(task.k, task.number)
        self.calls.finish(task.k)
        step = self._common[0].size // flat.itemsize
        blocks = [flat[start : start + step] for start in range(0, flat.size, step)]
        yield from self._show(blocks[0], task.k << BLOCKS, self.half)
        for i, block in enumerate(blocks):
            mark, half = (task.k << BLOCKS) + i, self.half
            if i + 1 < len(blocks):
                yield from self._show(blocks[i + 1], mark + 1, 1 - half)
            while not marks.all_arrived(mark):
                yield 2 * i
            rows = [row[: block.nbytes].view(flat.dtype) for row in self.rows[half]]
            total = self._common[half][: block.nbytes].view(flat.dtype)
            lo, hi = spans(block.size, len(rows), flat.itemsize)[rank]
            if hi > lo:
                parts = [row[lo:hi] for row in rows]
                parts[rank] = mine = block[lo:hi]
                fold(task.op, parts, [total[lo:hi], mine], task.scale)
            marks.finish(mark)
            while not marks.all_done(mark):
                yield 2 * i + 1
            block[:lo] = total[:lo]
            block[hi:] = total[hi:]
            self.half = 1 - half

    def _show(self, block: Array, mark: int, half: int) -> Steps:
        """Copy what the others fold into this rank's row."""
        yield from self.free(half)
        row = self.rows[half][self.rank][: block.nbytes].view(block.dtype)
        lo, hi = spans(block.size, len(self.rows[half]), block.itemsize)[self.rank]
        row[:lo] = block[:lo]
        row[hi:] = block[hi:]
        self.used[half] = mark
        self.marks.arrive(mark)
