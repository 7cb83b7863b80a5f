"""Files that are either the old one or the new one, never a part: written beside, synced, renamed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], parts: Iterable[bytes | memoryview]) -> None:
    """Replace ``path`` by the concatenation of ``parts``; after a failure or power loss it is whole, old or new.

    A link is followed and the mode of an old file kept.  What is there and no regular file (a pipe, a device) is
    written to as it is.  OSError from the file system passes through; the unfinished file is removed.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        with open(target, "wb") as file:
            for part in parts:
                file.write(part)
        return
    # Virtual ranks are threads of one process, so the process number alone would not keep their files apart.
    beside = target.with_name(f".{target.name[:60]}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with open(beside, "wb") as file:
            for part in parts:
                file.write(part)
            if target.exists():
                os.fchmod(file.fileno(), target.stat().st_mode & 0o7777)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
