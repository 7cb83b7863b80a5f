"""``allgrad run --max-restarts``: a job that failed starts again, one that was asked to end does not."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from allgrad.cli.leftovers import YOUNG_S, remove_leftovers
from allgrad.cli.restart import Outcome, pause_s, run_with_restarts
from allgrad.cli.signals import Signals
from cli_jobs import finish, launcher, processes_with, run, start, wait_until_gone, write
from mpirun import within

# Counts its starts in a file as a program with checkpoints would count its steps.
PROGRAM = """
import os, sys, time
rank, how, good_at = os.environ["RANK"], sys.argv[1], int(sys.argv[2])
restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
with open(f"starts-{rank}", "a") as file:
    file.write(f"{restarts} of {os.environ['TORCHELASTIC_MAX_RESTARTS']}\\n")
if restarts < good_at and rank == "1":
    if how == "raise": raise ValueError(f"attempt {restarts}")
    if how == "exit 75": sys.exit(75)
    os.kill(os.getpid(), 9)
if how == "kill": time.sleep(0.5 if restarts >= good_at else 60)
"""


@pytest.mark.parametrize(("how", "bad"), [("raise", 2), ("exit 75", 1), ("kill", 1)])
def test_a_failed_job_starts_again(tmp_path: Path, how: str, bad: int) -> None:
    launcher()
    job = run(tmp_path, "run", "-n", "2", "--max-restarts", "3", write(tmp_path, PROGRAM), how, str(bad), timeout_s=40)
    assert job.code == 0, job.err
    for rank in range(2):
        assert (tmp_path / f"starts-{rank}").read_text().splitlines() == [f"{n} of 3" for n in range(bad + 1)]
    pauses = ("restart 1 of 3 in 0.5 s", "restart 2 of 3 in 1 s", "restart 3 of 3")
    assert [job.err.count(text) for text in pauses] == [int(n < bad) for n in range(3)]
    wait_until_gone(str(tmp_path))


def test_no_more_restarts_than_allowed(tmp_path: Path) -> None:
    launcher()
    job = run(tmp_path, "run", "-n", "2", "--max-restarts", "1", write(tmp_path, PROGRAM), "raise", "9", timeout_s=40)
    assert job.code == 1 and (tmp_path / "starts-1").read_text().splitlines() == ["0 of 1", "1 of 1"]
    assert job.err.count("ValueError: attempt 0") == job.err.count("ValueError: attempt 1") == 1
    assert "no restart is left of 1; the job ends with exit code 1" in job.err


def test_without_the_option_nothing_restarts(tmp_path: Path) -> None:
    launcher()
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, PROGRAM), "raise", "9")
    assert job.code == 1 and "allgrad: exit code" not in job.err
    assert run(tmp_path, "run", "--max-restarts", "-1", "program.py").code == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_who_asks_for_the_end_gets_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    launcher()
    program = write(
        tmp_path,
        "import os, signal, sys, time\n"
        "for number in (signal.SIGTERM, signal.SIGUSR1): signal.signal(number, lambda *_: sys.exit(75))\n"
        "open('ready-' + os.environ['RANK'], 'w').close()\n"
        "time.sleep(60)\n",
    )
    job = start(tmp_path, "run", "-n", "2", "--max-restarts", "9", program)
    until = time.monotonic() + 20
    while not all((tmp_path / f"ready-{rank}").exists() for rank in range(2)):
        assert job.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    job.send_signal(number)
    ended = finish(job)
    assert ended.code == code and "allgrad: exit code" not in ended.err, ended.err
    assert ended.seconds < within(5)


def attempts(*codes: int, most: int, signals: Signals) -> tuple[int, list[int]]:
    """(exit code, numbers of the attempts) of a job that ends with ``codes`` in turn."""
    seen: list[int] = []

    def attempt(restarts: int) -> Outcome:
        seen.append(restarts)
        return Outcome(codes[restarts])

    return run_with_restarts(attempt, most, signals), seen


def test_the_last_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allgrad.cli.restart.FIRST_PAUSE_S", 0.01)
    with Signals() as signals:
        assert attempts(3, 4, 0, most=5, signals=signals) == (0, [0, 1, 2])
        assert attempts(3, 4, 5, most=2, signals=signals) == (5, [0, 1, 2])
        assert attempts(3, most=0, signals=signals) == (3, [0])
        asked: list[int] = []
        assert run_with_restarts(lambda n: (asked.append(n), Outcome(75, signal.SIGUSR2))[1], 2, signals) == 75
        assert asked == [0]
    assert pause_s(1) < pause_s(2) < pause_s(20) == 60.0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 3)])
def test_a_signal_during_the_pause(number: signal.Signals, code: int) -> None:
    with Signals() as signals:
        # Waits, as it would when it came while the last attempt was being swept up.  To this thread: others do not block it.
        signal.pthread_kill(threading.get_ident(), number)
        assert attempts(3, 0, most=5, signals=signals) == (code, [0])
        assert number not in signal.sigpending()


def test_leftovers(tmp_path: Path) -> None:
    """Only files of MPI, made since, that no process maps."""
    import mmap

    for name in (
        "sm_segment.host.0.1.0",
        "mpich_shm_1_0",
        "allgrad-board-x",
        "mine",
        "mpich_shm_mapped",
        "mpich_shm_old",
    ):
        (tmp_path / name).write_bytes(bytes(4096))
    os.utime(tmp_path / "mpich_shm_old", (1, 1))
    with open(tmp_path / "mpich_shm_mapped", "r+b") as file, mmap.mmap(file.fileno(), 4096):
        removed = remove_leftovers(time.time() - 60, tmp_path)
    assert removed == ["allgrad-board-x", "mpich_shm_1_0", "sm_segment.host.0.1.0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mpich_shm_mapped", "mpich_shm_old"]
    assert YOUNG_S < 1 and not processes_with("no such process, ever" + "!")


def test_killed_ranks_leave_no_shared_memory(tmp_path: Path) -> None:
    launcher()
    program = write(
        tmp_path,
        "import os, re\nfrom allgrad.comm import launch_world\nworld = launch_world()\nworld.barrier()\n"
        "maps = open('/proc/self/maps').read()\n"
        "open(f'mapped-{world.rank}', 'w').write(' '.join(set(re.findall(r'/dev/shm/\\S+', maps))))\n"
        "world.barrier()\n"
        "if world.rank == 1: os.kill(os.getpid(), 9)\nworld.barrier()\n",
    )
    job = run(tmp_path, "run", "-n", "2", program)
    assert job.code in (9, 137), job.err
    mapped = {name for rank in range(2) for name in (tmp_path / f"mapped-{rank}").read_text().split()}
    assert mapped and not [name for name in mapped if os.path.exists(name)]
