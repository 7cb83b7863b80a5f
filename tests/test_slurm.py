"""The batch scripts under a real Slurm of three nodes: preempted, requeued, resumed; a node that dies.  Root only."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_jobs import launcher
from cluster_nodes import Nodes, require_cluster
from cluster_programs import TRAIN
from cluster_slurm import Slurm, require_slurm

pytestmark = pytest.mark.cluster

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    require_cluster()
    require_slurm()
    launcher()
    with Nodes(tmp_path_factory.mktemp("slurm"), 3) as nodes, Slurm(nodes) as running:
        shared = nodes.shared
        for name in ("slurm.sbatch", "slurm-array.sbatch"):
            (shared / name).write_text((REPOSITORY / "launch" / name).read_text())
        (shared / "bin").mkdir()
        (shared / "bin" / "allgrad").write_text(f'#!/bin/sh\nexec {sys.executable} -m allgrad "$@"\n')
        (shared / "bin" / "allgrad").chmod(0o755)
        (shared / "train.py").write_text(TRAIN)
        yield running


def submit(slurm: Slurm, *words: str) -> str:
    path = f"{slurm.nodes.shared}/bin:{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    return slurm.submit("--ntasks-per-node=1", *words, PATH=path)


def await_text(path: Path, pattern: str, timeout_s: float = 40) -> str:
    until = time.monotonic() + timeout_s
    while not re.search(pattern, text := path.read_text(errors="replace") if path.exists() else ""):
        assert time.monotonic() < until, f"no {pattern!r} in {path.name}:\n{text}"
        time.sleep(0.1)
    return text


def test_preempted_requeued_resumed(slurm: Slurm) -> None:
    shared = slurm.nodes.shared
    for name in ("saved.json", "progress", "starts"):
        (shared / name).unlink(missing_ok=True)
    job = submit(slurm, "slurm.sbatch", "train.py", "60", "0.1")
    log = shared / f"allgrad-{job}.log"
    until = time.monotonic() + 40
    while not ((shared / "progress").exists() and int((shared / "progress").read_text() or 0) >= 5):
        assert time.monotonic() < until, (log.read_text() if log.exists() else "") + slurm.log()
        time.sleep(0.1)
    slurm.ask("scancel", "--batch", "--signal=USR1", job)  # what Slurm sends ahead of the limit and of a preemption
    await_text(log, "back into the queue")
    slurm.await_state(job, "RUNNING")
    assert slurm.await_state(job, "COMPLETED", "FAILED", timeout_s=60) == "COMPLETED", log.read_text()
    text = log.read_text()
    first, second = (int(line) for line in (shared / "starts").read_text().split())
    assert first == 0 and second >= 5, "it resumed where it was stopped"
    assert text.count(f"saved step {second}") == 2 and text.count("has done all steps") == 2, text
    assert f"job {job}, start 1" in text and "rank 1 of 2 on node2" in text, text


def test_seeds(slurm: Slurm) -> None:
    shared = slurm.nodes.shared
    (shared / "seed.py").write_text("import os, sys; print('seed', sys.argv[1:], 'rank', os.environ['RANK'])\n")
    job = submit(slurm, "--array=3-4", "slurm-array.sbatch", "seed.py")
    for seed in (3, 4):
        slurm.await_state(f"{job}_{seed}", "COMPLETED")
        text = await_text(shared / f"seed-{seed}.log", "rank 0")
        assert f"seed ['--seed', '{seed}', '--out', 'runs/seed-{seed}'] rank 0" in text


def test_srun_without_a_process_manager_is_refused(slurm: Slurm) -> None:
    """MPI would start two worlds of one rank, and both would train to the end with exit code 0."""
    words = ["srun", "--mpi=none", "-N2", "-n2", sys.executable, "train.py", "1", "0"]
    command = slurm.nodes.command("node1", words, **slurm.variables())
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "sees a world of 1" in done.stderr and "--mpi=pmi2" in done.stderr, done


def test_a_lost_node_is_no_success(slurm: Slurm) -> None:
    """Under Open MPI alone the job would be COMPLETED in a part of the runs.  The last test: the node stays away."""
    shared = slurm.nodes.shared
    for name in ("saved.json", "progress", "starts"):
        (shared / name).unlink(missing_ok=True)
    job = submit(slurm, "--nodes=3", "--no-requeue", "slurm.sbatch", "train.py", "3000", "0.05")
    await_text(shared / "progress", "[1-9]")
    slurm.nodes.kill("node3")
    # The launcher fails in seconds and starts again; without the node that cannot work.
    assert slurm.await_state(job, "FAILED", "NODE_FAIL", "COMPLETED", timeout_s=90) in ("FAILED", "NODE_FAIL")
    assert "exit code" in (shared / f"allgrad-{job}.log").read_text()
