"""Every bit of a checkpoint flipped, every truncation, files swapped and missing: found, named, and the one before is used."""

from __future__ import annotations

import json
import warnings
from typing import Any

import allgrad as torch
from allgrad.checkpoint import CheckpointManager, CheckpointWarning
from allgrad.checkpoint.folder import Folder
from allgrad.comm import launch_world, run_virtual
from checkpoint_disks import MemoryDisk
from test_checkpoint_damage import judged
from torture.task import Task

WIDE = 38  # makes a checkpoint of about 20 kB, two ranks' files together


def damage(task: Task) -> None:
    """``bits``, ``truncations``, ``swaps`` and the ``resumes`` from the checkpoint before."""
    disk, _, new = two_saves()
    folder = Folder("/run", disk)
    if judged(folder, new):
        task.trouble(f"a whole checkpoint is called damaged: {judged(folder, new)}")
        return
    files = [p for p in disk.files if p.startswith(f"/run/{new}/")] + ["/run/latest"]
    size = sum(len(disk.files[p]) for p in files)
    task.worst = f"a checkpoint of {size} bytes"
    every = max(1, round(1 / task.share))
    for path in files:
        content = disk.files[path]
        for bit in range(task.draw.randrange(every), 8 * len(content), every):
            content[bit // 8] ^= 1 << bit % 8
            _check(task, disk, new, path, bit // 8, f"bit {bit % 8} of byte {bit // 8} of {path}")
            if task.draw.random() < 0.02:
                _resumes(task, disk, 2.0 if path.endswith("latest") else 1.0, f"bit {bit} of {path}")
            content[bit // 8] ^= 1 << bit % 8
            task.ok("bits")
        for length in range(task.draw.randrange(every), len(content), every):
            disk.files[path] = content[:length]
            _check(task, disk, new, path, None, f"{path} cut to {length} bytes")
            task.ok("truncations")
        disk.files[path] = content
    kept = dict(disk.files)
    mine = [p for p in kept if p.startswith(f"/run/{new}/")]
    for a in kept:
        for b in [p for p in kept if p != a]:
            if a not in mine and b not in mine:
                continue
            disk.files = kept | {a: kept[b]}  # one in the place of another, then both swapped
            _swap(task, disk, f"{b} copied over {a}")
            disk.files = kept | {a: kept[b], b: kept[a]}
            _swap(task, disk, f"{a} and {b} swapped")
    for a in mine:
        disk.files = {p: c for p, c in kept.items() if p != a}
        _resumes(task, disk, 1.0, f"{a} is missing")
    disk.files = kept
    _resumes(task, disk, 2.0, "nothing is damaged")


def _check(task: Task, disk: MemoryDisk, new: str, path: str, at: int | None, what: str) -> None:
    """Trouble unless the damage is found, and file and tensor are named."""
    complaint = judged(Folder("/run", disk), new)
    name = path.rsplit("/", 1)[1]
    if not complaint or name not in complaint:
        task.trouble(f"{what}: {complaint or 'not found'}")
    elif at is not None and name.startswith("rank-"):
        wanted = _tensor_at(disk, path, at)
        if wanted not in complaint:
            task.trouble(f"{what}: {wanted} is not named in {complaint}")


def _tensor_at(disk: MemoryDisk, path: str, at: int) -> str:
    """What lies at a byte of a file, by the manifest beside it."""
    folder, name = path.rsplit("/", 1)
    body = json.loads(bytes(disk.files[f"{folder}/manifest.json"]).split(b"\n", 1)[1])
    entry = next(f for f in body["files"] if f["name"] == name)
    for tensor, (_, _, start, stop, _) in entry["tensors"].items():
        if start <= at - 8 - entry["header"] < stop:
            return f"tensor {tensor!r}"
    return "header"


def two_saves() -> tuple[MemoryDisk, str, str]:
    """Checkpoints of value 1 and 2 of two ranks, each with a tensor of its own; their names."""
    disk = MemoryDisk()

    def body() -> list[str]:
        names = []
        manager = CheckpointManager("/run", disk=disk, signals=False)
        torch.manual_seed(7)  # only generators differ between the ranks
        for value in (1.0, 2.0):
            manager._objects = {"model": model_of(value)}
            manager.values["own"] = torch.full((5,), value + launch_world().rank)
            names.append(manager.save(step=int(value)))
        return names

    old, new = run_virtual(body, 2)[0]
    return disk, old, new


def model_of(value: float) -> Any:
    model = torch.nn.Sequential(torch.nn.Linear(WIDE, WIDE // 2), torch.nn.Linear(WIDE // 2, WIDE // 4))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(value)
    return model


def _swap(task: Task, disk: MemoryDisk, what: str) -> None:
    """Files in each other's place: what is loaded is whole, whichever of the two it is, or nothing is."""
    found = _load(disk)
    if found not in (1.0, 2.0, "CheckpointError"):
        task.trouble(f"{what}: {found}")
    if found == 2.0 and "over /run/" + _newest(disk) in what:
        task.trouble(f"{what}: not found")
    task.ok("swaps")


def _newest(disk: MemoryDisk) -> str:
    return max(p.split("/")[2] for p in disk.folders if p.startswith("/run/save-"))


def _resumes(task: Task, disk: MemoryDisk, wanted: float, what: str) -> None:
    found = _load(disk)
    if found != wanted:
        task.trouble(f"{what}: resumed {found}, expected {wanted}")
    task.ok("resumes")


def _load(disk: MemoryDisk) -> Any:
    """The value of everything on both ranks, or the name of the error that both raise."""

    def body() -> Any:
        model = model_of(-1.0)
        manager = CheckpointManager("/run", disk=disk, signals=False).track(model=model)
        try:
            manager.resume("auto")
        except torch.errors.CheckpointError as error:
            return type(error).__name__
        values = {float(x) for p in model.parameters() for x in p.detach().numpy().reshape(-1)}
        values |= {float(x) - launch_world().rank for x in manager.values["own"].numpy()}
        return values.pop() if len(values) == 1 else f"a mix of {values}"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        first, second = run_virtual(body, 2)
    return first if first == second else f"rank 0 has {first}, rank 1 {second}"
