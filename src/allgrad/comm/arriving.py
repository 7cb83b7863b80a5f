"""The time limit on the way into the world: MPI_Init waits for every rank, for ever, and lets no Python thread run meanwhile.

So the limit is kept by a thread of the C library (``faulthandler``): it writes where this rank waits and ends the process,
and with it the job.  ``listeners`` are told when a rank begins to wait, until when (time of day), and when all are there.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import time
from collections.abc import Callable, Iterator

from allgrad.comm.launchenv import detect
from allgrad.errors import ArgumentError

listeners: list[Callable[[float | None], None]] = []


def timeout_of(text: str) -> float:
    """``ALLGRAD_TIMEOUT`` in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ArgumentError(f"ALLGRAD_TIMEOUT must be a number of seconds above 0, found {text!r}")
    return seconds


@contextlib.contextmanager
def arriving() -> Iterator[None]:
    """Round the import that starts MPI."""
    try:
        limit = timeout_of(os.environ.get("ALLGRAD_TIMEOUT", "600"))
    except ArgumentError:  # rank 0's value holds for all; if this is rank 0, the world refuses it
        limit = 600.0
    if detect().size < 2 or limit > 10 * 365 * 86400 or sys.__stderr__ is None:
        yield
        return
    for tell in listeners:
        tell(time.time() + limit)
    faulthandler.dump_traceback_later(limit, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        for tell in listeners:
            tell(None)
