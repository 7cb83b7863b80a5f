"""Small all-reduces of a node, done at once: no queue, no generator, nothing made anew that the last such call has made.

The same meeting as ``Stage.eager``, and ranks in either meet: each shows its data in its row of the stage and folds all rows.
What a kind of call needs (views of the rows, the packed text, its digest) is kept; a rank waits here for as long as
others take that come at the same time, and hands what is left to the queue if they do not.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from allgrad.comm.agreement import Call
from allgrad.comm.node import IN_ORDER, RING, Channel, fence, packed
from allgrad.comm.progress import QUICK_S, Steps
from allgrad.comm.reduction import UFUNCS, Array, accumulator, fold
from allgrad.comm.stage import BLOCKS, Stage

_SPINS = 300  # some 20 µs
_CROWDED_SPINS = 10  # where ranks are more than cores: who looks on keeps the others from coming


class Kind:
    """One kind of small all-reduce: what stays the same from one call to the next.

    With ``behind`` bytes in front of its data, for another array that travels with it.
    """

    __slots__ = ("digest", "factor", "line", "mine", "op", "raw", "rest", "rows", "scale", "text", "ufunc")

    def __init__(
        self, stage: Stage, call: Call, op: str, dtype: np.dtype[Any], count: int, scale: float | None, behind: int
    ) -> None:
        self.text, self.line, self.op, self.scale = call.text(), call.line(), op, scale
        self.raw, self.digest = packed(f"{call.text()} eager")
        span = slice(behind, behind + count * dtype.itemsize)
        rows = [[row[span].view(dtype) for row in half] for half in stage.rows]
        self.mine = [half[stage.rank] for half in rows]
        self.rows, self.rest = rows, [half[2:] for half in rows]
        wide = accumulator(dtype)
        self.ufunc = UFUNCS[op] if wide == dtype else None
        self.factor = None if scale is None else wide.type(scale)

    def fold(self, half: int, flat: Array) -> None:
        """``reduction.fold`` of what all ranks have shown, into ``flat``, which is none of the parts."""
        rows = self.rows[half]
        ufunc = self.ufunc
        if ufunc is None:
            fold(self.op, rows, [flat], self.scale)
            return
        ufunc(rows[0], rows[1], out=flat)
        for row in self.rest[half]:
            ufunc(flat, row, out=flat)
        if self.factor is not None:
            np.multiply(flat, self.factor, out=flat)


class Quick:
    """The quick way of one stage.  Only while no work is under way: calls are made in one order on all ranks.

    Nobody reads the half of the stage that is written here: it was used two meetings ago, and every rank has shown its
    data of the last one only after it had read those of the one before.
    """

    def __init__(self, calls: Channel, stage: Stage, crowded: bool) -> None:
        self._calls, self._stage = calls, stage
        self._first, self._second = ([*words[: stage.rank], *words[stage.rank + 1 :]] for words in calls.words)
        self._mine, self._mine_second = (words[stage.rank] for words in calls.words)
        self._spins = _CROWDED_SPINS if crowded else _SPINS
        self._mine_done = stage.marks.mine_done
        self.both = False

    def reduce(self, kind: Kind, flat: Array, number: int) -> Steps | None:
        """All-reduce ``flat`` in place; None if it is done, else the steps that are left."""
        stage, calls = self._stage, self._calls
        half = stage.half
        word = kind.digest + number
        kind.mine[half][...] = flat
        k = calls.post_packed(kind.raw, number)
        i = k % RING
        if not IN_ORDER:  # a call saved where it does nothing
            fence()
        self._mine[i] = word
        for words in self._first:
            if words[i] != word and not self._seen(words, i, word):
                return self._late(kind, flat, k, number, word)
        if not IN_ORDER:
            fence()
        kind.fold(half, flat)
        if not IN_ORDER:
            fence()
        self._mine_done[0] = stage.used[half] = k << BLOCKS
        stage.half = 1 - half
        return None

    def _seen(self, words: Any, i: int, word: int, enough: Any = None) -> bool:
        """Whether ``words[i]`` is ``word`` before long; no longer asked once ``enough[0][i]`` is ``enough[1]``."""
        for _ in range(self._spins):
            if words[i] == word:
                return True
        until = time.monotonic() + QUICK_S
        while True:
            if words[i] == word:
                return True
            if time.monotonic() > until or (enough is not None and enough[0][i] == enough[1]):
                return bool(words[i] == word)
            os.sched_yield()

    def _late(self, kind: Kind, flat: Array, k: int, number: int, word: int) -> Steps:
        """The rest of ``reduce`` after this rank has shown its data."""
        yield from self._stage.all_shown(k, number, word)
        kind.fold(self._stage.half, flat)
        self._stage.read(k)

    # -- two in one meeting ---------------------------------------------------------------------------------------

    def reduce_behind(
        self, front: Kind, kind: Kind, notice: Array, told: Array, flat: Array, number: int
    ) -> Steps | None:
        """``flat`` behind a ``notice`` of kind ``front``: see ``Communicator.all_reduce_behind``.

        ``both`` then says whether all ranks were in this very call.  A second word says so; the first one is that of
        the notice, for ranks that give a notice only.
        """
        stage = self._stage
        half = stage.half
        k, second = self._show_both(front, kind, notice, flat, number)
        i, word = k % RING, front.digest + number
        for words, seconds in zip(self._first, self._second):
            if seconds[i] != second and not self._seen(seconds, i, second, (words, word)):
                return self._late_behind(front, kind, told, flat, k, number, second)
        fence()
        kind.fold(half, flat)
        stage.read(k)
        self.both = True
        return None

    def _show_both(self, front: Kind, kind: Kind, notice: Array, flat: Array, number: int) -> tuple[int, int]:
        half, second = self._stage.half, kind.digest + number
        front.mine[half][...] = notice
        kind.mine[half][...] = flat
        k = self._calls.post_packed(front.raw, number)
        if not IN_ORDER:
            fence()
        self._mine_second[k % RING] = second
        if not IN_ORDER:
            fence()
        self._mine[k % RING] = front.digest + number
        return k, second

    def _late_behind(
        self, front: Kind, kind: Kind, told: Array, flat: Array, k: int, number: int, second: int
    ) -> Steps:
        """The rest of ``reduce_behind``: everybody has something to say, but perhaps not everybody the same."""
        yield from self._stage.all_shown(k, number, front.digest + number)
        self.both = self._calls.all_shown(k, second, 1)
        if self.both:
            kind.fold(self._stage.half, flat)
        else:
            front.fold(self._stage.half, told)
        self._stage.read(k)


def cores() -> int:
    """Cores that this process and its neighbours may have: a rank that is bound to one has that for itself."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return mine if mine > 1 else os.cpu_count() or 1
