"""The stage of a node without MPI: ranks as generators that are advanced in drawn orders, over one piece of memory."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from allgrad.comm import stage as stage_module
from allgrad.comm.agreement import fit
from allgrad.comm.node import CHANNEL_BYTES, MARKS_BYTES, Channel, Marks, packed
from allgrad.comm.stage import Stage, Task
from allgrad.errors import MismatchError
from comm_bodies import left_fold


class Rank:
    """One rank's view of the memory, and what it does: a list of (text, count) of all-reduces, async ones in pairs."""

    def __init__(self, rank: int, memory: list[np.ndarray[Any, Any]], common: np.ndarray[Any, Any]) -> None:
        self.calls = Channel([row[:CHANNEL_BYTES] for row in memory], rank)
        marks = Marks([row[CHANNEL_BYTES : CHANNEL_BYTES + MARKS_BYTES] for row in memory], rank)
        rows = [row[CHANNEL_BYTES + MARKS_BYTES :] for row in memory]
        self.stage = Stage(self.calls, marks, rank, rows, common)
        self.results: list[Any] = []

    def program(self, calls: list[tuple[str, np.ndarray[Any, Any], int]]) -> Any:
        """Each (text, data, ahead): ``ahead`` calls are posted before the first of them runs, as async work is."""
        queue: list[tuple[Any, np.ndarray[Any, Any]]] = []
        for i, (text, flat, ahead) in enumerate(calls):
            task = Task(self.calls.post(text, i), i, packed(text)[1] + i, flat, "sum", 0.5)
            queue.append((self.stage.eager(task) if flat.size < 40 else self.stage.through(task), flat))
            if len(queue) <= ahead and i + 1 < len(calls):
                continue
            for steps, result in queue:
                try:
                    yield from steps
                    self.results.append(result)
                except MismatchError as error:
                    self.results.append(str(error))
            queue = []


def run(size: int, seed: int, odd: int | None = None) -> None:
    """``odd``: at that call the last rank announces something else."""
    draw = random.Random(seed)
    step = 256  # bytes of half a stage: a few dozen numbers
    memory = [np.zeros(CHANNEL_BYTES + MARKS_BYTES + 2 * step, np.uint8) for _ in range(size)]
    common = np.zeros(2 * step, np.uint8)
    ranks = [Rank(r, memory, common) for r in range(size)]
    counts = [draw.choice([0, 1, 7, 30, 39, 40, 64, 65, 128, 300]) for _ in range(12)]
    source = np.random.default_rng(seed)
    data = [[source.standard_normal(n).astype(np.float32) for n in counts] for _ in range(size)]
    expected = [left_fold([data[r][i].copy() for r in range(size)], np.add, 0.5) for i in range(len(counts))]
    programs = []
    for r, rank in enumerate(ranks):
        text = [f"call {i}" + ("!" if i == odd and r == size - 1 else "") for i in range(len(counts))]
        programs.append(rank.program([(t, flat, draw.randrange(3)) for t, flat in zip(text, data[r])]))
    alive = list(range(size))
    for _ in range(200_000):
        if not alive:
            break
        r = draw.choice(alive)
        for _ in range(draw.choice([1, 1, 5, 50])):
            if next(programs[r], "end") == "end":
                alive.remove(r)
                break
    assert not alive, f"ranks {alive} wait for ever"
    for r, rank in enumerate(ranks):
        for i, result in enumerate(rank.results):
            if i == odd:
                assert "call" in result and f"rank {size - 1} is in #{i} call {i}!" in result, (r, result)
            else:
                np.testing.assert_array_equal(result, expected[i], err_msg=f"rank {r}, call {i}, seed {seed}")
        assert len(rank.results) == len(counts)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_any_order_of_steps_gives_the_rank_order_sum(size: int) -> None:
    for seed in range(30):
        run(size, seed)


@pytest.mark.parametrize("size", [2, 3])
def test_it_works_on_after_a_mismatch(size: int) -> None:
    for seed in range(30):
        run(size, seed, odd=seed % 12)


class NeverWaits(Stage):
    """Writes where others still read."""

    def free(self, half: int) -> Any:
        return iter(())


class OneHalf(NeverWaits):
    """The same memory for every block."""

    @property
    def half(self) -> int:
        return 0

    @half.setter
    def half(self, half: int) -> None:
        return


class NotAwaited(Stage):
    """Folds before all have shown their data."""

    def __init__(self, calls: Channel, marks: Marks, *rest: Any) -> None:
        marks.all_arrived = lambda mark: True  # type: ignore[method-assign]
        calls.all_shown = lambda k, word, n=0: True  # type: ignore[method-assign]
        super().__init__(calls, marks, *rest)


@pytest.mark.parametrize("planted", [NeverWaits, OneHalf, NotAwaited])
def test_planted_bugs_are_caught(planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_comm_stage.Stage", planted)
    with pytest.raises(AssertionError):
        for size in (2, 3, 5):
            for seed in range(30):
                run(size, seed)


def test_long_texts_keep_their_difference() -> None:
    texts = ["x" * 200 + tail for tail in ("bias", "weight")] + ["ä" * 200]
    cut = [fit(text, 120) for text in texts]
    assert all(len(raw) <= 120 for raw in cut) and len(set(cut)) == 3
    assert [raw.decode()[0] for raw in cut] == ["x", "x", "ä"]
    assert fit("short", 120) == b"short"


def test_the_stage_is_small() -> None:
    """Docker gives a container 64 MB of shared memory; 4 ranks with two groups must fit beside MPI's own."""
    assert 2 * 5 * stage_module.stage_bytes(4) <= 20 * 1024 * 1024
    assert 129 * stage_module.stage_bytes(128) <= 34 * 1024 * 1024
    assert stage_module.stage_bytes(1000) >= 2 * stage_module.EAGER_BYTES


def test_small_is_the_same_everywhere_and_fits() -> None:
    """A notice and the data behind it lie in one half of a row; nodes of few ranks, and crowded ones, fold more at once."""
    for ranks in (*range(1, 40), 64, 128, 1000):
        for crowded in (False, True):
            most = stage_module.eager_bytes(ranks, crowded)
            assert most >= stage_module.EAGER_BYTES and most + 40 * ranks + 64 <= stage_module.stage_bytes(ranks) // 2
    assert [stage_module.eager_bytes(n) // 1024 for n in (2, 3, 5, 9)] == [256, 256, 128, 64]
    assert stage_module.eager_bytes(4, True) == 512 * 1024
