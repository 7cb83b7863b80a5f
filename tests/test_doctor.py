"""``allgrad doctor``: every wrong fact is found and comes with its repair; a healthy world has none."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from allgrad.cli.cores import memory_limit
from allgrad.cli.findings import judge
from cli_jobs import environment, launcher, run, write

SPEED = {"latency_us": 30.0, "bandwidth_gb_s": 3.0}


def healthy(ranks: int = 4, nodes: int = 2, cores: int = 8) -> list[dict[str, Any]]:
    """Facts of a world in which nothing is to repair."""
    each = ranks // nodes
    return [
        {
            "host": f"node{rank // each}",
            "rank": rank,
            "library": "Open MPI 5.0.11",
            "thread_level": "multiple",
            "launcher": "openmpi",
            "promised_size": ranks,
            "cores": list(range(cores)),
            "blas_threads": cores // each,
            "shm_free_bytes": 2**30,
            "clock_s": 1e9 + rank / 1000,
            "versions": {"allgrad": "1", "numpy": "2.4.0", "python": "3.11.7", "mpi4py": "4.1.2"},
            "node_ranks": each,
            "node_cores": cores,
            "node_threads": cores,
            "quota_cores": None,
            "memory_limit_bytes": None,
        }
        for rank in range(ranks)
    ]


@pytest.mark.parametrize(("ranks", "nodes"), [(1, 1), (2, 1), (4, 2), (6, 3)])
def test_a_healthy_world(ranks: int, nodes: int) -> None:
    facts = healthy(ranks, nodes)
    if ranks == 1:
        facts[0] |= {"library": None, "thread_level": None, "launcher": None, "promised_size": None}
    assert [finding for finding in judge(facts, SPEED) if finding.repair is not None] == []


def on_all(**changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(ranks: list[dict[str, Any]]) -> None:
        for facts in ranks:
            facts.update(changes)

    return change


def on_one(rank: int, **changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda ranks: ranks[rank].update(changes)


OTHER = {"allgrad": "1", "numpy": "1.26.0", "python": "3.11.7", "mpi4py": "4.1.2"}
SICK = {
    "promise": (on_all(promised_size=8), "the launcher promised 8", "allgrad run"),
    "thread level": (on_all(thread_level="funneled"), "thread level funneled", "MPI4PY_RC_THREAD_LEVEL"),
    "numpy": (on_one(3, versions=OTHER), "numpy differs: 2.4.0 on ranks 0, 1, 2; 1.26.0 on ranks 3", "the same numpy"),
    "library": (on_one(0, library="MPICH 5"), "MPI differs: MPICH 5 on ranks 0; Open MPI 5.0.11 on ranks 1", "the same MPI"),
    "threads": (on_all(node_threads=16, blas_threads=8), "16 BLAS threads, 8 usable cores", "--threads 4"),
    "quota": (on_all(quota_cores=2.0), "2 usable cores (CPU quota 2)", "--threads 1"),
    "ranks": (on_all(quota_cores=1.5), "1 usable cores (CPU quota 1.5)", "at most 1 ranks"),
    "bound": (on_all(cores=[0], node_cores=2), "ranks 0, 1 have more threads than cores they are bound to", "--bind-to none"),
    "shm": (on_one(2, shm_free_bytes=64 * 2**20), "node1: 64 MiB free in /dev/shm", "96 MiB are wanted; "),
    "memory": (on_all(memory_limit_bytes=300 * 2**20), "memory limit of the control group 300 MiB", "give 2 ranks more memory"),
    "clock": (on_one(3, clock_s=1e9 - 90), "clocks are 90.0 s apart, node1 is the latest", "NTP"),
}  # fmt: skip


@pytest.mark.parametrize("sickness", SICK)
def test_each_finding_has_its_repair(sickness: str) -> None:
    change, fact, repair = SICK[sickness]
    ranks = copy.deepcopy(healthy())
    change(ranks)
    bad = [finding for finding in judge(ranks, SPEED) if finding.repair is not None]
    assert any(fact in finding.fact and repair in (finding.repair or "") for finding in bad), bad
    # the finding of one node is not repeated for each rank
    assert len(bad) == len({finding.fact for finding in bad}) <= 2


@pytest.mark.parametrize("speed", [{"latency_us": 9e4}, {"bandwidth_gb_s": 0.001}])
def test_slow(speed: dict[str, float]) -> None:
    for nodes, word in ((1, "wait for a core"), (2, "btl_tcp_if_include")):
        bad = [finding for finding in judge(healthy(4, nodes), SPEED | speed) if finding.repair is not None]
        assert len(bad) == 1 and word in (bad[0].repair or ""), bad


def test_no_shared_memory_is_no_fault() -> None:
    ranks = healthy()
    on_all(shm_free_bytes=None)(ranks)
    assert not [finding for finding in judge(ranks, SPEED) if finding.repair is not None]


def test_memory_limit(tmp_path: Path) -> None:
    membership, cgroup = tmp_path / "membership", tmp_path / "cgroup"
    (cgroup / "job" / "step").mkdir(parents=True)
    membership.write_text("0::/job/step\n")
    assert memory_limit(cgroup, membership) is None
    (cgroup / "job" / "step" / "memory.max").write_text("max\n")
    assert memory_limit(cgroup, membership) is None
    (cgroup / "job" / "memory.max").write_text("1000000\n")  # of the enclosing group
    assert memory_limit(cgroup, membership) == 1000000
    (cgroup / "memory" / "docker").mkdir(parents=True)
    membership.write_text("4:cpu,cpuacct:/docker\n5:memory:/docker\n")
    (cgroup / "memory" / "docker" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory_limit(cgroup, membership) is None
    (cgroup / "memory" / "docker" / "memory.limit_in_bytes").write_text("4096\n")
    assert memory_limit(cgroup, membership) == 4096


def test_one_process(tmp_path: Path) -> None:
    launcher()
    told = run(tmp_path, "doctor", OPENBLAS_NUM_THREADS="1")
    assert told.code == 0, told.out + told.err
    assert "1 rank on 1 node" in told.out and "allgrad run -n N -m allgrad doctor" in told.out


def test_a_whole_job(tmp_path: Path) -> None:
    launcher()
    told = run(tmp_path, "run", "-n", "2", "--threads", "1", "-m", "allgrad", "doctor", timeout_s=40)
    assert told.out.count("2 ranks on 1 node, ") == 1, told.out + told.err
    for fact in (
        "thread level multiple",
        "2 BLAS threads",
        "MiB free in /dev/shm",
        "clocks are at most",
        "GB/s",
        "mpi4py 4",
    ):
        assert told.out.count(fact) == 1, told.out
    assert told.code == int("BAD" in told.out)


def test_virtual_ranks(tmp_path: Path) -> None:
    told = run(tmp_path, "run", "--virtual", "2", "-m", "allgrad", "doctor")
    assert told.out.count("2 ranks on 1 node") == 1 and told.code == int("BAD" in told.out), told


def test_worlds_of_one_are_found(tmp_path: Path) -> None:
    """As ``srun --mpi=none`` starts them: each process would train alone, with exit code 0."""
    promise = {"PMI_RANK": "0", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": "4"}
    launcher()
    if launcher().family != "openmpi":
        pytest.skip("MPICH would look for the process manager that these variables promise")
    program = write(tmp_path, "import sys; from allgrad.cli import main; sys.exit(main(['doctor']))")
    for rank, lines in (("0", 2), ("2", 0)):
        done = subprocess.run(
            [sys.executable, program],
            cwd=tmp_path,
            env=environment(**promise | {"PMI_RANK": rank}),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1 and len(done.stdout.splitlines()) == lines, done
        assert ("sees a world of 1" in done.stdout) == (rank == "0")
