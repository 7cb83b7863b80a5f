"""One rank that fails ends the job: hooks that print its traceback once and end all ranks.

Plain MPI programs hang here: the failing rank waits in MPI's finalization for the others, who wait for it.
``sys.exit(3)`` is noticed too.  A bare ``raise SystemExit(3)`` cannot be: that rank counts as finished, and the others
stop with a MismatchError when they wait for it (``comm/watch.py``).
"""

from __future__ import annotations

import atexit
import builtins
import dis
import os
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

from allgrad.context import run_endings
from allgrad.errors import MismatchError

# Time for the launcher to pass on what was printed before it kills everybody.
_DRAIN_S = 0.2
# A rank that does not print gives the one that does this long to end the job.
_DEFER_S = 2.0
_OTHER_NODES_S = 2.0


# Called with the exit code before a rank ends the job: the launcher's bootstrap leaves word there who it was.
before_end: list[Callable[[int], object]] = []


class FailureHooks:
    """Installed once per process: uncaught exceptions in any thread, and ``sys.exit`` with a code other than 0.

    ``name`` is such as ``rank 1 of 4 on node2``; ``claim()`` is True for the rank that prints; ``end(code)`` ends the job;
    ``finish()`` is called at a normal end and may wait for the other ranks.
    """

    def __init__(
        self,
        name: str,
        claim: Callable[[], bool],
        end: Callable[[int], NoReturn],
        finish: Callable[[], None],
        first_node: bool = True,
    ) -> None:
        self._name, self._claim, self._end, self._finish, self._first_node = name, claim, end, finish, first_node
        self._exit: SystemExit | None = None
        self._root = _root_frame()
        self._process = os.getpid()  # a forked helper process inherits the hooks, but is no rank
        self._print_main = sys.excepthook
        self._print_thread = threading.excepthook

    def install(self) -> None:
        """Take over the interpreter's hooks; the previous ones still do the printing."""
        sys.excepthook = self._on_exception
        threading.excepthook = self._on_thread_exception
        sys.exit = self._sys_exit
        quitter = type(getattr(builtins, "exit", None))
        if quitter.__name__ == "Quitter":  # exit(3) typed in a program raises SystemExit without sys.exit
            setattr(quitter, "__call__", _quit)  # noqa: B010
        atexit.register(self._at_exit)

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.getpid() != self._process:
            self._print_main(kind, error, trace)
            self._exit = SystemExit(1)
            return
        if isinstance(error, MismatchError) and not self._first_node:
            time.sleep(_OTHER_NODES_S)  # all ranks raise it; those of the first node say it
        self._report(lambda: self._print_main(kind, error, trace))
        self._end(130 if issubclass(kind, KeyboardInterrupt) else 1)

    def _on_thread_exception(self, args: Any) -> None:
        if args.exc_type is SystemExit:  # ends its thread only, as ever
            return
        if os.getpid() != self._process:
            self._print_thread(args)
            return
        self._report(lambda: self._print_thread(args))
        self._end(1)

    def _report(self, show: Callable[[], object]) -> None:
        _flush()
        if self._claim():
            sys.stderr.write(f"[{self._name}] failed and ends the job:\n")
            show()
            _flush()
            time.sleep(_DRAIN_S)
        else:
            time.sleep(_DEFER_S)

    def _sys_exit(self, status: Any = None) -> NoReturn:
        self._exit = SystemExit(status)
        raise self._exit

    def _at_exit(self) -> None:
        if os.getpid() != self._process:
            _flush()
            os._exit(self._exit_code())  # else mpi4py would end MPI here, in a process that is no rank, and hang
        code = self._exit_code()
        if code == 0:
            try:
                # a bare SystemExit: the program did not come to its end, so the others are not waited for
                if self._exit is not None or self._root is None or _returned(self._root):
                    run_endings()
            except Exception as error:
                self._on_exception(type(error), error, error.__traceback__)
            self._finish()
            return
        _flush()
        if self._claim():
            sys.stderr.write(f"[{self._name}] exited with code {code} and ends the job\n")
            _flush()
            time.sleep(_DRAIN_S)
        else:
            time.sleep(_DEFER_S)
        self._end(code)

    def _exit_code(self) -> int:
        """The code of the ``sys.exit`` that is ending the program; 0 if the program ended otherwise."""
        error = self._exit
        if error is None or error.code in (None, 0) or (self._root is not None and _returned(self._root)):
            return 0  # the last case: somebody caught it, and the program went on to its end
        return error.code & 0xFF if isinstance(error.code, int) else 1


def _quit(_: Any, code: Any = None) -> NoReturn:
    sys.exit(code)


def _root_frame() -> FrameType | None:
    """The outermost frame of the main thread: the one of the program's module."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _returned(frame: FrameType) -> bool:
    """Whether a finished frame ended by returning; else an exception left it."""
    return frame.f_lasti >= 0 and dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
