"""The mismatches of ``mismatch_cases`` between MPI processes, in one job where the ranks can go on after the error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mismatch_cases import CASES
from mpirun import mpirun, within
from test_mismatch import judge

PROGRAM = str(Path(__file__).parent / "mpi" / "run_mismatches.py")
ENDING = [name for name, case in CASES.items() if case.mpi == "ends"]


OTHER_CODE = """
import numpy as np
import allgrad as torch, allgrad.distributed as dist
from allgrad.comm import launch_world
from allgrad.nn.parallel import DistributedDataParallel
dist.init_process_group()
if dist.get_rank() == 0:  # as if another file had been copied to this node
    total = torch.zeros(3)
    for _ in range(3):
        dist.all_reduce(total)
else:
    model = DistributedDataParallel(torch.nn.Linear(4, 3))
    model(torch.ones(2, 4)).sum().backward()
dist.destroy_process_group()
print("all done")
"""


MEETING = [name for name, case in CASES.items() if case.mpi == "meets"]
# Between nodes these are the watchdog's: the ranks wait for different things, or one has left.
ONE_NODE = ("message", "receive", "batch", "groups in another", "a step more", "labels that")
BETWEEN = [name for name in MEETING if not any(words in name for words in ONE_NODE)]


@pytest.mark.parametrize(
    ("size", "nodes", "names"),
    [(2, "", MEETING[::2]), (3, "", MEETING[1::2]), (3, "0,0,1", BETWEEN[::3])],
    ids=["2 ranks", "3 ranks", "3 ranks on 2 nodes"],
)
def test_every_rank_says_what_is_wrong(size: int, nodes: str, names: list[str]) -> None:
    """``python tests/mpi/run_mismatches.py catch`` under mpirun runs all."""
    env = {"ALLGRAD_TIMEOUT": "20", "TEST_NODES": nodes}
    job = mpirun(size, PROGRAM, "catch", *names, timeout_s=within(100), env=env)
    assert job.code == 0, job.out + job.err
    found = json.loads(job.out[job.out.index("{") :])
    assert list(found) == names and len(names) > 25
    for name, ranks in found.items():
        judge(name, size, [(ours, text) for ours, text, _ in ranks])
        assert max(seconds for _, _, seconds in ranks) < within(2.5), (name, ranks)


@pytest.mark.parametrize("name", ENDING)
def test_the_job_ends_with_what_is_wrong(name: str) -> None:
    job = mpirun(2, PROGRAM, "die", name, timeout_s=within(20), env={"ALLGRAD_TIMEOUT": "10"})
    assert job.code == 1 and "all done" not in job.out, job
    assert job.seconds < within(6)
    assert job.err.count("Traceback (most recent call last)") == 1, job.err
    for word in CASES[name].words:
        assert word.format(odd=1) in job.err


def test_ranks_that_run_different_programs() -> None:
    job = mpirun(3, "-c", OTHER_CODE, timeout_s=within(20), env={"ALLGRAD_TIMEOUT": "10"})
    assert job.code == 1 and "all done" not in job.out, job
    assert "MismatchError" in job.err and "all_reduce(sum, float32, 3)" in job.err
    assert "parameter digest" in job.err and "rank 0" in job.err
