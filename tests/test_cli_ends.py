"""How a job ends, in each way in which a rank can end: fast, with the right exit code, and one traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from allgrad.cli.job import Failure, Job
from cli_jobs import environment, launcher, run, wait_until_gone, write
from mpirun import within

pytestmark = pytest.mark.usefixtures("mpi")

FAST_S = 5.0  # from the moment when a rank fails to the end of the job
NO_HANG_S = 15.0  # the whole job, on a busy machine


@pytest.fixture
def mpi() -> None:
    """Skips where no mpirun is found."""
    launcher()


# Rank 1 goes wrong while rank 0 is somewhere that it cannot leave by itself.
FAILING = """
import os, sys, time
rank, how, where = int(os.environ["RANK"]), *sys.argv[1:]

def go_wrong():
    open("went-wrong", "w").write(str(time.time()))
    if how == "raise": raise ValueError("rank 1 is broken")
    if how == "exit": sys.exit(3)
    if how == "text": sys.exit("rank 1 gives up")
    if how == "thread":
        import threading
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        time.sleep(60)

if where == "asleep":
    time.sleep(60) if rank == 0 else go_wrong()
if where == "init":
    if rank == 1:
        time.sleep(0.5)
        go_wrong()
if where == "world":
    from allgrad.comm import launch_world
    world = launch_world()  # from here on its own hooks watch for failures too
    go_wrong() if rank == 1 else world.barrier()
from mpi4py import MPI
if where == "barrier" and rank == 1:
    time.sleep(0.2)
    go_wrong()
MPI.COMM_WORLD.Barrier()
"""

ENDS = {
    "raise": (1, "ValueError: rank 1 is broken"),
    "exit": (3, "left with exit code 3"),
    "text": (1, "rank 1 gives up"),
    "thread": (1, "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("raise", "asleep"),
        ("raise", "init"),
        ("raise", "barrier"),
        ("raise", "world"),
        ("exit", "init"),
        ("exit", "barrier"),
        ("exit", "world"),
        ("text", "world"),
        ("thread", "barrier"),
        ("thread", "world"),
    ],
)
def test_a_failing_rank_ends_the_job(tmp_path: Path, how: str, where: str) -> None:
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, FAILING), how, where)
    code, text = ENDS[how]
    assert time.time() - float((tmp_path / "went-wrong").read_text()) < within(FAST_S)
    assert job.code == code
    assert (job.out + job.err).count(text) == 1
    last = job.err.strip().splitlines()[-1]
    assert text in last, job.err
    assert "rank 1 on " in job.err
    assert (job.out + job.err).count("Traceback") == (1 if how in ("raise", "thread") else 0)
    assert "allgrad/cli" not in job.err.partition("Traceback")[2]  # as plain Python would have printed it
    wait_until_gone(str(tmp_path))


def test_all_ranks_fail_and_one_speaks(tmp_path: Path) -> None:
    job = run(tmp_path, "run", "-n", "3", write(tmp_path, "import no_such_package"))
    assert job.code == 1 and (job.out + job.err).count("No module named 'no_such_package'") == 1


def test_ranks_that_leave_together_say_their_last_words(tmp_path: Path) -> None:
    slow = "import os, sys, time\ntime.sleep(0.5 * int(os.environ['RANK']))\nprint('bye')\nsys.exit(75)\n"
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, slow))
    assert job.code == 75 and job.out.count("bye") == 2


@pytest.mark.parametrize("program", ["1 +", "print('so far', end=''); raise MemoryError", "raise KeyboardInterrupt"])
def test_other_ends(tmp_path: Path, program: str) -> None:
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, program))
    assert job.code == (130 if "Keyboard" in program else 1)
    assert job.seconds < within(NO_HANG_S) and "program.py" in job.err
    assert "allgrad/cli" not in job.err
    assert ("so far" in job.out) == ("so far" in program)


@pytest.mark.parametrize("program", ["import os; os._exit(0)", "from mpi4py import MPI; import os; os._exit(0)"])
def test_exit_code_0_without_the_end_is_no_success(tmp_path: Path, program: str) -> None:
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, program))
    assert job.code != 0 and job.seconds < within(NO_HANG_S)
    assert "allgrad: " in job.err


@pytest.mark.parametrize("program", ["import sys; sys.exit(0)", "raise SystemExit", ""])
def test_normal_ends(tmp_path: Path, program: str) -> None:
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, program))
    assert job.code == 0, job.err


def test_the_mark_comes_after_the_exit_handlers(tmp_path: Path) -> None:
    program = "import atexit, os\natexit.register(lambda: os._exit(0))\n"
    assert run(tmp_path, "run", "-n", "1", write(tmp_path, program)).code == 1


def test_the_printed_command_works_by_itself(tmp_path: Path) -> None:
    """``--dry-run`` prints a command for a shell; without our launcher the ranks speak and end the job themselves."""
    program = write(tmp_path, FAILING)
    for words, code in ((["good", "barrier"], 0), (["raise", "barrier"], 1)):
        shown = run(tmp_path, "run", "-n", "2", "--dry-run", program, *words)
        done = subprocess.run(
            ["sh", "-c", shown.out],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
        said = done.stderr.decode(errors="replace")
        assert (done.returncode, said.count("ValueError: rank 1 is broken")) == (code, code), said


def test_the_first_failure_counts(tmp_path: Path) -> None:
    job = Job(tmp_path)
    assert job.failure() is None and not job.started and not job.finished
    assert job.record_failure(3, 75, "first") and not job.record_failure(1, 1, "second")
    assert job.failure() == Failure(3, socket.gethostname(), 75, "first")
    job.register(0)
    assert job.started and job.local_processes() == {0: os.getpid()}
    (tmp_path / "rank-0").write_text((tmp_path / "rank-0").read_text().replace('"start": ', '"start": 1'))
    assert job.local_processes() == {}  # the number belongs to another process now


def test_killed_rank(tmp_path: Path) -> None:
    program = "import os, time\nif os.environ['RANK'] == '1': os.kill(os.getpid(), 9)\ntime.sleep(60)\n"
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, program))
    assert job.code in (137, 9) and job.seconds < within(NO_HANG_S)
    assert "no rank reported an exception" in job.err
    wait_until_gone(str(tmp_path))
