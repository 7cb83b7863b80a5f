"""Rounds of synchronization: one backward may feed several wrapped models, and it may fail.

The reducers that a backward has touched end their rounds together: first each starts all that is left to start, then
each waits, in the order in which they were made.  So two models cannot wait for each other across ranks.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from allgrad.autograd.walk import queue_callback
from allgrad.errors import DistributedError

if TYPE_CHECKING:
    from allgrad.distributed.reducer import Reducer


class _Rounds(threading.local):
    """The reducers of this thread (a virtual rank is a thread) whose round is under way, and how many were made."""

    def __init__(self) -> None:
        self.active: list[Reducer] = []
        self.made = 0


_rounds = _Rounds()


def number_of_next() -> int:
    """A number for a new reducer: they are made in the same order on every rank."""
    _rounds.made += 1
    return _rounds.made


def join_round(reducer: Reducer) -> None:
    """``reducer`` takes part in the backward that is running."""
    if not _rounds.active:
        queue_callback(lambda: _end(None), _end)
    _rounds.active.append(reducer)


def _end(error: BaseException | None) -> None:
    """The end of a backward, by ``error`` or well.

    A verdict (a rank failed, too many steps were not finite) is the same on all ranks and is raised when all rounds are
    through.  Any other error means that the ranks are out of step: then nothing more is sent.
    """
    reducers = sorted(_rounds.active, key=lambda r: r.number)
    _rounds.active = []
    lost = any(reducer.lost for reducer in reducers)
    if error is not None and (lost or not isinstance(error, Exception) or isinstance(error, DistributedError)):
        _out_of_step(reducers)
        return
    try:
        for reducer in reducers:
            reducer.start_rest(error)
        for reducer in reducers:
            reducer._finish()
    except Exception as trouble:
        _out_of_step(reducers)
        if error is None:
            raise
        trouble.__cause__ = error.__cause__
        error.__cause__ = (
            trouble  # why backward failed comes last: the ranks could not be told, perhaps for the same reason
        )
        return
    verdicts = [reducer.verdict for reducer in reducers if reducer.verdict is not None]
    if verdicts and error is None:
        raise verdicts[0]


def _out_of_step(reducers: list[Reducer]) -> None:
    """Ranks disagree: nothing more is sent, no words at the end of the program either."""
    for reducer in reducers:
        reducer.forget()
        if reducer.gate is not None:
            reducer.gate.broken = True
