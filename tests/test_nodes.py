"""Real nodes over ssh: a job on three of them, a node that dies, a cable that is cut, signals.  Root only."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_jobs import Result, finish, launcher, wait_until_gone
from cluster_nodes import Nodes, require_cluster
from cluster_programs import TRAIN
from mpirun import within

pytestmark = pytest.mark.cluster

HOSTS = "node1,node2:2,node3"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    require_cluster()
    launcher()
    with Nodes(tmp_path_factory.mktemp("cluster"), 3) as three:
        yield three


@pytest.fixture
def folder(nodes: Nodes) -> Iterator[Path]:
    for name in ("saved.json", "progress", "starts"):
        (nodes.shared / name).unlink(missing_ok=True)
    (nodes.shared / "train.py").write_text(TRAIN)
    yield nodes.shared
    assert not list(nodes.shared.glob(".allgrad-job-*"))


def await_step(folder: Path, step: int) -> None:
    until = time.monotonic() + 30
    while not ((folder / "progress").exists() and int((folder / "progress").read_text() or 0) >= step):
        assert time.monotonic() < until, "the job does not get on"
        time.sleep(0.02)


def train(nodes: Nodes, *options: str, steps: str = "2000", pause: str = "0.02", **variables: str):
    return nodes.allgrad("node1", "run", *options, "train.py", steps, pause, **variables)


def test_a_job_on_three_nodes(nodes: Nodes, folder: Path) -> None:
    """Open MPI passes no variable on to other nodes by itself: the ranks there must find allgrad all the same."""
    job = finish(train(nodes, "--hosts", HOSTS, "--env", "COLOUR=blue", steps="20", pause="0"), 60)
    assert job.code == 0, job.err
    for rank, name in enumerate(["node1", "node2", "node2", "node3"]):
        assert f"rank {rank} of 4 on {name} starts" in job.out


def test_doctor_of_three_nodes(nodes: Nodes, folder: Path) -> None:
    told = finish(nodes.allgrad("node1", "run", "--hosts", "node1,node2,node3", "-m", "allgrad", "doctor"), 60)
    assert "3 ranks on 3 nodes" in told.out and told.code == int("BAD" in told.out), told
    for name in ("node1", "node2", "node3"):
        assert told.out.count(f"{name}: 1 ranks, ") == told.out.count(f"{name}: ") - 1 == 1, told.out


def test_usr1_reaches_all(nodes: Nodes, folder: Path) -> None:
    job = train(nodes, "--hosts", "node1,node2")
    await_step(folder, 5)
    signal_launcher(job.pid, signal.SIGUSR1)
    ended = finish(job, 30)
    assert ended.code == 75 and ended.out.count("saved step") == 2, ended


def test_signals_without_a_rank_on_the_launchers_node(nodes: Nodes, folder: Path) -> None:
    job = train(nodes, "--hosts", "node2,node3")
    await_step(folder, 5)
    signal_launcher(job.pid, signal.SIGTERM)
    ended = finish(job, 30)
    assert ended.out.count("saved step") == 2 and ended.code == 75, ended


def test_a_folder_that_rank_0_does_not_see_is_refused(nodes: Nodes, folder: Path) -> None:
    words = [sys.executable, "-m", "allgrad", "run", "--hosts", "node2", str(folder / "train.py"), "5", "0"]
    job = finish(nodes.start("node1", "sh", "-c", 'cd /tmp && exec "$@"', "-", *words), 40)
    assert job.code != 0 and "does not see" in job.err and "rank 0" in job.err, job.err


def test_a_node_dies(nodes: Nodes, folder: Path) -> None:
    job = train(nodes, "--hosts", HOSTS)
    await_step(folder, 5)
    nodes.kill("node3")
    ended: Result = finish(job, 60)
    # Open MPI's own exit code is 0 in a part of the runs.
    assert ended.code != 0 and ended.seconds < within(15), ended
    assert "allgrad: " in ended.err
    wait_until_gone("train.py 2000", 10)


def test_a_cable_is_cut(nodes: Nodes, folder: Path) -> None:
    """Nobody is told; the watchdog ends the job after its time limit."""
    job = train(nodes, "--hosts", "node1,node2:2", "--timeout", "3")
    await_step(folder, 5)
    nodes.cut_cable("node2")
    ended = finish(job, 60)
    assert ended.code != 0 and ended.seconds < within(3 + 8), ended
    assert "the limit is 3 s" in ended.err, ended.err


def signal_launcher(entered: int, number: signal.Signals) -> None:
    """``entered`` is nsenter; the launcher is its child, seen from outside."""
    import os

    children = Path(f"/proc/{entered}/task/{entered}/children").read_text().split()
    os.kill(int(children[0]), number)
