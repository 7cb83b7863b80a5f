"""Shared-memory files that killed ranks have left on this host.

Open MPI and MPICH unlink theirs at an orderly end only; 2 to 16 MB a rank, and a full /dev/shm fails the next job.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
NAMES = ("sm_segment.*", "vader_segment.*", "mpich_shm_*", "allgrad-board-*")
YOUNG_S = 0.2  # a file so young may belong to a job that is just starting, and will be mapped by then


def remove_leftovers(since: float, directory: Path = SHARED_MEMORY) -> list[str]:
    """Remove MPI's files of this user that were made after ``since`` (seconds since 1970) and that no process maps.

    Returns their names.  A rank that maps a file keeps its memory also without the name.
    """
    suspects: dict[str, Path] = {}
    youngest = 0.0
    for pattern in NAMES:
        for path in directory.glob(pattern):
            with contextlib.suppress(OSError):  # removed by its owner while we looked
                status = path.stat()
                if status.st_uid == os.geteuid() and status.st_mtime >= since:
                    suspects[path.name] = path
                    youngest = max(youngest, status.st_mtime)
    if not suspects:
        return []
    time.sleep(min(YOUNG_S, max(0.0, youngest + YOUNG_S - time.time())))
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it ended, or is another user's
            text = maps.read_text(errors="replace")
            for name in [name for name in suspects if name in text]:
                del suspects[name]
    for path in suspects.values():
        with contextlib.suppress(OSError):
            path.unlink()
    return sorted(suspects)
