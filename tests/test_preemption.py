"""A signal on any rank: all stop at one step, save, and leave with code 75; what is resumed ends with the same bits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import allgrad as torch
from allgrad.checkpoint import EXIT_PREEMPTED, CheckpointManager
from allgrad.checkpoint.preemption import Pace
from allgrad.comm import launch_world, run_virtual
from mpirun import SOURCE, find_mpirun, within

EXAMPLE = str(Path(__file__).resolve().parents[1] / "examples" / "resume.py")
SHORT = ["--epochs", "6", "--every", "9"]


class Program:
    """The example in a process of its own, watched through its output."""

    def __init__(self, launcher: list[str], folder: Path, *options: str) -> None:
        where = os.environ | {"PYTHONPATH": SOURCE, "OPENBLAS_NUM_THREADS": "1"}
        where = {k: v for k, v in where.items() if not k.startswith(("OMPI_COMM_", "PMI_", "PMIX_", "PRTE_"))}
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, *launcher, EXAMPLE, *SHORT, "--out", str(folder), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=where, start_new_session=True,
        )  # fmt: skip

    def await_save(self, number: int) -> None:
        """Wait until the ``number``-th checkpoint is begun."""
        until = time.monotonic() + within(20)
        while not any(self.folder.glob(f"save-{number:08d}-*")):
            assert time.monotonic() < until and self.process.poll() is None, self.end(1)
            time.sleep(0.01)

    def ranks(self) -> list[int]:
        """The processes of the ranks."""
        return [p for p in _descendants(self.process.pid) if "cli.bootstrap" in _command(p)]

    def end(self, limit_s: float = 20) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        try:
            out, err = self.process.communicate(timeout=within(limit_s))
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"the program hung\n{out}\n{err}")
        return self.process.returncode, out, err


def digest_of(out: str) -> str:
    found = re.search(r"parameters (\w+)", out)
    assert found, out
    return found[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The digest of the parameters of an uninterrupted run, by number of ranks."""
    found = {}
    for size in (1, 2):
        code, out, err = Program(
            ["-m", "allgrad", "run", "--virtual", str(size)], tmp_path_factory.mktemp("whole") / "run"
        ).end()
        assert code == 0, err
        found[size] = digest_of(out)
    return found


def test_one_process(tmp_path: Path, whole: dict[int, str]) -> None:
    """Stopped twice, each time by two signals; then to the end."""
    for number, save in ((signal.SIGUSR2, 1), (signal.SIGTERM, 3)):
        program = Program([], tmp_path, "--pause", "0.02")
        program.await_save(save)
        for _ in range(2):
            program.process.send_signal(number)
        code, _, err = program.end()
        assert code == EXIT_PREEMPTED and f"{number.name} on rank 0" in err, (code, err)
    code, out, err = Program([], tmp_path).end()
    assert code == 0 and "resumed after step" in out and digest_of(out) == whole[1], err


@pytest.mark.skipif(find_mpirun() is None, reason="no mpirun beside this Python or on the PATH")
@pytest.mark.parametrize("target", ["launcher", "last rank"])
def test_mpi_ranks_stop_at_one_step(tmp_path: Path, whole: dict[int, str], target: str) -> None:
    program = Program(["-m", "allgrad", "run", "-n", "2"], tmp_path, "--pause", "0.02", "--background")
    program.await_save(2)
    began = time.monotonic()
    if target == "launcher":
        program.process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
        program.process.send_signal(signal.SIGTERM)
    else:
        os.kill(program.ranks()[-1], signal.SIGUSR1)
    code, _, err = program.end()
    assert code == EXIT_PREEMPTED, err
    assert time.monotonic() - began < within(5)
    saved = re.search(r"all ranks stop after step (\d+), saved as (\S+);", err)
    assert saved and (tmp_path / saved[2] / "manifest.json").exists(), err
    code, out, err = Program(["-m", "allgrad", "run", "--virtual", "2"], tmp_path).end()
    assert code == 0 and f"resumed after step {saved[1]}" in out and digest_of(out) == whole[2], err


def test_killed_again_and_again(tmp_path: Path, whole: dict[int, str]) -> None:
    """kill -9 in the middle of saves: the next start goes on from one that is whole, and the end is the same."""
    for k in range(2):
        program = Program([], tmp_path, "--background")
        program.await_save(1 + 2 * k)
        time.sleep(0.004 * k)  # the save is somewhere in the middle
        program.process.kill()
        assert program.end()[0] in (-signal.SIGKILL, 0)
    code, out, err = Program([], tmp_path, "--background").end()
    assert code == 0 and digest_of(out) == whole[1], err
    assert "damaged" not in err


@pytest.mark.skipif(find_mpirun() is None, reason="no mpirun beside this Python or on the PATH")
def test_a_killed_rank(tmp_path: Path, whole: dict[int, str]) -> None:
    """kill -9 of the first rank, then of the last, while a checkpoint is written."""
    for k in range(2):
        program = Program(["-m", "allgrad", "run", "-n", "2"], tmp_path, "--pause", "0.01")
        program.await_save(2 + 2 * k)
        os.kill(program.ranks()[-k], signal.SIGKILL)
        assert program.end()[0] != 0
    code, out, err = Program(["-m", "allgrad", "run", "--virtual", "2"], tmp_path).end()
    assert code == 0 and "resumed after step" in out and digest_of(out) == whole[2], err
    assert "damaged" not in err


@pytest.mark.parametrize("size", [2, 3, 4])
def test_virtual_ranks_agree_on_the_step(tmp_path: Path, size: int) -> None:
    reached = {}

    def body() -> None:
        rank = launch_world().rank
        model = torch.nn.Linear(2, 2)
        manager = CheckpointManager(str(tmp_path), signals=False).track(model=model)
        for step in range(2000):
            if rank == size - 1 and step == 5:
                manager.request_stop()
            time.sleep(0.001)
            reached[rank] = step + 1
            manager.step()

    with pytest.raises(SystemExit) as caught:
        run_virtual(body, size)
    assert caught.value.code == EXIT_PREEMPTED
    assert len(set(reached.values())) == 1
    manager = CheckpointManager(str(tmp_path), signals=False).track(model=torch.nn.Linear(2, 2))
    found = manager.resume("auto")
    assert found is not None and found.step == reached[0] and found.reason == "request_stop()"


def test_handlers_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)]
    with CheckpointManager(str(tmp_path)):
        assert signal.getsignal(signal.SIGUSR1) != before[0]
    assert [signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)] == before


def test_pace_costs_one_percent_and_is_never_slow() -> None:
    pace = Pace()
    pace.met(1e-4, [1])
    for step_s, fewest, most in ((1e-3, 10, 10), (0.1, 1, 1), (1e-6, 10000, 250000)):
        pace._since, pace._steps = time.perf_counter() - 1000 * step_s, 1000
        assert 0.9 * fewest <= pace.proposal() <= most * 1.5
    pace.met(2e-4, [3, 8, 5])
    assert pace.left == 8  # every rank takes the largest, so they meet at the same step


def _descendants(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            child = int(path.parent.name)
            found += [child, *_descendants(child)]
    return sorted(found)


def _command(pid: int) -> Any:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
