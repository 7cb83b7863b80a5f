"""Signals kept back and taken one at a time: no handler runs in the middle of something, and none is missed.

The launcher keeps them back from before its first job until after its last, pauses between restarts included.
"""

from __future__ import annotations

import signal

ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
FORWARDED = ENDING | {signal.SIGUSR1, signal.SIGUSR2}


class Signals:
    """``with Signals() as signals:`` blocks what is forwarded to ranks, and SIGCHLD; ``take`` gives them out."""

    def __enter__(self) -> Signals:
        # What is ignored stays so: nohup ignores SIGHUP, a shell ignores SIGINT for its background jobs.
        self._taken = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
        self._taken.add(signal.SIGCHLD)
        self.before = signal.pthread_sigmask(signal.SIG_BLOCK, self._taken)  # the mask for a child
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)

    def take(self, timeout_s: float) -> signal.Signals | None:
        """The next signal; None after ``timeout_s``.  SIGCHLD says that a child has ended."""
        received = signal.sigtimedwait(self._taken, timeout_s)
        return None if received is None else signal.Signals(received.si_signo)
