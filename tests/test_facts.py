"""Facts of a world, as ``allgrad doctor`` reads them: the same on every rank, and true."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

from allgrad.comm import SingleCommunicator, launch_world, run_virtual
from allgrad.distributed.facts import gather_facts, probe
from mpirun import mpirun

PROGRAM = """
import json
from allgrad.comm import launch_world
from allgrad.distributed.facts import gather_facts, probe
world = launch_world()
facts, speed = gather_facts(world, {"mine": world.rank * 10}), probe(world, seconds=0.02)
if world.rank == 1:
    print(json.dumps([facts, speed]))
"""


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_rank_knows_the_facts_of_all(size: int) -> None:
    def program() -> list[dict[str, object]]:
        return gather_facts(launch_world(), {"mine": launch_world().rank * 10})

    for facts in run_virtual(program, size):
        assert [f["rank"] for f in facts] == list(range(size))
        assert [f["mine"] for f in facts] == [10 * r for r in range(size)]
        assert {f["pid"] for f in facts} == {os.getpid()} and facts[0]["interpreter"] == sys.executable
        assert facts[0]["node_ranks"] == size == facts[0]["size"] and facts[0]["promised_size"] is None
        assert facts[0]["node_threads"] == sum(f["blas_threads"] for f in facts)  # type: ignore[misc]
        assert facts[0]["versions"]["numpy"] == np.__version__  # type: ignore[index]


@pytest.mark.parametrize("size", [1, 3])
def test_the_probe_gives_all_the_same_numbers(size: int) -> None:
    found = run_virtual(lambda: probe(launch_world(), 4096, 0.002), size)
    assert all(f == found[0] for f in found)
    assert found[0]["latency_us"] > 0 and found[0]["bandwidth_gb_s"] > 0


def test_a_world_of_one() -> None:
    facts = gather_facts(SingleCommunicator())
    assert facts[0]["kind"] == "single" and facts[0]["node_cores"] == len(os.sched_getaffinity(0))


def test_facts_under_mpi() -> None:
    job = mpirun(3, "-c", PROGRAM)
    assert job.code == 0, job
    facts, speed = json.loads(job.out)
    assert [f["promised_rank"] for f in facts] == [0, 1, 2] and {f["promised_size"] for f in facts} == {3}
    assert {f["thread_level"] for f in facts} <= {"single", "funneled", "serialized", "multiple"}
    assert facts[0]["library"].split()[0] in ("Open", "MPICH") and facts[0]["launcher"] in ("openmpi", "hydra")
    assert len({f["pid"] for f in facts}) == 3 == facts[0]["node_ranks"]
    assert max(f["clock_s"] for f in facts) - min(f["clock_s"] for f in facts) < 5
    assert 0.1 < speed["latency_us"] < 1e6 and 1e-4 < speed["bandwidth_gb_s"] < 1e3
