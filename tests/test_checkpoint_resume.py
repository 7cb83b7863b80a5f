"""A resumed run is the uninterrupted one, bit for bit; at another number of ranks no sample is lost or seen twice."""

from __future__ import annotations

import random
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpoint_bodies as bodies
from allgrad.checkpoint import CheckpointWarning
from allgrad.comm import run_virtual


def seeded(**arguments: Any) -> Any:
    """Python's and NumPy's generators belong to the process: start them alike."""
    random.seed(1)
    np.random.seed(1)
    return bodies.train(**arguments)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("background", [False, True])
def test_resumed_run_equals_the_whole_one(tmp_path: Path, size: int, background: bool) -> None:
    whole = run_virtual(seeded, size, folder=str(tmp_path / "a"), background=background)
    run_virtual(seeded, size, folder=str(tmp_path / "b"), stop=5, background=background)
    resumed = run_virtual(bodies.train, size, folder=str(tmp_path / "b"), background=background)
    for a, b in zip(whole, resumed):
        assert b["resumed"] == 3
        if size == 1:
            assert bodies.equal(a, b)
        else:  # Python's and NumPy's generators are one for all virtual ranks
            assert [row[:2] for row in a["log"]] == [row[:2] for row in b["log"]]
            assert a["flat"].tobytes() == b["flat"].tobytes() and a["buffers"].tobytes() == b["buffers"].tobytes()


@pytest.mark.parametrize("sharded", [True, "elements"])
@pytest.mark.parametrize("size", [1, 3])
def test_sharded_optimizer_resumes(tmp_path: Path, size: int, sharded: Any) -> None:
    whole = run_virtual(seeded, size, folder=str(tmp_path / "a"), sharded=sharded)
    run_virtual(seeded, size, folder=str(tmp_path / "b"), sharded=sharded, stop=7)
    resumed = run_virtual(bodies.train, size, folder=str(tmp_path / "b"), sharded=sharded)
    assert all(a["flat"].tobytes() == b["flat"].tobytes() and b["resumed"] == 6 for a, b in zip(whole, resumed))


@pytest.mark.parametrize(
    ("before", "after", "sharded"), [(4, 2, True), (1, 3, True), (2, 4, False), (3, 1, False), (2, 3, "elements")]
)
def test_another_number_of_ranks_sees_every_sample_once(tmp_path: Path, before: int, after: int, sharded: Any) -> None:
    stopped = run_virtual(seeded, before, folder=str(tmp_path), sharded=sharded, stop=3)
    # The list of samples that each rank keeps in ``values`` is its own.
    expected = pytest.warns(CheckpointWarning, match="values differed between") if before > 1 else nullcontext()
    with expected:
        resumed = run_virtual(bodies.train, after, folder=str(tmp_path), sharded=sharded, epochs=1)
    seen = [i for log in stopped for row in log["log"] for i in row[1]]
    for log in resumed:
        seen += [i for row in log["log"][3:] for i in row[1]]
    assert sorted(seen) == list(range(bodies.SAMPLES))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_workers": 2},
        {"num_workers": 3, "persistent_workers": True, "prefetch_factor": 1},
        {"num_workers": 2, "multiprocessing_context": "spawn"},
    ],
    ids=["no workers", "threads", "persistent", "processes"],
)
def test_workers_draw_on_where_they_were(tmp_path: Path, settings: dict[str, Any]) -> None:
    whole = bodies.noisy_batches(str(tmp_path / "a"), **settings)
    for stop in (3, 5, 13) if "multiprocessing_context" not in settings else (5,):
        bodies.noisy_batches(str(tmp_path / "b"), stop, **settings)
    assert bodies.noisy_batches(str(tmp_path / "b"), **settings) == whole
    assert len(whole) == 16


@pytest.mark.parametrize("sharded_optimizer", [False, True])
def test_with_logical_shards_the_number_of_ranks_may_change_and_no_bit_does(
    tmp_path: Path, sharded_optimizer: bool
) -> None:
    (whole,) = run_virtual(bodies.sharded, 1, str(tmp_path / "a"), 0, sharded_optimizer)
    for size, stop in ((2, 4), (3, 5), (1, 8), (4, 11)):
        run_virtual(bodies.sharded, size, str(tmp_path / "b"), stop, sharded_optimizer)
    assert run_virtual(bodies.sharded, 3, str(tmp_path / "b"), 0, sharded_optimizer) == [whole] * 3
