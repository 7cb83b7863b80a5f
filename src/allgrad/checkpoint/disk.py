"""Every operation on files that a checkpoint needs, in one place, so that a test can put a failing disk here.

``Disk`` has the bare operations and may be replaced (``CheckpointManager(..., disk=FailingDisk())``); the functions
below it build on nothing else.  OSError passes through; whoever calls knows which checkpoint it was.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any

CHUNK = 1 << 20  # bytes read at a time; also the most that a faulty length can make us allocate


class Disk:
    """The file system.  Reading follows no links and opens regular files only."""

    def make_folder(self, path: str) -> None:
        """Make one new folder."""
        os.mkdir(path)

    def create(self, path: str) -> int:
        """Open a file for writing that must not be there yet."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)

    def write(self, handle: int, data: Any) -> int:
        """Write some of ``data``; how many bytes."""
        return os.write(handle, data)

    def sync(self, handle: int) -> None:
        """Return when the file's bytes survive a power loss."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """Close a file."""
        os.close(handle)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in one step; a file of that name goes away."""
        os.replace(old, new)

    def remove(self, path: str) -> None:
        """Take a file's name away."""
        os.unlink(path)

    def remove_folder(self, path: str) -> None:
        """Take an empty folder away."""
        os.rmdir(path)

    def sync_folder(self, path: str) -> None:
        """Return when the names in a folder survive a power loss."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def exists(self, path: str) -> bool:
        """Whether there is anything of that name; links are followed."""
        return os.path.exists(path)

    def names(self, path: str) -> list[str]:
        """What lies in a folder, sorted."""
        return sorted(os.listdir(path))

    def open(self, folder: str, name: str) -> int:
        """Open ``name`` in ``folder`` for reading; neither may be a link, and ``name`` must be a regular file."""
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # O_NONBLOCK: opening a pipe would wait for a writer.
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
        finally:
            os.close(place)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "not a regular file", os.path.join(folder, name))
        return handle

    def length(self, handle: int) -> int:
        """The length of an open file, in bytes."""
        return os.fstat(handle).st_size

    def read(self, handle: int, count: int, at: int) -> bytes:
        """At most ``count`` bytes from position ``at``."""
        return os.pread(handle, count, at)


def write_file(disk: Disk, path: str, parts: Iterable[Any]) -> tuple[int, str]:
    """Write and sync a new file: (length in bytes, SHA-256).  Its name is safe only after ``sync_folder``."""
    digest, length = hashlib.sha256(), 0
    handle = disk.create(path)
    try:
        for part in parts:
            digest.update(part)
            view = memoryview(part).cast("B")
            length += len(view)
            while len(view):
                done = disk.write(handle, view[: 64 * CHUNK])
                if done <= 0:
                    raise OSError(errno.EIO, "the file system took no bytes", path)
                view = view[done:]
        disk.sync(handle)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what counts
            disk.close(handle)
        raise
    disk.close(handle)
    return length, digest.hexdigest()


def replace_file(disk: Disk, folder: str, name: str, parts: Iterable[Any]) -> None:
    """Make ``name`` in ``folder`` hold ``parts``: the old content or the new one, whatever happens."""
    beside = os.path.join(folder, f"{name}.part")
    if f"{name}.part" in disk.names(folder):  # left by a crash
        disk.remove(beside)
    write_file(disk, beside, parts)
    disk.rename(beside, os.path.join(folder, name))
    disk.sync_folder(folder)


@contextlib.contextmanager
def opened(disk: Disk, folder: str, name: str) -> Iterator[int]:
    """A file open for reading."""
    handle = disk.open(folder, name)
    try:
        yield handle
    finally:
        disk.close(handle)


def read_span(disk: Disk, handle: int, start: int, count: int) -> bytearray:
    """``count`` bytes from ``start`` on; fewer only where the file ends."""
    found = bytearray()
    while len(found) < count:
        piece = disk.read(handle, min(CHUNK, count - len(found)), start + len(found))
        if not piece:
            break
        found += piece
    return found


def chunks(disk: Disk, handle: int, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from ``start`` to ``stop``, a chunk at a time; fewer only where the file ends."""
    while start < stop:
        piece = disk.read(handle, min(CHUNK, stop - start), start)
        if not piece:
            return
        yield piece
        start += len(piece)


def remove_tree(disk: Disk, path: str) -> None:
    """Remove a folder and the files in it; it holds no folders."""
    for name in disk.names(path):
        disk.remove(os.path.join(path, name))
    disk.remove_folder(path)
