"""The short tier of ``make torture``: a small part of every row, with a fixed seed; and that the rows find planted bugs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torture.kills
from allgrad.checkpoint import folder, saving, shard
from allgrad.cli import hosts, supervise
from allgrad.cli.hosts import allocation
from allgrad.cli.job import Job
from allgrad.cli.signals import Signals
from allgrad.comm.launchenv import PLAIN, detect
from allgrad.errors import LaunchError
from checkpoint_disks import PowerDisk
from torture.__main__ import run_row
from torture.task import Task

Patch = pytest.MonkeyPatch
# Row -> (seed, part of the full size).
SHORT = {"kills": (3, 0.02), "disks": (1, 0.01), "power": (1, 0.05), "damage": (1, 0.005), "full": (1, 0.1),
         "matrix": (5, 0.01), "signals": (2, 0.03), "fuzz": (1, 0.02)}  # fmt: skip

BUDGET_S = 9.0  # each row ends after it at the next moment when it may


@pytest.mark.parametrize("row", SHORT)
def test_row(row: str) -> None:
    seed, share = SHORT[row]
    task = run_row(row, seed, share, BUDGET_S)
    assert not task.troubles, "\n".join(task.troubles)
    if task.skipped:
        pytest.skip(task.skipped)
    assert task.done, task


def test_a_seed_draws_the_same_again(tmp_path: Path) -> None:
    plans = [
        [torture.kills.drawn(task, "mpi", k) for k in range(9)]
        for task in (Task("kills", s, tmp_path) for s in (1, 1, 2))
    ]
    assert plans[0] == plans[1] != plans[2]


def without_its_mark(tmp_path: Path) -> None:
    """An ``mpirun`` that says 0 although no rank came to the end: no success."""
    job = Job.create(shared=False)
    try:
        with Signals() as signals:
            outcome = supervise.supervise([sys.executable, "-c", ""], dict(os.environ), job, "openmpi", signals)
    finally:
        job.remove()
    assert outcome.code == supervise.UNFINISHED


def test_success_needs_a_mark(tmp_path: Path) -> None:
    without_its_mark(tmp_path)


def end_marker_ignored(patch: Patch) -> None:
    patch.setattr(Job, "finished", property(lambda self: True))


def files_not_synced(patch: Patch) -> None:
    patch.setattr(PowerDisk, "sync", lambda self, handle: None)


def latest_before_the_manifest(patch: Patch) -> None:
    """What is older goes before the new one is safe."""
    real = folder.Folder.commit

    def commit(self: Any, name: str, found: Any) -> None:
        self.prune(name, 1, set())
        real(self, name, found)

    patch.setattr(folder.Folder, "commit", commit)


def files_believed(patch: Patch) -> None:
    patch.setattr(shard.Shard, "complaint", lambda self: None)


def trouble_of_one_rank(patch: Patch) -> None:
    real = saving.judge
    patch.setattr(saving, "judge", lambda comm, complaints, *rest: real(comm, [complaints[comm.rank]], *rest))


def digits_of_any_script(patch: Patch) -> None:
    patch.setattr(hosts, "_count", lambda text: int(text) if text.isdigit() else None)


def row_finds(row: str) -> Callable[[Path], None]:
    """The named test: the row itself."""

    def named_test(tmp_path: Path) -> None:
        seed, share = SHORT[row]
        assert not run_row(row, seed, share, 60.0).troubles

    return named_test


@pytest.mark.parametrize(
    ("plant", "named_test"),
    [
        (end_marker_ignored, without_its_mark),
        (files_not_synced, row_finds("power")),
        (latest_before_the_manifest, row_finds("power")),
        (files_believed, row_finds("damage")),
        (trouble_of_one_rank, row_finds("disks")),
        (digits_of_any_script, row_finds("fuzz")),
    ],
    ids=lambda each: each.__name__,
)
def test_a_guard_is_missed(plant: Any, named_test: Any, monkeypatch: Patch, tmp_path: Path) -> None:
    plant(monkeypatch)
    with pytest.raises((Exception, pytest.fail.Exception)):
        named_test(tmp_path)


def test_numbers_that_are_none() -> None:
    """Found by fuzzing: digits of other scripts and of absurd length, a host list of LSF without pairs."""
    for text in ("²", "9" * 5000):
        assert detect({"PMI_RANK": text, "PMI_SIZE": "2", "MPI_LOCALRANKID": "0"}) == PLAIN
        found = allocation({"SLURM_JOB_ID": "1", "SLURM_NNODES": text, "SLURM_NTASKS": text})
        assert found is not None and (found.nodes, found.ranks) == (1, None)
    for text in ("node1", " ", "node1 4 node2", "-x 3"):
        with pytest.raises(LaunchError):
            allocation({"LSB_MCPU_HOSTS": text})
