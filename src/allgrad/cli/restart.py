"""``--max-restarts K``: start the whole job again after it ended badly, at most K times.

The program resumes from its last checkpoint by itself; it sees ``TORCHELASTIC_RESTART_COUNT`` as under torchrun.
Nothing is restarted once a signal has asked the launcher itself for an end or for a checkpoint: whoever sent it,
a person or a batch system, decides what comes next.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from allgrad.cli.signals import Signals

COUNT = "TORCHELASTIC_RESTART_COUNT"
MOST = "TORCHELASTIC_MAX_RESTARTS"

FIRST_PAUSE_S = 0.5  # what brought a job down (a full disk, a node that boots) is rarely over at once
LONGEST_PAUSE_S = 60.0


class Outcome(NamedTuple):
    """How one attempt ended; ``asked`` is the first signal that the launcher was sent and passed on."""

    code: int
    asked: signal.Signals | None = None


def restart_variables(restarts: int, most: int) -> dict[str, str]:
    """What the ranks are told, under torchrun's names."""
    return {COUNT: str(restarts), MOST: str(most)}


def pause_s(restarts: int) -> float:
    """The pause before restart number ``restarts`` (from 1 on): doubled each time.

    >>> [pause_s(n) for n in (1, 2, 3, 99)]
    [0.5, 1.0, 2.0, 60.0]
    """
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(restarts - 1, 30)))


def run_with_restarts(attempt: Callable[[int], Outcome], most: int, signals: Signals) -> int:
    """Call ``attempt(number of restarts so far)`` until it ends well, is asked to end, or ``most`` restarts are used up.

    Returns the exit code of the last attempt; of a signal that comes during a pause, 128 + its number.
    """
    restarts = 0
    while True:
        started = time.monotonic()
        outcome = attempt(restarts)
        if outcome.code == 0 or outcome.asked is not None:
            return outcome.code
        if restarts == most:
            if most:
                _say(f"no restart is left of {most}; the job ends with exit code {outcome.code}")
            return outcome.code
        restarts += 1
        pause = pause_s(restarts)
        lasted = time.monotonic() - started
        _say(f"exit code {outcome.code} after {lasted:.1f} s; restart {restarts} of {most} in {pause:g} s")
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0:
            received = signals.take(left)
            if received is not None and received != signal.SIGCHLD:
                _say(f"{received.name} came before restart {restarts} of {most}; there is none")
                # The ranks that could answer are gone; what they last saved is there to resume from.
                return outcome.code if received in (signal.SIGUSR1, signal.SIGUSR2) else 128 + received


def _say(text: str) -> None:
    print(f"allgrad: {text}", file=sys.stderr, flush=True)
