"""One save: every rank writes its file at the same time, rank 0 writes the manifest when all files are safe.

    1  each rank takes its state apart; the ranks compare digests and divide the work      (all ranks, together)
    2  rank 0 makes the folder                                                             (told to all)
    3  each rank writes and syncs its file                                                 (at once, or in a thread)
    4  rank 0 writes the manifest, then ``latest``, then removes what is too old           (told to all)

In the background, steps 3 and 4 need no messages: each rank leaves a note beside its file, for which rank 0's thread
waits.  So a save is committed even where the program ends right after it.
"""

from __future__ import annotations

import atexit
import datetime
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from allgrad.checkpoint.disk import opened, read_span, replace_file, write_file
from allgrad.checkpoint.folder import Folder
from allgrad.checkpoint.manifest import MAX_MANIFEST, Manifest, parse_file, shard_name
from allgrad.checkpoint.sections import Division, Section
from allgrad.checkpoint.shard import ShardPlan
from allgrad.checkpoint.together import exchange, from_first, host_of, judge, together, words
from allgrad.comm import Communicator
from allgrad.errors import CheckpointError
from allgrad.version import __version__

NOTE = ".written.json"  # after the name of a rank's file: how it turned out
PATIENCE_S = 600.0  # how long rank 0's thread waits for the files of the other ranks


