"""Disks that fail, and one in memory: what ``CheckpointManager(..., disk=…)`` takes."""

from __future__ import annotations

import errno
import os
from typing import Any

from allgrad.checkpoint import Disk

CHANGES = ("make_folder", "create", "write", "sync", "close", "rename", "remove", "remove_folder", "sync_folder")


class FailingDisk(Disk):
    """The real disk, whose ``k``-th change of anything (from 0) fails; ``short``: a write takes one byte first."""

    def __init__(self, k: int, code: int = errno.ENOSPC, short: bool = False) -> None:
        self.k, self.code, self.short = k, code, short
        self.count = 0
        self.failed = ""

    def _pass(self, what: str, path: Any = None) -> None:
        self.count += 1
        if self.count - 1 == self.k:
            self.failed = what
            raise OSError(self.code, os.strerror(self.code), path)

    def make_folder(self, path: str) -> None:
        self._pass("make_folder", path)
        super().make_folder(path)

    def create(self, path: str) -> int:
        self._pass("create", path)
        return super().create(path)

    def write(self, handle: int, data: Any) -> int:
        if self.short and self.count == self.k:
            self.short = False
            self.k += 1  # the next one fails
            self.count += 1
            return super().write(handle, data[:1])
        self._pass("write")
        return super().write(handle, data)

    def sync(self, handle: int) -> None:
        self._pass("sync")
        super().sync(handle)

    def close(self, handle: int) -> None:
        super().close(handle)
        self._pass("close")

    def rename(self, old: str, new: str) -> None:
        self._pass("rename", new)
        super().rename(old, new)

    def remove(self, path: str) -> None:
        self._pass("remove", path)
        super().remove(path)

    def remove_folder(self, path: str) -> None:
        self._pass("remove_folder", path)
        super().remove_folder(path)

    def sync_folder(self, path: str) -> None:
        self._pass("sync_folder", path)
        super().sync_folder(path)


class MemoryDisk(Disk):
    """Files in a dictionary, path -> bytes: quick enough to damage every bit.  Folders are made by ``make_folder``."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.folders: set[str] = {"/"}
        self._open: dict[int, str] = {}
        self._next = 0

    def _handle(self, path: str) -> int:
        self._next += 1
        self._open[self._next] = path
        return self._next

    def make_folder(self, path: str) -> None:
        if path in self.folders:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        self.folders.add(path)

    def create(self, path: str) -> int:
        if path in self.files:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        if os.path.dirname(path) not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        self.files[path] = bytearray()
        return self._handle(path)

    def write(self, handle: int, data: Any) -> int:
        self.files[self._open[handle]] += data
        return len(data)

    def sync(self, handle: int) -> None:
        assert handle in self._open

    def close(self, handle: int) -> None:
        del self._open[handle]

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)

    def remove(self, path: str) -> None:
        del self.files[path]

    def remove_folder(self, path: str) -> None:
        if self.names(path):
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        self.folders.remove(path)

    def sync_folder(self, path: str) -> None:
        assert path in self.folders

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.folders

    def names(self, path: str) -> list[str]:
        return sorted(
            os.path.basename(p) for p in {*self.files, *self.folders} if os.path.dirname(p) == path and p != path
        )

    def open(self, folder: str, name: str) -> int:
        path = os.path.join(folder, name)
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return self._handle(path)

    def length(self, handle: int) -> int:
        return len(self.files[self._open[handle]])

    def read(self, handle: int, count: int, at: int) -> bytes:
        return bytes(self.files[self._open[handle]][at : at + count])


class PowerDisk(MemoryDisk):
    """Remembers every change, and shows what a power loss after the first ``k`` of them may leave."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[Any, ...]] = []
        self._born: dict[int, int] = {}  # handle -> number of the file

    def make_folder(self, path: str) -> None:
        super().make_folder(path)
        self.log.append(("make_folder", path))

    def create(self, path: str) -> int:
        handle = super().create(path)
        self._born[handle] = len(self.log)
        self.log.append(("create", path, len(self.log)))
        return handle

    def write(self, handle: int, data: Any) -> int:
        self.log.append(("write", self._born[handle], bytes(data)))
        return super().write(handle, data)

    def sync(self, handle: int) -> None:
        super().sync(handle)
        self.log.append(("sync", self._born[handle]))

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self.log.append(("rename", old, new))

    def remove(self, path: str) -> None:
        super().remove(path)
        self.log.append(("remove", path))

    def remove_folder(self, path: str) -> None:
        super().remove_folder(path)
        self.log.append(("remove", path))

    def sync_folder(self, path: str) -> None:
        super().sync_folder(path)
        self.log.append(("sync_folder", path))

    def after_power_loss(self, k: int, names_survive: bool, bytes_survive: bool) -> MemoryDisk:
        """The first ``k`` changes happened; of names and bytes that were not synced, all or nothing survives."""
        names: dict[str, int | None] = {"/": None}
        content: dict[int, bytes] = {}
        safe_names, safe_content = dict(names), dict(content)
        for op, *given in self.log[:k]:
            if op == "make_folder":
                names[given[0]] = None
            elif op == "create":
                names[given[0]] = given[1]
                content[given[1]] = b""
            elif op == "write":
                content[given[0]] += given[1]
            elif op == "sync":
                safe_content[given[0]] = content[given[0]]
            elif op == "rename":
                names[given[1]] = names.pop(given[0])
            elif op == "remove":
                del names[given[0]]
            else:
                inside = {p for p in {*names, *safe_names} if os.path.dirname(p) == given[0] and p != given[0]}
                for path in inside:
                    safe_names.pop(path, None)
                    if path in names:
                        safe_names[path] = names[path]
        kept = names if names_survive else safe_names
        disk = MemoryDisk()
        disk.folders = {p for p, n in kept.items() if n is None}
        found = content if bytes_survive else safe_content
        disk.files = {p: bytearray(found.get(n, b"")) for p, n in kept.items() if n is not None}
        return disk
