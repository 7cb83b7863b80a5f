"""The world of MPI processes.  The only file that imports mpi4py, and importing it starts MPI.

Open MPI's settings below are made before MPI starts, and only where the user has not set them.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import warnings
import weakref
from typing import Any, NoReturn

import numpy as np

from allgrad.comm.arriving import arriving, timeout_of

# Without a fabric btl/ofi spends a second of MPI_Init looking for one; it serves one-sided traffic only.
os.environ.setdefault("OMPI_MCA_btl", "^ofi")
# Keeps the lines "OSC UCX component priority ..." off stderr whenever a window is made.
os.environ.setdefault("OMPI_MCA_osc", "^ucx")
# Ranks often share cores; an idle rank that gives its core away costs the others 0.06 ms instead of 8.
os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")

with arriving(), warnings.catch_warnings():
    # mpi4py warns of N worlds of one rank; mpi_world() below refuses them.
    warnings.simplefilter("ignore", RuntimeWarning)
    from mpi4py import MPI

from allgrad.comm.failure import FailureHooks, before_end
from allgrad.comm.launchenv import Launch, advice, detect
from allgrad.comm.mpicomm import MpiCommunicator
from allgrad.comm.node import BOARD_BYTES, FINISHED, Board, map_board
from allgrad.comm.progress import Queue
from allgrad.comm.reduction import Array
from allgrad.comm.watch import answer_with_stacks, await_others
from allgrad.errors import LaunchError

_PAGE = 4096
_EXIT_TAG = 1
# Left free in /dev/shm beside what is asked for: MPI's own segments grow there too.
_SPARE_BYTES = 4 * 1024 * 1024


class _Windows:
    """The windows of this process that are open, in the order in which they were made, and whether one was freed."""

    def __init__(self) -> None:
        self.open: list[Any] = []
        self.some_freed = False

    def free(self, window: Any) -> None:
        self.open = [w for w in self.open if w is not window]
        self.some_freed = True
        window.Free()

    def free_all(self) -> None:
        """At the end, oldest first, as on all ranks.

        Open MPI frees what is left in the order of its table, where a new window takes the place of a freed one: ranks of
        several groups would wait for each other in crossed order, for ever.
        """
        if self.some_freed:
            while self.open:
                self.open.pop(0).Free()


_windows = _Windows()


class SharedMemory:
    """A window of ``MPI.Win.Allocate_shared``: ``rows[r]`` is rank r's memory (nbytes,), ``common`` one more for all."""

    def __init__(self, window: Any, size: int, nbytes: int, common: int) -> None:
        self._window = window
        _windows.open.append(window)
        pages = _pages(nbytes)
        segments = [np.frombuffer(window.Shared_query(r)[0], np.uint8) for r in range(size)]
        self._segments = [weakref.ref(segment) for segment in segments]  # every array of the memory keeps its one alive
        skips = [-segment.ctypes.data % 64 for segment in segments]
        self.rows: list[Array] = [segment[skip : skip + nbytes] for segment, skip in zip(segments, skips)]
        self.common: Array = segments[0][skips[0] + pages :][:common]

    def unseen(self) -> bool:
        """Give up ``rows`` and ``common``; whether nobody in this process has an array of the memory any more."""
        self.rows, self.common = [], np.empty(0, np.uint8)
        return all(segment() is None for segment in self._segments)

    def free(self) -> None:
        """Unmap; collective.  Arrays made from the memory must not be touched any more."""
        self.rows, self.common = [], np.empty(0, np.uint8)
        _windows.free(self._window)


