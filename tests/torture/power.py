"""Power losses: of what was not synced any part may be gone, torn or there before what was done earlier."""

from __future__ import annotations

import os
import random
import warnings
from typing import Any

from allgrad.checkpoint import CheckpointManager, CheckpointWarning
from allgrad.comm import launch_world, run_virtual
from checkpoint_disks import MemoryDisk, PowerDisk
from test_checkpoint_damage import model_of
from torture.task import Task

FULL = 4000


def image(disk: PowerDisk, k: int, draw: random.Random) -> MemoryDisk:
    """What may lie on the disk if the power fails after the first ``k`` changes.

    Each change of a name that its folder was not synced after survives or not, each by itself; of each write that its file
    was not synced after all, a part or nothing survives, zeros stand where something is missing in between.
    """
    names: dict[str, int | None] = {"/": None}  # path -> number of the file, None for a folder
    live = dict(names)  # as a program sees it
    pending: dict[str, list[tuple[str, str, int | None]]] = {}  # folder -> changes that are not safe
    writes: dict[int, list[bytes]] = {}
    safe: dict[int, int] = {}  # file -> how many of its writes are synced
    for op, *given in disk.log[:k]:
        if op in ("make_folder", "create"):
            number = given[1] if op == "create" else None
            live[given[0]] = number
            pending.setdefault(os.path.dirname(given[0]), []).append(("add", given[0], number))
            if op == "create":
                writes[given[1]], safe[given[1]] = [], 0
        elif op == "write":
            writes[given[0]].append(given[1])
        elif op == "sync":
            safe[given[0]] = len(writes[given[0]])
        elif op == "rename":
            live[given[1]] = live.pop(given[0])
            pending.setdefault(os.path.dirname(given[1]), []).append(("rename " + given[0], given[1], live[given[1]]))
        elif op == "remove":
            del live[given[0]]
            pending.setdefault(os.path.dirname(given[0]), []).append(("remove", given[0], None))
        else:
            for change in pending.pop(given[0], []):
                _apply(names, change)
    keep = draw.choice([0.0, 0.3, 0.7, 1.0])
    for folder in sorted(pending):
        for change in pending[folder]:
            if draw.random() < keep:
                _apply(names, change)
    result = MemoryDisk()
    for path, number in names.items():
        if any(above not in names for above in _above(path)):
            continue  # its folder is gone
        if number is None:
            result.folders.add(path)
        else:
            result.files[path] = bytearray(_content(writes[number], safe[number], draw))
    return result


def _apply(names: dict[str, int | None], change: tuple[str, str, int | None]) -> None:
    what, path, number = change
    if what == "remove":
        names.pop(path, None)
        return
    if what.startswith("rename "):
        names.pop(what[7:], None)
    names[path] = number


def _above(path: str) -> list[str]:
    found = []
    while path != "/":
        path = os.path.dirname(path)
        found.append(path)
    return found


def _content(writes: list[bytes], safe: int, draw: random.Random) -> bytes:
    content = b"".join(writes[:safe])
    how = draw.choice(["gone", "all", "torn", "holes"])
    for piece in writes[safe:]:
        if how == "gone":
            break
        if how == "all":
            content += piece
        elif how == "torn":
            return content + piece[: draw.randrange(len(piece) + 1)]
        else:
            content += piece if draw.random() < 0.5 else bytes(len(piece))
    return content


def power(task: Task) -> None:
    """``images`` of which each gave the old checkpoint or the new one, and took the next save."""
    images = task.some(FULL, 60)
    settings = [(size, background, keep) for size in (1, 2, 3) for background in (False, True) for keep in (1, 2)]
    disks = {}
    for setting in settings:
        disks[setting] = recorded(*setting)
    for i in range(images):
        setting = settings[i % len(settings)]
        disk, begin = disks[setting]
        k = task.draw.randint(begin, len(disk.log))
        seed = task.draw.randrange(2**32)
        lost = image(disk, k, random.Random(seed))
        wanted = (3.0,) if k == len(disk.log) else (2.0, 3.0)
        try:
            found = loaded(lost, wanted, setting[0])
        except Exception as error:
            task.trouble(
                f"{setting}, after change {k} ({disk.log[k - 1][:2]}), image {seed}: {type(error).__name__}: {error}"
            )
            continue
        task.done["old" if found == 2.0 else "new"] += 1
        task.ok("images")


def recorded(size: int, background: bool, keep: int) -> tuple[PowerDisk, int]:
    """Three saves; the power may fail in the last: (all changes, how many came before it)."""
    disk = PowerDisk()
    begin = []

    def body() -> None:
        manager = CheckpointManager("/run", keep=keep, disk=disk, signals=False, background=background)
        for value in (1.0, 2.0, 3.0):
            if launch_world().rank == 0:
                begin.append(len(disk.log))
            manager._objects = {"model": model_of(value)}
            manager.values["of"] = [
                value,
                launch_world().rank,
            ]  # differs between ranks: every file has a part of its own
            manager.save(step=int(value))
            manager.wait()

    run_virtual(body, size)
    return disk, begin[-1]


def loaded(disk: MemoryDisk, wanted: tuple[float, ...], size: int) -> float:
    """The value that all of the checkpoint has; AssertionError for a mix, or if the next save does not work."""

    def body() -> float:
        model = model_of(-1.0)
        manager = CheckpointManager("/run", disk=disk, signals=False).track(model=model)
        found = manager.resume("auto")
        values = {float(x) for p in model.parameters() for x in p.detach().numpy().reshape(-1)}
        assert len(values) == 1 and values <= set(wanted), f"parameters {values}, expected one of {wanted}"
        value = values.pop()
        assert found is not None and found.step == value, (found and found.step, value)
        assert manager.values["of"] == [value, launch_world().rank], manager.values
        manager._objects["model"] = model_of(9.0)
        manager.save(step=9)
        again: Any = model_of(-1.0)
        CheckpointManager("/run", disk=disk, signals=False).track(model=again).resume("auto")
        assert float(again.weight[0, 0]) == 9.0
        return value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        return float(run_virtual(body, size)[0])
