"""``torch.multiprocessing``: ``spawn`` runs its ranks as virtual ranks; everything else is the standard library's.

    mp.spawn(worker, args=(world_size,), nprocs=world_size, join=True)

``worker(rank, world_size)`` then calls ``init_process_group(rank=rank, world_size=world_size)`` as in PyTorch, and is
rank ``rank`` of a world of threads that take turns in this process.  Started by ``allgrad run -n N``, where N processes
exist already, ``spawn(nprocs=N)`` runs the worker once in each, so that the same file trains over MPI.
"""

from __future__ import annotations

import multiprocessing as _standard
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import (
    Array,
    Barrier,
    Condition,
    Event,
    JoinableQueue,
    Lock,
    Manager,
    Pipe,
    Queue,
    RLock,
    Semaphore,
    SimpleQueue,
    Value,
    active_children,
    cpu_count,
    current_process,
    freeze_support,
    get_all_start_methods,
    parent_process,
)
from multiprocessing.context import BaseContext, TimeoutError
from typing import Any

from allgrad.comm import detect, launch_world, run_virtual
from allgrad.errors import AllgradError, ArgumentError, LaunchError

START_METHODS = ("spawn", "fork", "forkserver")


class ProcessException(AllgradError, RuntimeError):
    """A rank of ``spawn`` ended badly; ``error_index`` is its rank, ``error_pid`` its process."""

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid = msg, error_index, pid


class ProcessRaisedException(ProcessException):
    """A rank of ``spawn`` raised; the message holds its traceback."""


class ProcessExitedException(ProcessException):
    """A rank of ``spawn`` left by ``sys.exit`` with an exit code that is not 0."""

    def __init__(
        self, msg: str, error_index: int, error_pid: int, exit_code: int, signal_name: str | None = None
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name


class ProcessContext:
    """What ``spawn(join=False)`` returns: wait for the ranks with ``join``."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, args=(run,), name="spawn", daemon=True)
        self._thread.start()

    def _main(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # raised by join(), in the thread that asked for the ranks
            self._error = error

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Whether all ranks have ended within ``timeout`` seconds; raises what a rank raised."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True


SpawnContext = ProcessContext


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run ``fn(rank, *args)`` on ``nprocs`` ranks.

    They are threads of this process that take turns (module globals are shared, ``daemon`` and ``start_method`` mean
    nothing), or, under a launcher, the ``nprocs`` processes that it started.  ProcessRaisedException if one fails.
    """
    if nprocs < 1:
        raise ArgumentError(f"nprocs must be at least 1, found {nprocs}")
    if start_method not in START_METHODS:
        raise ArgumentError(f"start_method must be one of {', '.join(START_METHODS)}, found {start_method!r}")
    promised = detect().size
    world = launch_world() if promised > 1 else None
    if world is not None and world.size != nprocs:
        raise LaunchError(
            f"spawn(nprocs={nprocs}) in a program that a launcher started on {world.size} ranks; give it nprocs="
            f"{world.size}, or start it with plain python: the ranks are then threads of one process"
        )

    def run() -> None:
        if world is not None:
            _one_rank(fn, args, world.rank)
        else:
            run_virtual(lambda: _one_rank(fn, args, launch_world().rank), nprocs)

    if not join:
        return ProcessContext(run)
    run()
    return None


def start_processes(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """``spawn`` by another name."""
    return spawn(fn, args, nprocs, join, daemon, start_method)


def _one_rank(fn: Callable[..., Any], args: tuple[Any, ...], rank: int) -> None:
    pid = current_process().pid or 0
    try:
        fn(rank, *args)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if code:
            raise ProcessExitedException(
                f"process {rank} terminated with exit code {code}", rank, pid, code
            ) from leaving
    except Exception as error:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        raise ProcessRaisedException(
            f"\n\n-- Process {rank} terminated with the following error:\n{text}", rank, pid
        ) from error


class Process(_standard.Process):
    """The standard library's, which refuses to fork once MPI runs in this process."""

    def start(self) -> None:
        """Start it by the start method that was set, or the platform's."""
        _refuse_fork(_standard.get_start_method())
        super().start()


def get_context(method: str | None = None) -> BaseContext:
    """The standard library's context; "spawn" by default, and "fork" is refused once MPI runs in this process."""
    chosen = method or _standard.get_start_method(allow_none=True) or "spawn"
    _refuse_fork(chosen)
    return _standard.get_context(chosen)


def set_start_method(method: str | None, force: bool = False) -> None:
    """As the standard library's; "fork" is refused once MPI runs in this process."""
    _refuse_fork(method)
    _standard.set_start_method(method, force=force)


def get_start_method(allow_none: bool = False) -> str | None:
    """How new processes are started; None if it was not chosen yet and ``allow_none``."""
    return _standard.get_start_method(allow_none=True) or (None if allow_none else "spawn")


def Pool(
    processes: int | None = None,
    initializer: Callable[..., Any] | None = None,
    initargs: tuple[Any, ...] = (),
    maxtasksperchild: int | None = None,
) -> Any:
    """A pool of processes of ``get_context()``."""
    return get_context().Pool(processes, initializer, initargs, maxtasksperchild)


def get_all_sharing_strategies() -> set[str]:
    """Tensors travel between processes as copies: one strategy."""
    return {"file_system"}


def get_sharing_strategy() -> str:
    """Always "file_system"."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted for PyTorch's sake ("file_system" or "file_descriptor"); tensors are copied."""
    if new_strategy not in ("file_system", "file_descriptor"):
        raise ArgumentError(f"sharing strategy must be file_system or file_descriptor, found {new_strategy!r}")


def _refuse_fork(method: str | None) -> None:
    mpi = sys.modules.get("mpi4py.MPI")
    if method == "fork" and mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized():
        raise LaunchError(
            'start method "fork" after MPI was started: the child would share MPI\'s state and hang or corrupt it; '
            'use set_start_method("spawn")'
        )


__all__ = [
    "Array",
    "Barrier",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "Queue",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "SpawnContext",
    "TimeoutError",
    "Value",
    "active_children",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_sharing_strategies",
    "get_all_start_methods",
    "get_context",
    "get_sharing_strategy",
    "get_start_method",
    "parent_process",
    "set_sharing_strategy",
    "set_start_method",
    "spawn",
    "start_processes",
]
