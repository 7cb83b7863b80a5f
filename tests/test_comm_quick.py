"""The quick way of small all-reduces, without MPI: ranks that go it meet ranks that go through the queue, in drawn orders."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from allgrad.comm import quick as quick_module
from allgrad.comm.agreement import Call
from allgrad.comm.node import CHANNEL_BYTES, MARKS_BYTES, Channel, Marks, packed
from allgrad.comm.quick import Kind, Quick
from allgrad.comm.stage import Stage, Task
from allgrad.errors import MismatchError
from comm_bodies import left_fold

Array = np.ndarray[Any, Any]
FRONT = 64  # bytes that a notice takes


class Rank:
    """One rank's view of the memory."""

    def __init__(self, rank: int, memory: list[Array], common: Array, draw: random.Random) -> None:
        self.rank, self.draw = rank, draw
        self.calls = Channel([row[:CHANNEL_BYTES] for row in memory], rank)
        marks = Marks([row[CHANNEL_BYTES : CHANNEL_BYTES + MARKS_BYTES] for row in memory], rank)
        rows = [row[CHANNEL_BYTES + MARKS_BYTES :] for row in memory]
        self.stage = Stage(self.calls, marks, rank, rows, common)
        self.quick = Quick(self.calls, self.stage, len(memory) > 3)
        self.kinds: dict[Any, Kind] = {}
        self.results: list[Any] = []

    def kind(self, text: str, flat: Array, scale: float | None, behind: int = 0) -> Kind:
        key = (text, flat.dtype, flat.size, scale, behind)
        if key not in self.kinds:
            self.kinds[key] = Kind(self.stage, Call(0, text), "sum", flat.dtype, flat.size, scale, behind)
        return self.kinds[key]

    def queued(self, text: str, i: int, flat: Array, scale: float | None) -> Iterator[Any]:
        text = f"{Call(0, text).text()} eager"
        task = Task(self.calls.post(text, i), i, packed(text)[1] + i, flat, "sum", scale)
        return self.stage.eager(task)

    def program(self, plan: list[tuple[str, str, Array]]) -> Iterator[None]:
        """Each (how, text, data): through the stage, small, or small behind a notice that some ranks give alone."""
        for i, (how, text, flat) in enumerate(plan):
            yield
            try:
                if how == "large":
                    word = packed(text)[1] + i
                    yield from self.stage.through(Task(self.calls.post(text, i), i, word, flat, "sum", 0.5))
                elif how == "small":
                    if self.draw.random() < 0.3:
                        yield from self.queued(text, i, flat, 0.5)
                    else:
                        yield from self.quick.reduce(self.kind(text, flat, 0.5), flat, i) or ()
                else:
                    yield from self.behind(how, text, i, flat)
                self.results.append(flat)
            except MismatchError as error:
                self.results.append(str(error))

    def behind(self, how: str, text: str, i: int, flat: Array) -> Iterator[None]:
        """``how`` is "behind", or "notice" for a rank that gives the notice and does not reduce; the notice is its rank."""
        notice = np.full(2, self.rank + 1.0)
        told = np.zeros(2)
        if how == "notice":
            told[...] = notice
            yield from self.queued("notice", i, told, None)
            flat[...] = told[0]
            return
        front, kind = self.kind("notice", notice, None), self.kind(text, flat, 0.5, FRONT)
        yield from self.quick.reduce_behind(front, kind, notice, told, flat, i) or ()
        if not self.quick.both:
            flat[...] = told[0]


