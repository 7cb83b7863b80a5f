"""Stopping in time: a signal on any rank, agreement of all ranks on the step, a checkpoint, exit code 75.

Batch systems send a signal some time before they end a job.  The handler only notes it; the ranks tell each other in a
small message between steps, not after each step if steps are short: it may cost one percent of the time.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from types import FrameType
from typing import Any

EXIT_PREEMPTED = 75  # EX_TEMPFAIL: run me again
SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


class StopSignals:
    """USR1, USR2 and TERM are noted in place of ending the process; further ones change nothing.

    Python allows handlers in the main thread only; in the virtual world that is rank 0, and one rank is enough.
    """

    def __init__(self) -> None:
        self.received: str = ""
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number).name


class Pace:
    """How many steps to the next message: as few as cost at most ``share`` of the time, never more than ``most_s`` apart.

    The numbers of all ranks decide, so that all ranks decide alike.
    """

    def __init__(self, share: float = 0.01, most_s: float = 0.25) -> None:
        self.share, self.most_s = share, most_s
        self.left = 1  # steps to the next message
        self._cost_s = math.inf  # the quickest so far: what was longer was waiting for a slower rank
        self._since: float | None = None
        self._steps = 0

    def due(self) -> bool:
        """One more step is done: is it time to talk?"""
        self._steps += 1
        self.left -= 1
        return self.left <= 0

    def proposal(self) -> int:
        """What this rank would choose."""
        now = time.perf_counter()
        if self._since is None or not self._steps:
            return 1
        step_s = max((now - self._since) / self._steps, 1e-9)
        cost_s = 0.0 if math.isinf(self._cost_s) else self._cost_s
        return max(1, min(math.ceil(cost_s / (self.share * step_s)), int(self.most_s / step_s)))

    def met(self, cost_s: float, proposals: list[int]) -> None:
        """The ranks have talked, which took ``cost_s`` here."""
        self._cost_s = min(self._cost_s, cost_s)
        self.left = max(proposals)
        self._since, self._steps = time.perf_counter(), 0