class Save:
    """A save under way on this rank.  Made by all ranks together."""

    def __init__(
        self, comm: Communicator, folder: Folder, collect: Callable[[], Mapping[str, Any]], facts: dict[str, Any],
        keep: int, damaged: set[str], older: str,
    ) -> None:  # fmt: skip
        self.comm, self.folder, self.disk, self.facts = comm, folder, folder.disk, facts
        self.keep, self.damaged = keep, damaged
        self.what = f"the checkpoint of step {facts['step']} could not be saved"
        self.kept = f"{older or 'There is no older one'}; training can go on if every rank catches the error"
        sections = together(comm, lambda: {n: Section(n, v) for n, v in collect().items()}, self.what, self.kept)
        division = Division(comm, sections)
        self.kinds = division.kinds
        self._division: Division | None = division
        self.name: str = from_first(comm, lambda: folder.begin(facts["step"]), self.what, self.kept)
        self.trouble: list[str] = []  # old checkpoints that could not be removed
        self.error: Exception | None = None
        self.committed = False
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()

    # -- at once ------------------------------------------------------------------------------------------------------

    def write_now(self) -> None:
        """Write and commit; returns when the checkpoint is safe, raises on all ranks if it is not."""
        try:
            entries = [entry for entry, _ in self._all_written()]
            self.trouble = from_first(self.comm, lambda: self._commit(entries), self.what, self.kept)
        except CheckpointError as error:
            left = from_first(self.comm, lambda: self.folder.discard(self.name), self.what, self.kept)
            if left:
                raise CheckpointError(f"{error}{left}") from error
            raise
        self.committed = True

    def _all_written(self) -> list[tuple[dict[str, Any], str]]:
        entry: dict[str, Any] = {}
        error: Exception | None = None
        try:
            entry = self._write()
        except Exception as trouble:  # told to all and raised below
            error = trouble
        found = exchange(
            self.comm, [entry, "" if error is None else self._explain(error)], "how a checkpoint was written"
        )
        judge(self.comm, [text for _, text in found], self.what, self.kept, error)
        return [(each, text) for each, text in found]

    def _explain(self, error: Exception) -> str:
        if isinstance(error, FileNotFoundError) and self.comm.rank:
            return (
                f"{words(error)}: the folder that rank 0 made is not seen here. All ranks need one shared file system"
            )
        return words(error)

    def _write(self) -> dict[str, Any]:
        division, self._division = self._division, None  # its arrays are let go when they are written
        if division is None:
            raise CheckpointError("a save writes once")
        plan = ShardPlan(division.arrays, division.digests, division.trees)
        path = os.path.join(self.folder.of(self.name), shard_name(self.comm.rank))
        length, sha256 = write_file(self.disk, path, plan.parts)
        return {"name": shard_name(self.comm.rank), **plan.entry(length, sha256).to_json()}

    def _commit(self, entries: list[dict[str, Any]]) -> list[str]:
        manifest = Manifest(
            files=tuple(parse_file(r, entry) for r, entry in enumerate(entries)),
            world_size=self.comm.size,
            serial=int(self.name.split("-")[1]),
            sections=self.kinds,
            versions={"allgrad": __version__, "numpy": np.__version__, "python": platform.python_version()},
            written=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            **self.facts,
        )
        self.folder.commit(self.name, manifest)
        return self.folder.prune(self.name, self.keep, self.damaged)

    # -- in the background --------------------------------------------------------------------------------------------

    def write_later(self) -> None:
        """Copy what has to be written and let a thread write it.  The process does not end before the thread has."""
        if self._division is not None:
            together(self.comm, self._division.snapshot, self.what, self.kept)
        self._thread = threading.Thread(target=self._in_background, name="allgrad checkpoint", daemon=False)
        atexit.register(self.report)
        self._thread.start()

    def _in_background(self) -> None:
        try:
            entry = self._write()
            place, note = self.folder.of(self.name), shard_name(self.comm.rank) + NOTE
            replace_file(self.disk, place, note, [json.dumps(entry).encode()])
            if self.comm.rank == 0:
                entries = [self._await_note(r) for r in range(self.comm.size)]
                for r in range(self.comm.size):
                    self.disk.remove(os.path.join(place, shard_name(r) + NOTE))
                self.trouble = self._commit(entries)
                self.committed = True
        except Exception as error:  # raised on all ranks by finish(), or reported when the process ends
            self.error = error

    def _await_note(self, rank: int) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_S
        pause = 0.002
        place, note = self.folder.of(self.name), shard_name(rank) + NOTE
        while note not in self.disk.names(place):
            if self._cancelled.is_set() or time.monotonic() > until:
                raise CheckpointError(f"the file of {host_of(self.comm, rank)} did not come")
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        with opened(self.disk, place, note) as handle:
            found: dict[str, Any] = json.loads(read_span(self.disk, handle, 0, MAX_MANIFEST))
        return found

    def status(self) -> str:
        """What this rank knows of its part: "" while it goes on, "done", or the text of an error."""
        if self._thread is not None and self._thread.is_alive():
            return ""
        return "done" if self.error is None else self._explain(self.error) or "failed"

    def settled(self, statuses: list[str]) -> bool:
        """Given every rank's status: whether the save has ended.  Raises the same error on all ranks if it failed."""
        complaints = ["" if s in ("", "done") else s for s in statuses]
        if any(complaints) or all(s == "done" for s in statuses):
            atexit.unregister(self.report)
        if not any(complaints):
            if not all(s == "done" for s in statuses):
                return False
            self.trouble = from_first(self.comm, lambda: self.trouble, self.what, self.kept)
            self.committed = True
            return True
        self._cancelled.set()
        self.join()
        error, self.error = self.error, None
        self.comm.barrier("a checkpoint that failed")  # nobody writes into the folder any more
        left = from_first(self.comm, lambda: self.folder.discard(self.name), self.what, self.kept)
        judge(self.comm, complaints, self.what, f"{self.kept}{left}", error)
        return True

    def report(self) -> None:
        """At the end of the process: an error that no rank was told must not look like success."""
        self.join()
        if self.error is not None:
            sys.stderr.write(f"allgrad: {self.what}: rank {self.comm.rank}: {words(self.error)}. {self.kept}\n")
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(1)

    def join(self) -> None:
        """Wait for this rank's thread."""
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """Wait until the save has ended on all ranks; raises the same error on all ranks if it failed."""
        if self._thread is None:
            return
        status = ""
        if self.comm.rank:
            self.join()
            status = self.status()
        # Rank 0 may be waiting for a file that will never come, so it asks the others before it waits itself.
        found = exchange(self.comm, status, "how a checkpoint was written")
        if any(s not in ("", "done") for s in found):
            self.settled(found)
            return
        self.join()
        self.settled(exchange(self.comm, self.status(), "how a checkpoint was committed"))