def run(size: int, seed: int, odd: int | None = None) -> None:
    """``odd``: at that call the last rank announces something else."""
    draw = random.Random(seed)
    step = 256
    memory = [np.zeros(CHANNEL_BYTES + MARKS_BYTES + 2 * step, np.uint8) for _ in range(size)]
    common = np.zeros(2 * step, np.uint8)
    ranks = [Rank(r, memory, common, random.Random(1000 * seed + r)) for r in range(size)]
    count = 90  # more than the ring has places
    plans: list[list[tuple[str, str, Array]]] = [[] for _ in range(size)]
    expected = []
    for i in range(count):
        how = draw.choice(["small", "small", "large", "behind", "behind", "apart"])
        n = draw.choice([64, 65, 200]) if how == "large" else draw.choice([0, 1, 7, 30])
        dtype = draw.choice([np.float32, np.float16])
        data = [draw_array(draw, n, dtype) for _ in range(size)]
        apart = draw.randrange(size)  # in "apart" at least this rank gives the notice only
        for r in range(size):
            way = how
            if how == "apart":
                way = "notice" if r == apart or draw.random() < 0.3 else "behind"
            differs = i == odd and r == size - 1
            plans[r].append((way, f"call of {n}" + ("!" if differs else ""), data[r].copy()))
        sum_of_notices = np.full(n, size * (size + 1) / 2, dtype)
        folded = left_fold(data, np.add, 0.5) if dtype == np.float32 else wide_fold(data)
        told_only = how == "apart" or (how == "behind" and i == odd)
        expected.append(sum_of_notices if told_only else folded)
        if i == odd and how in ("small", "large"):
            expected[-1] = None
    programs = [rank.program(plan) for rank, plan in zip(ranks, plans)]
    alive = list(range(size))
    for _ in range(300_000):
        if not alive:
            break
        r = draw.choice(alive)
        for _ in range(draw.choice([1, 1, 5, 50])):
            if next(programs[r], "end") == "end":
                alive.remove(r)
                break
    assert not alive, f"ranks {alive} wait for ever"
    for r, rank in enumerate(ranks):
        assert len(rank.results) == count
        for i, result in enumerate(rank.results):
            if expected[i] is None:
                assert isinstance(result, str) and f"rank {size - 1} is in #{i} call of" in result, (r, i, result)
            else:
                assert not isinstance(result, str), (r, i, result)
                np.testing.assert_array_equal(result, expected[i], err_msg=f"rank {r}, call {i}, seed {seed}")


def draw_array(draw: random.Random, n: int, dtype: Any) -> Array:
    return np.array([draw.gauss(0, 1) for _ in range(n)], dtype)


def wide_fold(data: list[Array]) -> Array:
    """In float32, rounded once."""
    return left_fold([each.astype(np.float32) for each in data], np.add, 0.5).astype(np.float16)


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks are in one thread here: what is not there at once is left to the steps."""
    monkeypatch.setattr(quick_module, "QUICK_S", -1.0)
    monkeypatch.setattr(quick_module, "_SPINS", 1)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_quick_and_queued_ranks_meet(size: int) -> None:
    for seed in range(12):
        run(size, seed)


@pytest.mark.parametrize("size", [2, 3])
def test_it_works_on_after_a_mismatch(size: int) -> None:
    for seed in range(30):
        run(size, seed, odd=3 * seed)


class Hasty(Quick):
    """Folds before all have shown their data."""

    def _seen(self, words: Any, i: int, word: int, enough: Any = None) -> bool:
        return True


class Blind(Quick):
    """Takes every notice for the same call."""

    def _late_behind(self, *args: Any) -> Iterator[Any]:
        yield from super()._late_behind(*args)
        self.both = True


class Numberless(Channel):
    """Words that are the same in every call of a kind."""

    def all_shown(self, k: int, word: int, n: int = 0) -> bool:
        return all(words[k % 64] != 0 for words in self.words[n])


@pytest.mark.parametrize(("name", "planted"), [("Quick", Hasty), ("Quick", Blind), ("Channel", Numberless)])
def test_planted_bugs_are_caught(name: str, planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"test_comm_quick.{name}", planted)
    with pytest.raises(AssertionError):
        for size in (2, 3, 4):
            for seed in range(12):
                run(size, seed)


def test_digests_tell_texts_apart() -> None:
    texts = [f"all_reduce(sum, float32, {n})" for n in range(20_000)]
    words = {packed(text)[1] for text in texts}
    assert len(words) == len(texts)
    assert all(0 < word < 2**62 for word in words)
    long = [packed("x" * 300 + tail) for tail in "ab"]
    assert long[0][1] != long[1][1] and len(long[0][0]) == len(long[1][0]) == 120
