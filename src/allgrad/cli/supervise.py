"""Start a job, pass signals on to its ranks, wait for its end, leave nothing behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from allgrad.cli.job import Job
from allgrad.cli.leftovers import remove_leftovers
from allgrad.cli.restart import Outcome
from allgrad.cli.signals import ENDING, Signals

# How long the ranks have after a signal: Ctrl-C means now; at SIGTERM a rank may still write a checkpoint
# (batch systems send SIGKILL about 30 s later).  In seconds.
GRACE_S = {signal.SIGINT: 1.5, signal.SIGHUP: 20.0, signal.SIGTERM: 20.0}
FAILED_GRACE_S = 1.0  # after a rank has reported its failure: MPICH does not notice one that fails before MPI_Init
KILL_GRACE_S = 1.5  # between SIGTERM to mpirun and SIGKILL to everything
VANISHED_GRACE_S = 2.0  # after a rank of this host is gone without a word: mpirun mostly notices by itself
STRAGGLER_GRACE_S = 1.0  # for what the ranks left running, after all of them have ended well
POLL_S = 0.25

HUNG = 75  # exit code of a job that was ended because a rank did not come
UNFINISHED = 1  # exit code of a job that says 0 without having come to its end
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


# What mpirun gets when this launcher is killed.  Open MPI's ends the job in order; MPICH's would wait for ranks that
# ignore SIGTERM, but when it dies, its helpers and then the ranks die too (bootstrap.die_with_parent).
ORPHANED = {"openmpi": signal.SIGTERM, "mpich": signal.SIGKILL}


def supervise(
    command: Sequence[str], environment: Mapping[str, str], job: Job, family: str, signals: Signals
) -> Outcome:
    """Run ``command`` to its end; the exit code is non-zero unless rank 0 came to the end.

    ``family`` is the make of its ``mpirun``.
    """
    since = time.time()
    supervisor = _Supervisor(command, environment, job, ORPHANED[family], signals)
    mpirun_code = supervisor.wait()
    code = _judge(supervisor, mpirun_code, job)
    if code != 0:
        remove_leftovers(since)
    return Outcome(code, supervisor.asked)


def _judge(supervisor: _Supervisor, code: int, job: Job) -> int:
    """The exit code of the job from that of ``mpirun``, and in words, to stderr, what went wrong."""
    failure = job.failure()
    if failure is not None:
        how = "failed" if failure.text else f"left with exit code {failure.code}"
        print(f"allgrad: rank {failure.rank} on {failure.host} {how}; the job was ended", file=sys.stderr)
        sys.stderr.write(failure.text)
        return failure.code or code or UNFINISHED
    if supervisor.ending is not None and code != 0:
        print(f"allgrad: the job was ended by {supervisor.ending.name}", file=sys.stderr)
        return 128 + supervisor.ending
    waited, missing = job.never_arrived()
    if waited and code != 0:
        shown = [", ".join(map(str, sorted(ranks))) or "not known" for ranks in (waited, missing)]
        print(
            f"allgrad: rank {shown[0]} waited for the world as long as it may (--timeout, ALLGRAD_TIMEOUT); not arrived:"
            f" rank {shown[1]}; the job was ended with exit code {HUNG}",
            file=sys.stderr,
        )
        return HUNG
    if supervisor.vanished:
        ranks = ", ".join(map(str, sorted(supervisor.vanished)))
        print(
            f"allgrad: rank {ranks} ended without coming to the end of the program and without a word (os._exit?);"
            " the job was ended",
            file=sys.stderr,
        )
        return UNFINISHED
    if code != 0:
        print(f"allgrad: the job ended with exit code {code}; {_reason(code, job)}", file=sys.stderr)
        return code
    if not job.finished:
        print(
            "allgrad: the launcher reports success, but rank 0 never came to the end of the program:"
            " it called os._exit, or its node was lost",
            file=sys.stderr,
        )
        return UNFINISHED
    return 0


def _reason(code: int, job: Job) -> str:
    """What can be said about a job whose ranks said nothing themselves."""
    if not job.started:
        return "no rank was started, mpirun says why"
    killed_by = {128 + number: number.name for number in signal.Signals} | {int(signal.SIGKILL): "SIGKILL"}
    if code in killed_by:  # MPICH gives the bare number
        why = ", for want of memory perhaps" if killed_by[code] == "SIGKILL" else ""
        return f"a rank was killed by {killed_by[code]}{why}; no rank reported an exception"
    return "no rank reported an exception; what was printed last may say why"


class _Supervisor:
    """The running job; ``asked`` is the first signal that was passed on, ``ending`` the first that asked for the end."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], job: Job, orphaned: int, signals: Signals
    ) -> None:
        self.job, self.signals = job, signals
        self.asked: signal.Signals | None = None
        self.ending: signal.Signals | None = None
        self.asking = 0  # how often somebody asked for the end
        self.vanished: set[int] = set()  # ranks that were gone without a word when the job was pushed to its end
        self.stage = 0  # how far the job has been pushed: 1 asked to end, 2 mpirun was told, 3 killed
        self.deadline: float | None = None  # when to push further
        self.stragglers_until: float | None = None
        self.vanished_until: float | None = None
        self.strangers = set(_children(os.getpid()))  # children of whoever called us in this process
        self.libc = ctypes.CDLL(None)
        me = os.getpid()

        def in_child() -> None:
            if hasattr(self.libc, "prctl"):
                self.libc.prctl(PR_SET_PDEATHSIG, orphaned)
                if os.getppid() != me:
                    os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, signals.before)

        if hasattr(self.libc, "prctl"):
            # Processes whose parent dies come to us, and are found and ended in sweep().
            self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        # A session of its own, so that Ctrl-C reaches the ranks once, from us.
        self.mpirun = subprocess.Popen(
            list(command),
            env=dict(environment),
            start_new_session=True,
            preexec_fn=in_child,
        )

    def wait(self) -> int:
        """The exit code of ``mpirun`` in the shell's manner (128 + signal), once nothing of the job is left."""
        try:
            while not self.reap():
                received = self.signals.take(POLL_S)
                if received is not None and received != signal.SIGCHLD:
                    self.pass_on(received)
                if self.stage == 0 and self.job.failure() is not None:
                    self.stage, self.deadline = 1, time.monotonic() + FAILED_GRACE_S
                elif self.stage == 0 and self.look_for_vanished():
                    self.push()
                elif self.job.finished and not self.job.local_processes():
                    self.end_stragglers()
                if self.deadline is not None and time.monotonic() > self.deadline:
                    self.push()
        finally:
            self.sweep()
        code = self.mpirun.returncode
        return 128 - code if code < 0 else code

    def look_for_vanished(self) -> bool:
        """Is a rank of this host gone for a while, without a word, while ``mpirun`` waits for the others?

        MPICH's waits for ever when a rank leaves by ``os._exit(0)`` before it has started MPI, and Open MPI's when
        the connection to another node is cut.
        """
        gone = self.job.vanished()
        if not gone:
            self.vanished_until = None
        elif self.vanished_until is None:
            self.vanished_until = time.monotonic() + VANISHED_GRACE_S
        elif time.monotonic() > self.vanished_until:
            self.vanished = gone
            return True
        return False

    def pass_on(self, number: signal.Signals) -> None:
        """Give a signal to the ranks of this host; to ``mpirun`` when there are none yet.

        Not through ``mpirun``: Open MPI's kills the ranks 0.25 s after SIGTERM, MPICH's dies of SIGUSR2.
        """
        self.asked = self.asked or number
        if number in ENDING:
            self.asking += 1
            # Who presses Ctrl-C twice means now; a second SIGTERM takes no time from a rank that writes a checkpoint.
            if self.asking >= (2 if number == signal.SIGINT else 3):
                self.push()
                return
            if self.ending is None:
                self.ending, self.stage, self.deadline = number, max(1, self.stage), time.monotonic() + GRACE_S[number]
        ranks = self.job.local_processes()
        for pid in ranks.values():
            with contextlib.suppress(ProcessLookupError):  # it has ended in between
                os.kill(pid, number)
        if not ranks and self.mpirun.returncode is None:
            # All of them live on other nodes.  USR1 is what every mpirun passes on and lets the ranks answer.
            gently = number == signal.SIGUSR2 or (number in (signal.SIGTERM, signal.SIGHUP) and self.job.started)
            self.mpirun.send_signal(signal.SIGUSR1 if gently else number)

    def push(self) -> None:
        """One step further towards the end: SIGTERM to ``mpirun``, then SIGKILL to all that is left."""
        self.stage = 2 if self.stage < 2 else 3
        if self.stage == 2:
            self.mpirun.terminate()
        else:
            self.kill([*self.job.local_processes().values(), self.mpirun.pid])
        self.deadline = time.monotonic() + KILL_GRACE_S

    def end_stragglers(self) -> None:
        """The ranks have ended well, but ``mpirun`` has not: perhaps a child of theirs still holds their output.

        Open MPI's waits for the end of every stream, for ever.  Children whose parent has died are ours now.
        """
        if self.stragglers_until is None:
            self.stragglers_until = time.monotonic() + STRAGGLER_GRACE_S
        elif time.monotonic() > self.stragglers_until:
            self.kill(self.children() - {self.mpirun.pid})

    def children(self) -> set[int]:
        """``mpirun``, and processes of the job whose parent has died."""
        return set(_children(os.getpid())) - self.strangers

    def kill(self, processes: Iterable[int]) -> None:
        """SIGKILL, whether they still live or not."""
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def reap(self) -> bool:
        """Collect ended children, adopted ones too; True once ``mpirun`` has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self.mpirun.returncode is not None
            if pid == 0:
                return self.mpirun.returncode is not None
            if pid == self.mpirun.pid:
                self.mpirun.returncode = os.waitstatus_to_exitcode(status)

    def sweep(self) -> None:
        """End whatever the job has left on this host: a short moment to end by itself, then SIGKILL."""
        until = time.monotonic() + 0.5
        while children := self.children():
            if time.monotonic() > until:
                self.kill(children)
            self.reap()
            time.sleep(0.01)


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            _, own_parent, *_ = path.read_text().rpartition(")")[2].split()
            if int(own_parent) == parent:
                found.append(int(path.parent.name))
    return found
