"""``CheckpointManager``: one call to save, one to resume, one after each step."""

from __future__ import annotations

import os
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Collection
from typing import Any

from allgrad.checkpoint.disk import Disk, write_file
from allgrad.checkpoint.fingerprint import differences, fingerprint
from allgrad.checkpoint.folder import Folder
from allgrad.checkpoint.loading import CheckpointWarning, load_newest
from allgrad.checkpoint.manifest import Manifest
from allgrad.checkpoint.preemption import EXIT_PREEMPTED, Pace, StopSignals
from allgrad.checkpoint.saving import Save
from allgrad.checkpoint.sections import Stored
from allgrad.checkpoint.state import (
    RNG,
    VALUES,
    check_tracked,
    gather_shares,
    load_random_state,
    load_state,
    not_carried_over,
    random_state,
    save_state,
)
from allgrad.checkpoint.together import exchange, from_first, host_of, judge, together
from allgrad.comm import Communicator, launch_world
from allgrad.distributed.ddp import DistributedDataParallel
from allgrad.distributed.group import entered, group_of, is_initialized
from allgrad.errors import ArgumentError, CheckpointMismatchError


class CheckpointManager:
    """Saves and resumes training in the folder ``dir``; made, and every method called, on all ranks alike.

    ``keep`` newest checkpoints stay; ``every``: steps between two saves by ``step()``; ``background``: training goes on
    while the files are written.  ``values`` is a dict of the user's own, saved too; ``steps`` counts the calls of ``step()``.

    >>> import tempfile, allgrad
    >>> model = allgrad.nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder, CheckpointManager(folder, every=10) as manager:
    ...     _ = manager.track(model=model)
    ...     fresh = manager.resume("auto") is None
    ...     name = manager.save(step=10)
    ...     resumed = manager.resume("auto").step
    >>> fresh, name, resumed
    (True, 'save-00000001-step-10', 10)
    """

    def __init__(
        self, dir: str | os.PathLike[str], keep: int = 3, every: int | None = None, *, background: bool = False,
        signals: bool = True, group: Any = None, disk: Disk | None = None,
    ) -> None:  # fmt: skip
        for name, value in (("keep", keep), ("every", every)):
            if value is not None and (type(value) is not int or value < 1):
                raise ArgumentError(f"{name} must be a whole number of at least 1, found {value!r}")
        self._group = group
        initialized = group is not None or is_initialized()
        self.comm: Communicator = group_of(group).comm if initialized else launch_world()
        self.keep, self.every, self.background = keep, every, background
        self.values: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.steps = 0
        self.last: str | None = None  # the newest checkpoint that this manager saved or loaded
        self._saved_step = -1
        self._objects: dict[str, Any] = {}
        self._damaged: set[str] = set()
        self._save: Save | None = None  # one that is being written in the background
        self._pace = Pace()
        self._folder = Folder(os.path.realpath(dir), disk or Disk())
        what, kept = f"{self._folder.path} cannot hold checkpoints", "Nothing was written"
        from_first(self.comm, self._folder.prepare, what, kept, "a folder for checkpoints")
        if self.comm.kind == "mpi" and self.comm.size > 1:
            self._check_shared(what, kept)
        self._signals = StopSignals()
        if signals:
            self._signals.install()

    def _check_shared(self, what: str, kept: str) -> None:
        """CheckpointError on all ranks if one does not see what rank 0 writes."""
        comm, disk, mine = self.comm, self._folder.disk, self._folder.path

        def write() -> list[str]:
            name = f".seen-by-all-{uuid.uuid4().hex}"
            write_file(disk, os.path.join(mine, name), [b""])
            return [mine, name]

        path, name = from_first(comm, write, what, kept, "a file for all to see")
        complaints = exchange(
            comm, "" if disk.exists(os.path.join(mine, name)) else "does not see it", "one folder for all"
        )
        from_first(comm, lambda: disk.remove(os.path.join(mine, name)), what, kept, "a file for all to see")
        judge(
            comm, complaints, f"{path} is not the same folder on all ranks: {host_of(comm, 0)} wrote a file there",
            "All ranks need one shared file system (NFS, Lustre, …); give a folder on it",
        )  # fmt: skip

    def track(self, **objects: Any) -> CheckpointManager:
        """Save and resume these too: ``track(model=model, optimizer=optimizer, scheduler=scheduler, loader=loader)``.

        Anything with ``state_dict`` and ``load_state_dict``, or a ``Generator``.  The default generator, Python's and
        NumPy's are always saved.
        """
        for name, thing in objects.items():
            check_tracked(name, thing)
            if name in self._objects:
                raise ArgumentError(f"track({name}=…): there is one of that name already")
            self._objects[name] = thing
            if isinstance(thing, DistributedDataParallel) and thing.sharding is not None:
                self._objects[f"{name}_shards"] = thing.sharding  # the number of the step seeds its random numbers
        return self

    # -- saving -------------------------------------------------------------------------------------------------------

    def save(self, step: int | None = None, *, background: bool | None = None, reason: str = "asked for") -> str:
        """Save everything as of ``step`` (default ``steps``); the name of the checkpoint.  Collective.

        CheckpointError on all ranks if any rank could not write; the checkpoint before is then untouched.
        """
        self._arrive("CheckpointManager.save")
        self.wait()
        if step is not None:
            self.steps = int(step)
        facts = {
            "step": self.steps,
            "fingerprint": fingerprint(self._objects),
            "metrics": dict(self.metrics),
            "reason": reason,
        }
        older = f"{self.last} is untouched" if self.last else ""
        gather_shares(self._objects)
        save = Save(self.comm, self._folder, self._collect, facts, self.keep, self._damaged, older)
        if self.background if background is None else background:
            save.write_later()
            self._save = save
        else:
            save.write_now()
            self._settled(save)
        self._saved_step = self.steps
        return save.name

    def _collect(self) -> dict[str, Any]:
        found = {name: save_state(thing, self.comm.rank) for name, thing in self._objects.items()}
        return {**found, VALUES: self.values, RNG: random_state()}

    def _settled(self, save: Save) -> None:
        self.last = save.name
        for trouble in save.trouble:
            warnings.warn(
                f"{save.name} is saved, but an older one could not be removed: {trouble}", CheckpointWarning, 3
            )

    def _arrive(self, what: str) -> None:
        """After a loop of different lengths: ranks that come here first stand in for the others' steps."""
        if self.comm.size > 1 and (self._group is not None or is_initialized()):
            entered(self._group, what)

    def wait(self) -> None:
        """Wait until what is being written in the background is safe; raises on all ranks if it failed.  Collective."""
        save, self._save = self._save, None
        if save is not None:
            save.finish()
            self._settled(save)

    # -- after each step ----------------------------------------------------------------------------------------------

    def step(self, **metrics: float) -> None:
        """One more step is done: save if it is time, learn of signals and of trouble in the background.  Collective.

        After USR1, USR2 or TERM on any rank, all ranks save and leave with exit code 75 (SystemExit).
        """
        self.steps += 1
        self.metrics.update({name: float(value) for name, value in metrics.items()})
        if self.every and self.steps % self.every == 0:
            self.save(reason=f"every {self.every} steps")
        if self._pace.due() or self._save is not None:
            self._talk()

    def _talk(self) -> None:
        status = "" if self._save is None else self._save.status()
        began = time.perf_counter()
        heard = exchange(self.comm, [self._signals.received, status, self._pace.proposal()], "between steps")
        self._pace.met(time.perf_counter() - began, [each[2] for each in heard])
        if self._save is not None:
            save, self._save = self._save, None
            if save.settled([each[1] for each in heard]):
                self._settled(save)
            else:
                self._save = save
        stopping = [(r, each[0]) for r, each in enumerate(heard) if each[0]]
        if stopping:
            self._stop(*stopping[0])

    def request_stop(self) -> None:
        """Do as if a signal had come: at one of the next steps all ranks save and leave with exit code 75."""
        self._signals.received = self._signals.received or "request_stop()"

    def _stop(self, rank: int, signal_name: str) -> None:
        if self._saved_step != self.steps:
            self.save(background=False, reason=signal_name)
        self.wait()
        if self.comm.rank == 0:
            print(
                f"allgrad: {signal_name} on {host_of(self.comm, rank)}: all ranks stop after step {self.steps}, saved as "
                f"{self.last}; exit code {EXIT_PREEMPTED}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
        sys.exit(EXIT_PREEMPTED)

    # -- resuming -----------------------------------------------------------------------------------------------------

    def resume(self, which: str = "auto", override: bool | Collection[str] = ()) -> Manifest | None:
        """Load the newest whole checkpoint, or the one named; what it says of itself, None if there is none.  Collective.

        Damaged ones are passed over with a CheckpointWarning on all ranks; CheckpointError if none is whole.
        CheckpointMismatchError names every fact about model, optimizer, data or code that differs from when it was saved;
        ``override=("code",)`` lets the facts of that kind differ, ``True`` all.
        """
        self._arrive("CheckpointManager.resume")
        self.wait()
        kinds = {"model", "optimizer", "data", "code", "objects"}
        if not isinstance(override, bool) and not set(override) <= kinds:
            raise ArgumentError(f"override takes True or some of {sorted(kinds)}, found {override!r}")
        here = together(self.comm, lambda: fingerprint(self._objects), "resume", "Nothing was loaded or changed")

        def check(manifest: Manifest) -> None:
            odd = differences(manifest.fingerprint, here, manifest.world_size == self.comm.size, override)
            more = f"; and {len(odd) - 6} more" if len(odd) > 6 else ""
            complaints = exchange(self.comm, "; ".join(odd[:6]) + more, "what a checkpoint belongs to")
            judge(
                self.comm, complaints if any(c != complaints[0] for c in complaints) else complaints[:1],
                f"the checkpoint of step {manifest.step} belongs to another run", "Nothing was loaded or changed. Restore what "
                "differs, or resume(override=(kind, …)) with the first words above, or start in another folder",
                kind=CheckpointMismatchError,
            )  # fmt: skip

        name = None if which == "auto" else which
        found = load_newest(self.comm, self._folder, name, self._read, check, self._damaged)
        if found is None:
            return None
        self.last, manifest = found
        self.steps = self._saved_step = manifest.step
        self.metrics = dict(manifest.metrics)
        return manifest

    def _read(self, stored: Stored) -> Callable[[], None]:
        rank, size, world = self.comm.rank, self.comm.size, stored.manifest.world_size
        known = stored.manifest.sections
        put = [load_state(o, stored, n, rank, size) for n, o in self._objects.items() if n in known]
        values = stored.value(VALUES, rank if size == world else 0)
        restore = load_random_state(stored, rank, size)
        for name in not_carried_over(self._objects, stored, size):
            warnings.warn(
                f"{name} differed between the {world} ranks that saved; all {size} ranks go on with that of rank 0",
                CheckpointWarning,
                stacklevel=5,
            )

        def all_of_it() -> None:
            for each in put:
                each()
            self.values.clear()
            self.values.update(values)
            restore()  # last: loading may draw

        return all_of_it

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait for what is being written, and give the signals back.  Collective; raises on all ranks if it failed."""
        try:
            if self._save is not None:
                self._arrive("CheckpointManager.close")
            self.wait()
        finally:
            self._signals.restore()

    def __enter__(self) -> CheckpointManager:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.close()
        else:
            self._signals.restore()  # the other ranks may not come any more; what is being written is finished all the same
