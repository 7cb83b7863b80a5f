"""Start the training program, wait for its end, compare what it wrote down with the uninterrupted run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from cli_jobs import environment, processes_with
from mpirun import within

PROGRAM = str(Path(__file__).with_name("program.py"))
LAUNCH = {
    "single": [],
    "virtual": ["-m", "allgrad", "run", "--virtual", "2"],
    "mpi": ["-m", "allgrad", "run", "-n", "2"],
}
LIMIT_S = 40.0  # for one job, on a quiet machine


class Trouble(Exception):
    """Something is not as it was promised."""


class Ended(NamedTuple):
    """How a job ended."""

    code: int
    out: str
    err: str
    harmed: bool  # it came to the moment that the plan names
    seconds: float
    after_harm_s: float  # from that moment to the end of the last process


def ranks_of(world: str) -> int:
    return 1 if world == "single" else 2


class Run:
    """A folder with checkpoints and traces, and the starts in it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        self._read: dict[int, int] = {}  # lines of each trace that were compared

    def start(self, world: str, plan: dict[str, Any] | None = None, launch: tuple[str, ...] = ()) -> subprocess.Popen:
        """``plan``: see program.py; ``launch``: more options of ``allgrad run``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("harmed", "pid-0", "pid-1"):
            (self.folder / name).unlink(missing_ok=True)
        words = [*LAUNCH[world], *launch, PROGRAM, "--out", str(self.folder), *self.options]
        # Pipes would stay open with orphans.
        self._files = [open(self.folder / name, "w+b") for name in ("out", "err")]  # noqa: SIM115
        self._began = time.monotonic()
        return subprocess.Popen(
            [sys.executable, *words, *(["--plan", json.dumps(plan)] if plan else [])],
            stdin=subprocess.DEVNULL, stdout=self._files[0], stderr=self._files[1], start_new_session=True,
            env=environment(OPENBLAS_NUM_THREADS="1"), cwd=self.folder,
        )  # fmt: skip

    def end(self, job: subprocess.Popen, limit_s: float = LIMIT_S) -> Ended:
        """Wait for the job and for every process of it; Trouble if one stays."""
        try:
            code = job.wait(within(limit_s))
        except subprocess.TimeoutExpired:
            self._kill_all()
            job.wait()
            raise Trouble(f"hung: no end after {within(limit_s):.0f} s\n{self._texts()[1][-2000:]}") from None
        until = time.monotonic() + within(8)
        while left := processes_with(str(self.folder)):
            if time.monotonic() > until:
                self._kill_all()
                raise Trouble(f"processes are left: {left}")
            time.sleep(0.02)
        out, err = self._texts()
        stamp = self.folder / "harmed"
        after_s = time.time() - float(stamp.read_text() or "inf") if stamp.exists() else 0.0
        return Ended(code, out, err, stamp.exists(), time.monotonic() - self._began, after_s)

    def go(self, world: str, plan: dict[str, Any] | None = None, launch: tuple[str, ...] = ()) -> Ended:
        """``start`` and ``end``."""
        return self.end(self.start(world, plan, launch))

    def _kill_all(self) -> None:
        """kill -9 of everything whose command line names this run's folder: what we started, nothing else."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self.folder).encode() in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)
            except OSError:
                continue  # it ended while we looked

    def _texts(self) -> list[str]:
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read().replace(b"\0", b"").decode(errors="replace"))
            file.close()
        return texts

    def traces(self, world: str) -> list[list[list[Any]]]:
        """For each rank the lines ``[kind, step, digest]``; the last may be torn by a kill."""
        found = []
        for rank in range(ranks_of(world)):
            path = self.folder / f"trace-{rank}.jsonl"
            lines = path.read_text().splitlines() if path.exists() else []
            rows = []
            for line in lines:
                try:
                    rows.append(json.loads(line))
                except ValueError:
                    continue  # a kill in the middle of a line; the next start goes on behind it
            found.append(rows)
        return found

    def compare(self, world: str, whole: list[dict[int, str]]) -> list[int]:
        """Trouble unless every new line is that of the uninterrupted run; the steps from which each rank began."""
        begun = []
        for rank, rows in enumerate(self.traces(world)):
            for kind, step, digest in rows[self._read.get(rank, 0) :]:
                if whole[rank].get(step) != digest:
                    raise Trouble(f"rank {rank}, {kind} {step}: other bits than the uninterrupted run")
                if kind == "begun":
                    begun.append(step)
            self._read[rank] = len(rows)
        return begun


def reference(folder: Path, world: str, *options: str) -> list[dict[int, str]]:
    """What the uninterrupted run holds after each step, for each rank."""
    run = Run(folder, *options)
    ended = run.go(world)
    if ended.code:
        raise Trouble(f"the uninterrupted run failed with {ended.code}\n{ended.err}")
    return [{step: digest for _, step, digest in rows} for rows in run.traces(world)]
