"""Signals to ``allgrad run``: they reach the ranks, and no process outlives the launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from allgrad.cli.job import Job
from cli_jobs import finish, launcher, processes_with, start, wait_until_gone
from mpirun import within

FAST_S = 5.0

PROGRAM = """
import os, signal, subprocess, sys, time
how = sys.argv[1]
asked = []
if how == "saves":
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, frame: asked.append(number))
if how == "deaf":
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
if how == "leaves a child":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", os.getcwd()], start_new_session=True)
from mpi4py import MPI
MPI.COMM_WORLD.Barrier()
open(f"ready-{os.environ['RANK']}", "w").close()
if how == "leaves a child":
    sys.exit(0)
if how == "blocked" and MPI.COMM_WORLD.rank == 0:
    MPI.COMM_WORLD.Recv(bytearray(4), 1)
while not asked:
    time.sleep(0.02)
time.sleep(1.0)  # the checkpoint; Open MPI alone would give 0.25 s
print("saved", signal.Signals(asked[0]).name, flush=True)
sys.exit(75)
"""


def start_job(directory: Path, how: str) -> subprocess.Popen[bytes]:
    """Two ranks that have met; their command lines contain ``directory``."""
    launcher()
    program = directory / "program.py"
    program.write_text(PROGRAM)
    job = start(directory, "run", "-n", "2", str(program), how)
    until = time.monotonic() + 20
    while not all((directory / f"ready-{rank}").exists() for rank in range(2)):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    return job


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2], ids=lambda number: number.name)
def test_a_program_may_save_and_leave(tmp_path: Path, number: signal.Signals) -> None:
    job = start_job(tmp_path, "saves")
    job.send_signal(number)
    ended = finish(job)
    assert ended.code == 75, ended.err
    assert ended.out.count(f"saved {number.name}") == 2
    assert ended.seconds < within(FAST_S)
    wait_until_gone(str(tmp_path))


@pytest.mark.parametrize(
    ("how", "number", "code"),
    [
        ("plain", signal.SIGTERM, 143),
        ("plain", signal.SIGINT, 130),
        ("blocked", signal.SIGINT, 130),  # a Python handler does not run inside a blocking MPI call
        ("deaf", signal.SIGINT, 130),
    ],
)
def test_the_job_ends(tmp_path: Path, how: str, number: signal.Signals, code: int) -> None:
    job = start_job(tmp_path, how)
    job.send_signal(number)
    ended = finish(job)
    assert ended.code == code, ended.err
    assert ended.seconds < within(FAST_S)
    wait_until_gone(str(tmp_path))


def test_asked_twice_it_ends_at_once(tmp_path: Path) -> None:
    job = start_job(tmp_path, "deaf")
    for _ in range(3):
        job.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    ended = finish(job)
    assert ended.code == 143 and ended.seconds < within(FAST_S)
    wait_until_gone(str(tmp_path))


@pytest.mark.parametrize("how", ["plain", "deaf"])
def test_a_killed_launcher_takes_the_job_with_it(tmp_path: Path, how: str, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    job = start_job(tmp_path, how)
    assert len(processes_with(str(tmp_path))) >= 3
    job.kill()
    finish(job)
    wait_until_gone(str(tmp_path))
    # Its directory could not be removed; the next job does that, but leaves those of living launchers alone.
    assert list(tmp_path.glob("allgrad-job-*/launcher"))
    living = Job.create(shared=False)
    finish(start(tmp_path, "run", "-n", "1", "-m", "this", TMPDIR=str(tmp_path)))
    assert list(tmp_path.glob("allgrad-job-*")) == [living.directory]


def test_launcher_and_mpirun_killed_at_once(tmp_path: Path) -> None:
    """Nobody is left who could end the ranks, and without MPI they would not notice: Linux kills them for us."""
    launcher()
    program = tmp_path / "program.py"
    program.write_text("import os, time\nopen('ready-' + os.environ['RANK'], 'w')\ntime.sleep(60)\n")
    job = start(tmp_path, "run", "-n", "2", str(program))
    while not all((tmp_path / f"ready-{rank}").exists() for rank in range(2)):
        assert job.poll() is None, job.communicate()
        time.sleep(0.01)
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children")
    mpirun = int(children.read_text().split()[0])
    job.kill()
    os.kill(mpirun, signal.SIGKILL)
    finish(job)
    wait_until_gone(str(tmp_path))


def test_a_child_of_a_rank_is_ended_with_the_job(tmp_path: Path) -> None:
    job = start_job(tmp_path, "leaves a child")
    ended = finish(job)
    assert ended.code == 0, ended.err
    assert not processes_with(str(tmp_path))


def test_nohup(tmp_path: Path) -> None:
    """SIGHUP that was ignored before stays ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        job = start_job(tmp_path, "saves")
    finally:
        signal.signal(signal.SIGHUP, before)
    os.kill(job.pid, signal.SIGHUP)
    time.sleep(0.5)
    assert job.poll() is None
    job.terminate()
    assert finish(job).code == 75
