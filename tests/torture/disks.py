"""Disks that fail at every operation, and one that is full."""

from __future__ import annotations

import ctypes
import errno
import os
import warnings
from pathlib import Path
from typing import Any

from allgrad.checkpoint import CheckpointManager, CheckpointWarning, Disk
from allgrad.comm import launch_world, run_virtual
from allgrad.errors import CheckpointError
from checkpoint_disks import FailingDisk
from test_checkpoint_damage import model_of
from torture.task import Task

CODES = {"ENOSPC": (errno.ENOSPC, False), "EIO": (errno.EIO, False), "EACCES": (errno.EACCES, False),
         "short write": (errno.ENOSPC, True)}  # fmt: skip
WHO = {
    "first": lambda rank, size: rank == 0,
    "last": lambda rank, size: rank == size - 1,
    "all": lambda rank, size: True,
}
WAYS = [(size, background) for size in (2, 1, 3, 4) for background in (False, True)]


class UnreadableDisk(Disk):
    """The real disk, whose ``k``-th reading operation fails (from 0); -1: none."""

    def __init__(self, k: int, code: int) -> None:
        self.k, self.code, self.count, self.failed = k, code, 0, ""

    def _pass(self, what: str) -> None:
        self.count += 1
        if self.count - 1 == self.k:
            self.failed = what
            raise OSError(self.code, os.strerror(self.code))

    def names(self, path: str) -> list[str]:
        self._pass("names")
        return super().names(path)

    def open(self, folder: str, name: str) -> int:
        self._pass("open")
        return super().open(folder, name)

    def length(self, handle: int) -> int:
        self._pass("length")
        return super().length(handle)

    def read(self, handle: int, count: int, at: int) -> bytes:
        self._pass("read")
        return super().read(handle, count, at)


def disks(task: Task) -> None:
    """``failed writes`` and ``failed reads``: each operation in turn, with each error, on each choice of ranks."""
    ways = WAYS if task.share == 1 else WAYS[:2]
    for size, background in task.draw.sample(ways, len(ways)):
        for who in WHO if task.share == 1 else ["first", "last"]:
            for name in CODES if task.share == 1 else ["EIO", "short write"]:
                for kind in ("write", "read"):
                    k = 0
                    while _one(task, size, background, who, name, kind, k):
                        task.ok(f"failed {kind}s")
                        k += 1 if task.share == 1 else 4


def _one(task: Task, size: int, background: bool, who: str, name: str, kind: str, k: int) -> bool:
    """Operation ``k`` fails: the same typed error on all ranks, a good checkpoint loads, the next save works."""
    code, short = CODES[name]
    what = f"{size} ranks, {'background, ' * background}{name} at {kind} {k} on {who}"
    folder = task.folder / f"{size}{background}{who}{name}{kind}{k}".replace(" ", "")

    def body() -> Any:
        rank = launch_world().rank
        bad = WHO[who](rank, size)
        manager = CheckpointManager(str(folder), keep=1, signals=False, background=background)
        manager.track(model=model_of(1.0)).save(step=1)
        manager.wait()
        disk: Any = None
        ended = ""
        if kind == "write":
            disk = FailingDisk(k, code, short) if bad else FailingDisk(-1)
            manager._folder.disk = disk
            manager._objects["model"] = model_of(2.0)
            try:
                manager.save(step=2)
                manager.wait()
            except CheckpointError as error:
                ended = f"{type(error).__name__}: {error}"
        else:
            disk = UnreadableDisk(k if bad else -1, code)
            manager._folder.disk = disk
            try:
                manager.resume("auto")
            except CheckpointError as error:
                ended = f"{type(error).__name__}: {error}"
            if not ended and manager._objects["model"].weight[0, 0] != 1.0:
                ended = "wrong values"
        model = model_of(0.0)
        fresh = CheckpointManager(str(folder), keep=1, signals=False).track(model=model)
        fresh.resume("auto")
        loaded = float(model.weight[0, 0])
        fresh._objects["model"] = model_of(3.0)
        fresh.save(step=3)
        again: Any = model_of(0.0)
        CheckpointManager(str(folder), signals=False).track(model=again).resume("auto")
        return ended, loaded, disk.failed, float(again.weight[0, 0])

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ended, loaded, failed, last = zip(*run_virtual(body, size))
    except Exception as error:
        task.trouble(f"{what}: {type(error).__name__}: {error}")
        return True
    hit = next((f for f in failed if f), "")
    told = any(issubclass(w.category, CheckpointWarning) for w in caught)
    good = len(set(ended)) == len(set(loaded)) == 1 and loaded[0] in (1.0, 2.0) and set(last) == {3.0}
    good = good and (not hit or bool(ended[0]) or told) and "wrong" not in ended[0]
    good = good and (kind == "read" or bool(ended[0]) or loaded[0] == 2.0)
    if not good:
        task.trouble(f"{what} ({hit}): {set(ended)}, loaded {set(loaded)}, then {set(last)}, warned {told}")
    return bool(hit)


def full(task: Task) -> None:
    """A file system in memory of 2 MB: full, freed, full again; ``rounds`` of it.  Root only."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = task.folder / "small"
    place.mkdir()
    if os.geteuid() or libc.mount(b"torture", os.fsencode(place), b"tmpfs", 0, b"size=2m"):
        task.skipped = "needs root, to mount a file system of 2 MB"
        return
    try:
        for size, background in WAYS if task.share == 1 else WAYS[:2]:
            _fill_and_free(task, place, size, background)
    finally:
        libc.umount2(os.fsencode(place), 2)


def _fill_and_free(task: Task, place: Path, size: int, background: bool) -> None:
    folder, ballast = place / f"{size}{background}", place / "ballast"
    what = f"{size} ranks{', background' * background}"

    def attempt(value: float) -> str:
        """ "" or the error, the same on all ranks."""

        def body() -> str:
            manager = CheckpointManager(str(folder), keep=2, signals=False, background=background)
            manager.track(model=model_of(value))
            try:
                manager.resume("auto")
                with_value = model_of(value)
                manager._objects["model"] = with_value
                manager.values["bulk"] = b"".join(int(value * 7 + i).to_bytes(4, "little") for i in range(20000))
                manager.save(step=int(value))
                manager.wait()
                return ""
            except CheckpointError as error:
                return str(error)

        texts = set(run_virtual(body, size))
        if len(texts) > 1:
            task.trouble(f"{what}: the ranks say different things: {texts}")
        return texts.pop()

    def loaded() -> set[float]:
        def body() -> float:
            model = model_of(0.0)
            CheckpointManager(str(folder), signals=False).track(model=model).resume("auto")
            return float(model.weight[0, 0])

        return set(run_virtual(body, size))

    value = 1.0
    if error := attempt(value):
        task.trouble(f"{what}: {error}")
    for left in (0, 1000, 20000, 60000, 90000):  # bytes that are free when the save begins
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 14)):
                    continue
            except OSError:
                os.ftruncate(file.fileno(), max(0, file.tell() - left))
        failed = attempt(value + 1)
        if "No space left" not in failed and failed:
            task.trouble(f"{what}, {left} bytes free: {failed}")
        if failed and loaded() != {value}:
            task.trouble(f"{what}, {left} bytes free: the one before does not load: {loaded()}")
        task.done["saves on a full disk failed" if failed else "saves found room"] += 1
        ballast.unlink()
        value += 2
        if error := attempt(value):
            task.trouble(f"{what}: freed, but {error}")
        if loaded() != {value}:
            task.trouble(f"{what}: freed and saved, but {loaded()} is loaded, not {value}")
        task.ok("recoveries at the next save")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