def _pages(nbytes: int) -> int:
    return -(-nbytes // _PAGE) * _PAGE


def share(comm: Any, nbytes: int, common: int = 0) -> SharedMemory | None:
    """``nbytes`` for each rank of ``comm`` (all on one node) and ``common`` for all; None, on all ranks, if it cannot be had.

    A window that does not fit into /dev/shm raises in Open MPI, and the job then hangs when MPI ends; so the free space
    is looked at first.  ``ALLGRAD_SHARED_MEMORY=0`` forbids windows.
    """
    size = comm.Get_size()
    mine = _pages(nbytes) + _PAGE + (_pages(common) if comm.Get_rank() == 0 else 0)
    possible = os.environ.get("ALLGRAD_SHARED_MEMORY", "1") != "0" and _fits(
        size * (_pages(nbytes) + _PAGE) + _pages(common)
    )
    if not _all(comm, possible):
        return None
    window = None
    try:
        window = MPI.Win.Allocate_shared(mine, 1, comm=comm)
    except MPI.Exception as error:
        sys.stderr.write(f"allgrad: no shared window of {mine} bytes ({error}); going on without\n")
    if not _all(comm, window is not None):
        return None
    return SharedMemory(window, size, nbytes, common)


def _fits(nbytes: int) -> bool:
    if not os.path.isdir("/dev/shm"):
        return True  # then MPI keeps its windows elsewhere
    disk = os.statvfs("/dev/shm")
    return disk.f_bavail * disk.f_frsize >= nbytes + _SPARE_BYTES


def _all(comm: Any, yes: bool) -> bool:
    return bool(comm.allreduce(1 if yes else 0, op=MPI.MIN))


def make_board(node: Any, ranks: list[int]) -> Board | None:
    """The board of a node in a small file that has no name any more once all have opened it; None if that fails."""
    path = ""
    if node.Get_rank() == 0:
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        try:
            handle, path = tempfile.mkstemp(prefix="allgrad-board-", dir=folder)
            os.write(handle, bytes(len(ranks) * BOARD_BYTES))
            os.close(handle)
        except OSError as error:
            sys.stderr.write(
                f"allgrad: no board of ranks in {folder or tempfile.gettempdir()} ({error}); going on without\n"
            )
    path = node.bcast(path, 0)
    rows = None
    if path:
        try:
            rows = map_board(path, len(ranks))
        except OSError as error:
            sys.stderr.write(
                f"allgrad: {path} cannot be opened on every rank of the node ({error}); going on without\n"
            )
    everywhere = _all(node, rows is not None)
    if path and node.Get_rank() == 0:
        os.unlink(path)
    return Board(rows, node.Get_rank(), ranks) if rows is not None and everywhere else None


class World:
    """This process in MPI's world, made once: who is where, the failure hooks, the board of the node."""

    def __init__(self, promised: Launch) -> None:
        found = MPI.COMM_WORLD.Get_size()
        if promised.size > found:
            raise LaunchError(
                f"{promised} on {socket.gethostname()}, but MPI ({library()}) sees a world of {found}: "
                f"{promised.size} separate programs would train on their own. {advice(promised)}"
            )
        self.comm = MPI.COMM_WORLD.Dup()
        self.rank, self.size = self.comm.Get_rank(), found
        self.host = socket.gethostname()
        node = self._find_node()
        leader = node.bcast(self.rank, 0)
        facts = self.comm.allgather((self.host, leader))
        self.hosts = tuple(host for host, _ in facts)
        self.node_of = tuple(leader for _, leader in facts)  # world rank -> lowest rank on its node
        self.name = f"rank {self.rank} of {self.size} on {self.host}"
        # Launchers do not pass all variables on to other nodes: those of rank 0 hold for all.
        settings = ("ALLGRAD_ALGORITHM", "auto"), ("ALLGRAD_CHECK_COLLECTIVES", "1"), ("ALLGRAD_TIMEOUT", "600")
        told = self.comm.bcast([os.environ.get(name, default) for name, default in settings])
        self.algorithm: str = told[0]
        self.check_collectives = told[1] != "0"
        self.timeout_s = timeout_of(told[2])
        self.communicator: MpiCommunicator | None = None
        self.queues: list[Queue] = []
        self._ended: set[int] = set()
        self._notices = self.comm.Dup()
        local = [r for r in range(self.size) if self.node_of[r] == leader]
        self.board = make_board(node, local)
        answer_with_stacks()
        self.hooks = FailureHooks(self.name, self._claim, self.end, self._finish, leader == 0)
        self.hooks.install()

    def forget(self, communicator: MpiCommunicator) -> None:
        """``communicator`` was closed."""
        if self.communicator is communicator:
            self.communicator = None

    def _find_node(self) -> Any:
        """The ranks that can share memory with this one, as an mpi4py communicator."""
        return self.comm.Split_type(MPI.COMM_TYPE_SHARED, self.rank)

    def end(self, code: int) -> NoReturn:
        """End all ranks of the job now."""
        for tell in before_end:
            tell(code)
        MPI.COMM_WORLD.Abort(code)
        os._exit(code)  # should Abort return

    def poke(self) -> None:
        """Let MPI move messages, and collect the notices of ranks on other nodes that have finished."""
        status = MPI.Status()
        while self._notices.Iprobe(MPI.ANY_SOURCE, _EXIT_TAG, status):
            self._notices.Recv(np.empty(0, np.uint8), status.Get_source(), _EXIT_TAG)
            self._ended.add(status.Get_source())

    def finished(self) -> set[int]:
        """World ranks that have ended their program, as far as known here."""
        return self._ended | set(self.board.in_state(FINISHED) if self.board is not None else [])

    def _claim(self) -> bool:
        return self.board is None or self.board.claim_report()

    def _finish(self) -> None:
        """Tell everybody that this rank is done, and wait until they are: MPI ends only together."""
        if MPI.Is_finalized():
            return
        nothing = np.empty(0, np.uint8)
        others = [r for r in range(self.size) if r != self.rank]
        requests = [self._notices.Isend(nothing, r, _EXIT_TAG) for r in others]
        await_others(self.board, lambda: len(self._ended) == len(others), self.poke)
        MPI.Request.Waitall(requests)
        _windows.free_all()

    # -- what communicators need of MPI ---------------------------------------------------------------------------

    share = staticmethod(share)
    any_source = MPI.ANY_SOURCE
    in_place = MPI.IN_PLACE
    error = MPI.Exception
    undefined = MPI.UNDEFINED
    status = MPI.Status
    library_ops = {
        "sum": MPI.SUM, "prod": MPI.PROD, "min": MPI.MIN, "max": MPI.MAX, "band": MPI.BAND, "bor": MPI.BOR, "bxor": MPI.BXOR,
    }  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """Library, version of the standard, thread level."""
        levels = {
            MPI.THREAD_SINGLE: "single", MPI.THREAD_FUNNELED: "funneled",
            MPI.THREAD_SERIALIZED: "serialized", MPI.THREAD_MULTIPLE: "multiple",
        }  # fmt: skip
        return {
            "library": library(),
            "standard": ".".join(str(n) for n in MPI.Get_version()),
            "thread_level": levels[MPI.Query_thread()],
            "launcher": detect().launcher,
        }


def library() -> str:
    """Such as ``Open MPI 5.0.11``."""
    name, version = MPI.get_vendor()
    return f"{name} {'.'.join(str(n) for n in version)}"


_process_world: list[World] = []  # MPI has one world per process; empty until it is asked for


def mpi_world(promised: Launch | None = None) -> MpiCommunicator:
    """The communicator of all ranks that MPI started together; LaunchError if they are fewer than ``promised``.

    Always the same one, until it is closed.
    """
    if not _process_world:
        _process_world.append(World(detect() if promised is None else promised))
    world = _process_world[0]
    if world.communicator is None:
        world.communicator = MpiCommunicator(world, world.comm.Dup(), "world", tuple(range(world.size)))
    return world.communicator
