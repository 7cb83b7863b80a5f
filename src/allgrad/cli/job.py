"""The job directory: what the launcher and its ranks tell each other besides exit codes, which lie.

A node's death under Open MPI and ``os._exit(0)`` under MPICH both leave exit code 0; a rank's real exit code is
lost under MPICH.  So rank 0 leaves ``finished`` at its normal end, the first rank to fail leaves ``failure``, and
each rank leaves its process number, to which the launcher sends signals directly.

    launcher   {"place", "pid", "start"}  the launcher's process
    rank-R     {"place", "pid", "start"}  the process of rank R
    left-R     (empty)                    rank R is leaving with a non-zero exit code
    ended-R    (empty)                    rank R > 0 came to the end of the program
    arriving-R (time of day)              rank R waits in MPI_Init for the others, until then
    failure    {"rank", "host", "code", "text"}   of the first rank that failed, complete or absent
    finished   (empty)                    rank 0 came to the end of the program
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from allgrad.cli.leftovers import remove_leftovers

DIRECTORY_VARIABLE = "ALLGRAD_JOB_DIR"


@dataclass(frozen=True)
class Failure:
    """How the first failing rank failed; ``text`` is what Python would have printed (may be empty)."""

    rank: int
    host: str
    code: int
    text: str


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when it is gone.  Tells a reused number apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state == "Z" else int(fields[18])


def this_process() -> dict[str, str | int | None]:
    """Who we are; the number counts only on this host and in this PID namespace (containers may share the rest)."""
    return {"place": this_place(), "pid": os.getpid(), "start": start_time(os.getpid())}


def this_place() -> str:
    """Where process numbers mean the same as here."""
    namespace = os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else ""
    return f"{socket.gethostname()} {namespace}"


@dataclass(frozen=True)
class Job:
    """One job's directory; the launcher creates and removes it, every rank that can see it writes into it."""

    directory: Path

    @classmethod
    def create(cls, shared: bool) -> Job:
        """A fresh directory; ``shared`` puts it into the working directory, which other nodes see too."""
        parent, prefix = (os.getcwd(), ".allgrad-job-") if shared else (tempfile.gettempdir(), "allgrad-job-")
        for abandoned in Path(parent).glob(f"{prefix}*/launcher"):  # by a launcher that was killed
            with contextlib.suppress(OSError, ValueError):  # another user's, or being removed right now
                entry = json.loads(abandoned.read_text())
                if entry["place"] == this_place() and start_time(entry["pid"]) != entry["start"]:
                    remove_leftovers(abandoned.stat().st_mtime)
                    cls(abandoned.parent).remove()
        job = cls(Path(tempfile.mkdtemp(prefix=prefix, dir=parent)))
        job._publish("launcher", json.dumps(this_process()))
        return job

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Job | None:
        """The job of this rank; None without a launcher of ours, or on a node that cannot see its directory."""
        directory = environment.get(DIRECTORY_VARIABLE)
        return cls(Path(directory)) if directory and os.path.isdir(directory) else None

    def remove(self) -> None:
        """Delete the directory; a rank that still writes on another node may keep it alive, which harms nobody."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def register(self, rank: int) -> None:
        """Leave this process's number for the launcher."""
        self._publish(f"rank-{rank}", json.dumps(this_process()))

    @property
    def started(self) -> bool:
        """Did any rank come as far as to register?"""
        return any(self.directory.glob("rank-*"))

    def local_processes(self) -> dict[int, int]:
        """rank -> pid of the ranks that live on this host now."""
        return {rank: pid for rank, (pid, alive) in self._registered_here().items() if alive}

    def vanished(self) -> set[int]:
        """Ranks of this host that are gone and have not said how they ended."""
        gone = {rank for rank, (_, alive) in self._registered_here().items() if not alive}
        # Looked for afterwards: they say it before they go.
        return {
            rank
            for rank in gone
            if not any((self.directory / word).exists() for word in (self._end_word(rank), f"left-{rank}", "failure"))
        }

    def _registered_here(self) -> dict[int, tuple[int, bool]]:
        """rank -> (pid, does it live?) of the ranks that were started on this host."""
        found = {}
        for path in self.directory.glob("rank-*"):
            entry = json.loads(path.read_text())
            if entry["place"] == this_place():
                alive = start_time(entry["pid"]) == entry["start"]
                found[int(path.name.removeprefix("rank-"))] = int(entry["pid"]), alive
        return found

    def arriving(self, rank: int, until: float | None) -> None:
        """Rank ``rank`` waits for the world until a time of day; None: all are there."""
        word = self.directory / f"arriving-{rank}"
        if until is None:
            word.unlink(missing_ok=True)
        else:
            self._publish(word.name, repr(until))

    def never_arrived(self) -> tuple[set[int], set[int]]:
        """Ranks that waited for the world as long as they may, and registered ranks that were not even on the way."""
        words = {path: float(path.read_text()) for path in self.directory.glob("arriving-*")}
        waited = {int(path.name.removeprefix("arriving-")) for path, until in words.items() if time.time() >= until}
        there = {int(path.name.removeprefix("rank-")) for path in self.directory.glob("rank-*")}
        return waited, there - {int(path.name.removeprefix("arriving-")) for path in words}

    def record_failure(self, rank: int, code: int, text: str) -> bool:
        """Record how this rank failed; False when another rank was first."""
        return self._publish("failure", json.dumps(asdict(Failure(rank, socket.gethostname(), code, text))))

    def failure(self) -> Failure | None:
        """How the first failing rank failed; None when none has reported a failure."""
        try:
            return Failure(**json.loads((self.directory / "failure").read_text()))
        except FileNotFoundError:
            return None

    def leave(self, rank: int, size: int, patience_s: float) -> None:
        """Say that this rank leaves with an error code, and wait for the others to say so too.

        The first to leave ends the job, so ranks that agreed to stop would lose the last words of the slower ones.
        """
        self._publish(f"left-{rank}", "")
        until = time.monotonic() + patience_s
        while len(list(self.directory.glob("left-*"))) < size and time.monotonic() < until:
            time.sleep(0.02)

    def finish(self, rank: int) -> None:
        """The program came to its end on this rank; that of rank 0 is the success of the job."""
        self._publish(self._end_word(rank), "")

    def _end_word(self, rank: int) -> str:
        return "finished" if rank == 0 else f"ended-{rank}"

    @property
    def finished(self) -> bool:
        """Did rank 0 come to the end of the program?"""
        return (self.directory / "finished").exists()

    def _publish(self, name: str, text: str) -> bool:
        """Create file ``name`` with all of ``text`` at once; False when it is there already."""
        draft = self.directory / f".{name}.{socket.gethostname()}.{os.getpid()}"
        draft.write_text(text)
        try:
            os.link(draft, self.directory / name)  # unlike rename it fails when the name is taken
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True
