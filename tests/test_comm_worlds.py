"""One body, all worlds: single, virtual and MPI do the same, bit for bit, at 1, 2, 3 and 4 ranks."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import pytest

from allgrad.comm import SingleCommunicator, launch_world, run_virtual
from comm_bodies import BODIES
from mpirun import mpirun

RUN_BODIES = str(Path(__file__).parent / "mpi" / "run_bodies.py")


@cache
def virtual_digests(name: str, size: int, seed: int | None = None) -> list[str]:
    def program() -> str:
        return hashlib.sha256(BODIES[name](launch_world())).hexdigest()

    return run_virtual(program, size, schedule_seed=seed)


@pytest.mark.parametrize("name", BODIES)
def test_single(name: str) -> None:
    comm = SingleCommunicator()
    assert hashlib.sha256(BODIES[name](comm)).hexdigest() == virtual_digests(name, 1)[0]
    comm.close()


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("name", BODIES)
def test_virtual(name: str, size: int) -> None:
    assert virtual_digests(name, size, seed=size) == virtual_digests(name, size)


STAGED = ["in_window", "through_stage", "eager"]
MESSAGES = ["by_messages", "by_messages", "by_record"]


@pytest.mark.parametrize(
    ("size", "setting", "ways"),
    [
        (1, {}, ["alone"] * 3),
        (2, {}, STAGED),
        (3, {}, STAGED),
        (4, {}, STAGED),
        # no shared windows: messages only, as between nodes; in pieces of 10,000 bytes, as above 2 GiB
        (2, {"ALLGRAD_SHARED_MEMORY": "0"}, MESSAGES),
        (3, {"ALLGRAD_SHARED_MEMORY": "0", "TEST_CHUNK_BYTES": "10000"}, MESSAGES),
        # several nodes: sums travel along them where each node's ranks follow each other
        (3, {"TEST_NODES": "0,0,1", "TEST_CHUNK_BYTES": "4096"}, ["along_nodes", "by_messages", "by_record"]),
        (4, {"TEST_NODES": "0,1,0,1"}, MESSAGES),
        (6, {"TEST_NODES": "0,0,1,1,2,2", "TEST_CHUNK_BYTES": "10000"}, ["along_nodes", "by_messages", "by_record"]),
    ],
    ids=str,
)
def test_mpi_is_virtual_bit_for_bit(size: int, setting: dict[str, str], ways: list[str]) -> None:
    job = mpirun(size, RUN_BODIES, timeout_s=60, env=setting)
    assert job.code == 0, job.out + job.err
    found = json.loads(job.out[job.out.index("{") :])
    assert found["facts"]["kind"] == "mpi" and found["facts"]["size"] == size
    assert found["facts"]["nodes"] == len(set(setting.get("TEST_NODES", "0").split(",")))
    assert found["facts"]["ways"] == ways
    assert found["digests"] == {name: virtual_digests(name, size) for name in BODIES}


@pytest.mark.mpi
@pytest.mark.parametrize("name", BODIES)
def test_mpi_in_process(name: str) -> None:
    """Under ``mpirun -n N python -m pytest --with-mpi -m mpi``."""
    BODIES[name](launch_world())


def test_worlds_end_and_begin_again() -> None:
    job = mpirun(3, str(Path(__file__).parent / "mpi" / "lifecycle.py"))
    assert job.code == 0, job
    assert sorted(job.out.split("\n")) == ["", *(f"rank {r} is done" for r in range(3))]


def test_the_way_that_is_asked_for_is_the_same_on_all_ranks() -> None:
    program = str(Path(__file__).parent / "mpi" / "algorithms.py")
    env = {"ALLGRAD_ALGORITHM": "hierarchical", "ALLGRAD_TIMEOUT": "33", "ALLGRAD_CHECK_COLLECTIVES": "1"}
    job = mpirun(3, program, env=env)
    assert job.code == 0, job
    for found in json.loads(job.out):
        assert (found["algorithm"], found["inherited"], found["check"]) == ("hierarchical", "hierarchical", True)
        assert found["timeout"] == 33 and found["sum"] == 3
        assert found["described"] == "auto, not hierarchical", "there is one node only"
        assert "'fastest'" in found["refused"] and "doubling" in found["refused"]
        assert "rank 1 is in" in found["mismatch"] and "1000, ordered)" in found["mismatch"]
