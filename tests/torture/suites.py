"""Rows that are tests of their own: guards switched off one at a time, and real nodes and a real Slurm."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cli_jobs import environment
from mpirun import within
from torture.task import Task

TESTS = Path(__file__).resolve().parents[1]
GUARDS = (
    "test_planted_checkpoint.py", "test_planted_ddp.py::test_is_caught[vote_of_one_rank]",
    "test_torture_short.py::test_a_guard_is_missed",
)  # fmt: skip
CLUSTER = ("test_nodes.py", "test_slurm.py")


def guards(task: Task) -> None:
    """``guards`` switched off, each noticed by the test that is named beside it."""
    _pytest(task, "guards", GUARDS, 300)


def cluster(task: Task) -> None:
    """``events`` on three nodes over ssh and under Slurm; root only, with the packages that the tests name."""
    _pytest(task, "events", CLUSTER, 600, "-m", "cluster")


def _pytest(task: Task, what: str, files: tuple[str, ...], limit_s: float, *options: str) -> None:
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        *options,
        *(str(TESTS / f) for f in files),
    ]
    try:
        done = subprocess.run(
            words, cwd=TESTS.parent, env=environment(OPENBLAS_NUM_THREADS="1"), capture_output=True, text=True,
            timeout=within(limit_s),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        task.trouble(f"{', '.join(files)} hung")
        return
    passed = re.search(r"(\d+) passed", done.stdout)
    skipped = re.findall(r"SKIPPED \[(\d+)\] [^:]*:\d+: (.*)", done.stdout)
    if done.returncode != 0:
        task.trouble((done.stdout + done.stderr)[-3000:])
    if passed:
        task.ok(what, int(passed[1]))
    if skipped:
        reasons = "; ".join(f"{count}: {reason}" for count, reason in skipped)
        task.worst = f"not run: {reasons}"
        if not passed:
            task.skipped = reasons
