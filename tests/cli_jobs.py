"""Run ``allgrad …`` from a test as a user would: in a process of its own, with a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pytest

import allgrad
from allgrad.cli.mpi_launcher import Launcher, find_launcher
from allgrad.errors import LaunchError

SOURCE = str(Path(allgrad.__file__).parents[1])


class Result(NamedTuple):
    """How a command ended; texts without the NUL bytes that MPI launchers put in."""

    code: int
    out: str
    err: str
    seconds: float


@lru_cache(maxsize=1)
def launcher() -> Launcher:
    """The launcher that ``allgrad run`` would take; the test is skipped where there is none."""
    try:
        return find_launcher()
    except LaunchError as error:
        pytest.skip(str(error))


def environment(**more: str) -> dict[str, str]:
    """The environment of a user's shell: not one of a rank, and without settings of this test run."""
    ours = ("OMPI_", "PMI_", "PMIX_", "PRTE_", "SLURM_", "PBS_", "LSB_", "ALLGRAD_", "RANK", "WORLD_SIZE")
    base = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "PYTHONUNBUFFERED"):
        base.pop(name, None)
    return base | {"PYTHONPATH": SOURCE} | more


def write(directory: Path, text: str, name: str = "program.py") -> str:
    """Put a program into ``directory``; its name."""
    (directory / name).write_text(text)
    return name


def start(directory: Path, *words: str, **more: str) -> subprocess.Popen[bytes]:
    """Start ``allgrad *words`` in ``directory``."""
    return subprocess.Popen(
        [sys.executable, "-m", "allgrad", *words],
        cwd=directory,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A test run in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(job: subprocess.Popen[bytes], timeout_s: float = 20.0) -> Result:
    """Wait for the end; a command that hangs fails the test, and is killed."""
    started = time.monotonic()
    try:
        out, err = job.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        job.kill()  # its ranks die with it; if they do not, the pipes stay open and this hangs no longer than 5 s
        out, err = job.communicate(timeout=5)
        pytest.fail(f"{job.args} hung for {timeout_s} s\n{_text(out)}\n{_text(err)}")
    return Result(job.returncode, _text(out), _text(err), time.monotonic() - started)


def run(directory: Path, *words: str, timeout_s: float = 20.0, **more: str) -> Result:
    """``start`` and ``finish``."""
    return finish(start(directory, *words, **more), timeout_s)


def processes_with(text: str) -> list[str]:
    """Command lines of living processes that contain ``text``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if text in words:
            found.append(words)
    return found


def wait_until_gone(text: str, timeout_s: float = 5.0) -> None:
    """Fail when processes with ``text`` in their command line are still there after ``timeout_s``."""
    until = time.monotonic() + timeout_s
    while left := processes_with(text):
        assert time.monotonic() < until, left
        time.sleep(0.02)


def _text(raw: bytes) -> str:
    return raw.replace(b"\0", b"").decode(errors="replace")
