"""A rank that hangs: the job ends in time, with code 75, and says who, where, and what each rank was doing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from allgrad.comm.watch import state_of
from cli_jobs import environment
from mpirun import find_mpirun, mpirun, within

PROGRAM = str(Path(__file__).parent / "mpi" / "hanging_rank.py")
LIMIT_S = 1.5
DOING = {
    "stopped": "is stopped by a signal", "sleeping": "sleeps or waits", "in a loop": "is computing",
    "in a library": "is computing",
}  # fmt: skip


def judge(err: str, how: str, odd: int) -> None:
    others = [r for r in range(3) if r != odd]
    call = r'#\d+ \w+\(.*\) for ".+"'  # what DDP calls first in a step, with its label
    assert len(re.findall(rf"waited [12] s in {call} of group world", err)) == 1, err
    assert f"the limit is {LIMIT_S} s (ALLGRAD_TIMEOUT)" in err
    assert f"not arrived: rank {odd}; waiting: ranks {others[0]}, {others[1]}" in err
    lines = {r: next(line for line in err.splitlines() if line.startswith(f"  rank {r}: ")) for r in range(3)}
    assert re.search(r"not in a collective, the last was \w+\(", lines[odd]) and DOING[how] in lines[odd], err
    assert all(re.search(f"waits in {call} of group world", lines[r]) for r in others), err
    assert err.count("in backward") >= 2, "the stacks of those who wait"
    if how != "stopped":
        assert "in hangs_here" in err, "the stack of the rank that hangs"


@pytest.mark.parametrize(("how", "odd"), [("stopped", 1), ("sleeping", 0), ("in a loop", 2), ("in a library", 1)])
def test_the_job_ends_and_says_why(how: str, odd: int) -> None:
    job = mpirun(3, PROGRAM, how, str(odd), timeout_s=within(30), env={"ALLGRAD_TIMEOUT": str(LIMIT_S)})
    assert job.code == 75, job
    assert job.seconds < within(LIMIT_S + 3)
    judge(job.err, how, odd)


def test_under_allgrad_run() -> None:
    if find_mpirun() is None:
        pytest.skip("no mpirun")
    words = [sys.executable, "-m", "allgrad", "run", "-n", "3", PROGRAM, "stopped", "1"]
    where = environment(ALLGRAD_TIMEOUT=str(LIMIT_S), OPENBLAS_NUM_THREADS="1")
    job = subprocess.run(words, capture_output=True, env=where, timeout=within(30))
    err = job.stderr.replace(b"\0", b"").decode()
    assert job.returncode == 75, err
    judge(err, "stopped", 1)


def test_the_state_of_a_process() -> None:
    assert state_of(os.getpid()) == "is computing"
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert state_of(child.pid) == "is gone"


def test_a_long_wait_is_no_mistake() -> None:
    job = mpirun(4, str(Path(__file__).parent / "mpi" / "patience.py"), timeout_s=within(40))
    assert job.code == 0 and job.out.count("is through") == 4, job
