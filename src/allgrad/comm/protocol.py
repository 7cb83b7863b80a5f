"""The one protocol between ranks.  Three worlds speak it: ``single``, ``virtual`` and ``mpi``.

Public methods check their arguments and announce the call; the ``_underscored`` ones move data, one set per world.
Everything works on contiguous 1-D NumPy arrays of allgrad's dtypes.  Reductions are the left fold in rank order
of ``comm/reduction.py``: the same bits in every world of the same size.

    control plane   all_gather_bytes, broadcast_bytes, barrier
    data plane      all_reduce, broadcast, all_gather, reduce_scatter, all_to_all, gather, scatter, reduce,
                    send, recv, isend, irecv
    under way       start_all_reduce -> Work, progress
    memory          allocate -> Buffer
    groups          split, subgroup, close, abort
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from allgrad.comm.agreement import OWN_SPAN, Call
from allgrad.comm.reduction import Array, accumulator, check_op, scaled
from allgrad.comm.work import Buffer, Work
from allgrad.errors import ArgumentError, DtypeError, ShapeError

ALGORITHMS = ("auto", "ordered", "window", "hierarchical", "doubling", "library")


def check_flat(flat: Any, name: str = "flat") -> Array:
    """``flat`` itself if it is a contiguous 1-D array of one of our dtypes; else a typed error saying how to get one."""
    if not isinstance(flat, np.ndarray):
        raise DtypeError(f"{name} must be a NumPy array, found {type(flat).__name__}")
    if flat.ndim != 1 or not flat.flags.c_contiguous:
        what = f"shape {flat.shape}" if flat.ndim != 1 else f"stride {flat.strides[0]} bytes"
        raise ShapeError(
            f"{name} must be one-dimensional and contiguous, found {what}; try np.ascontiguousarray(x).reshape(-1)"
        )
    accumulator(flat.dtype)
    return flat


def check_writable(flat: Any, name: str = "flat") -> Array:
    """``check_flat``, and the result is written there."""
    if not check_flat(flat, name).flags.writeable:
        raise ArgumentError(f"{name} is read-only, but the result is written into it; try {name}.copy()")
    return flat


def read_only(flat: Array) -> Array:
    """A view that cannot be written through."""
    view = flat.view()
    view.flags.writeable = False
    return view


class Communicator(ABC):
    """A group of ranks as one of them sees it.

    ``rank`` of ``size``; ``local_rank`` of ``local_size`` on ``host``; ``nodes`` hosts in all, ``hosts[r]`` that of rank r.
    Calls must come from one thread at a time, and in the same order on every rank.
    """

    kind: str
    rank: int
    size: int
    local_rank: int = 0
    local_size: int = 1
    host: str
    hosts: tuple[str, ...]
    nodes: int = 1
    group: Any = None  # the default process group that the layer above made of this world
    leases: Any = None  # what of it the layer above has lent to wrapped models

    def __init__(self) -> None:
        self.sequence = 0
        self.algorithm = os.environ.get("ALLGRAD_ALGORITHM", "auto")
        # Compare op, dtype and count over all ranks before data moves: one small message more (2 to 8 µs on a node).
        self.check_collectives = os.environ.get("ALLGRAD_CHECK_COLLECTIVES", "1") != "0"

    @property
    def algorithm(self) -> str:
        """The way that all-reduces of this group take, the same on every rank; ``ALLGRAD_ALGORITHM`` of rank 0 at first.

        "auto": the fastest of "window" (shared memory of the node), "hierarchical" (that, and one rank's bytes between two
        nodes), "doubling" (log2(size) messages) and "ordered" (direct messages), by size and place of the data.  These all
        give the same bits, in worlds of one process there is only one of them, and where a group cannot go the way asked
        for it goes as with "auto".  "library" is MPI's own all-reduce, whose low bits depend on library and buffer size.
        """
        return self._algorithm

    @algorithm.setter
    def algorithm(self, name: str) -> None:
        if name not in ALGORITHMS:
            raise ArgumentError(f"algorithm (ALLGRAD_ALGORITHM) must be one of {', '.join(ALGORITHMS)}, found {name!r}")
        self._algorithm = name
        self._asked = () if name == "auto" else (name,)  # part of every all-reduce's text, so that ranks compare it

    def __repr__(self) -> str:
        return f"<{self.kind} rank {self.rank} of {self.size} on {self.host}>"

    # -- control plane --------------------------------------------------------------------------------------------

    def all_gather_bytes(self, payload: bytes, label: str = "") -> list[bytes]:
        """Every rank's ``payload``, in rank order.  Sizes may differ; one message up to about 200 bytes each."""
        if self.size == 1:
            return [bytes(payload)]
        return self._all_gather_bytes(self._call("all_gather_bytes", label=label), bytes(payload))

    def broadcast_bytes(self, payload: bytes | None, root: int = 0, label: str = "") -> bytes:
        """The ``payload`` of ``root``; the others may give None."""
        self._check_rank(root, "root")
        if self.rank == root and payload is None:
            raise ArgumentError(f"broadcast_bytes on its root, rank {root}, needs a payload, found None")
        if self.size == 1:
            return bytes(payload or b"")
        return self._broadcast_bytes(self._call("broadcast_bytes", root, label=label), bytes(payload or b""), root)

    def barrier(self, label: str = "") -> None:
        """Return when every rank has called it."""
        if self.size > 1:
            self._barrier(self._call("barrier", label=label))

    # -- data plane -----------------------------------------------------------------------------------------------

    def all_reduce(self, flat: Array, op: str = "sum", *, scale: float | None = None, label: str = "") -> None:
        """Replace ``flat`` (n,) by the fold over all ranks, times ``scale``; in place."""
        check_writable(flat)
        check_op(op, flat.dtype, scale is not None)
        call = self._call("all_reduce", scaled(op, scale), flat.dtype, flat.size, *self._asked, label=label)
        self._all_reduce(call, flat, op, scale)

    def all_reduce_behind(
        self, notice: Array, told: Array, flat: Array, op: str, scale: float | None, label: str, front: str
    ) -> bool:
        """The sum of all ranks' ``notice`` into ``told``, as ``all_reduce(told, label=front)`` on other ranks: False.

        Or, if it can be had in the same meeting and all ranks are in this very call, ``all_reduce(flat, op, …)``: True.
        """
        told[...] = notice
        self.all_reduce(told, label=front)
        return False

    def start_all_reduce(
        self, flat: Array, op: str = "sum", *, scale: float | None = None, shared_result: bool = False,
        own_span: bool = False, label: str = "",
    ) -> Work:  # fmt: skip
        """Start ``all_reduce``; ``flat`` belongs to the communicator until ``wait()``.  It takes no copies where ``flat``
        lies in a buffer of ``allocate``, at the same place on every rank.

        ``work.result`` is ``flat`` itself.  With ``shared_result`` it is read-only, may be memory that all ranks of the
        node share (the fastest way), and holds until this rank starts again on the same memory; what ``flat`` then holds
        is not defined.  Work is done in the order in which it was started.  With ``own_span`` only this rank's one of the
        ``reduction.spans`` is sure to hold the result: half the bytes between nodes.
        """
        check_writable(flat)
        check_op(op, flat.dtype, scale is not None)
        facts = (*self._asked, OWN_SPAN) if own_span else self._asked
        call = self._call("all_reduce", scaled(op, scale), flat.dtype, flat.size, *facts, label=label)
        return self._start_all_reduce(call, flat, op, scale, shared_result)

    @property
    def idle(self) -> bool:
        """Whether no work is under way here, and none has failed."""
        return True

    def progress(self) -> None:
        """Push started work on without waiting.  Costs next to nothing when there is none."""
        return

    def broadcast(self, flat: Array, root: int = 0, label: str = "") -> None:
        """Replace ``flat`` (n,) by that of ``root``; in place."""
        check_writable(flat)
        self._check_rank(root, "root")
        self._broadcast(self._call("broadcast", flat.dtype, flat.size, root, label=label), flat, root)

    def all_gather(self, flat: Array, label: str = "") -> Array:
        """(n,) of every rank -> (size, n)."""
        check_flat(flat)
        out = np.empty((self.size, flat.size), flat.dtype)
        self._all_gather(self._call("all_gather", flat.dtype, flat.size, label=label), flat, out)
        return out

    def reduce_scatter(self, flat: Array, op: str = "sum", *, scale: float | None = None, label: str = "") -> Array:
        """(size * n,) of every rank -> (n,): rank r gets the fold of all ranks' r-th block."""
        check_flat(flat)
        check_op(op, flat.dtype, scale is not None)
        self._check_blocks(flat, "reduce_scatter")
        out = np.empty(flat.size // self.size, flat.dtype)
        call = self._call("reduce_scatter", scaled(op, scale), flat.dtype, flat.size, label=label)
        self._reduce_scatter(call, flat, op, scale, out)
        return out

    def all_to_all(
        self,
        flat: Array,
        send_counts: Sequence[int] | None = None,
        recv_counts: Sequence[int] | None = None,
        label: str = "",
    ) -> Array:
        """Block r of ``flat`` goes to rank r; the blocks received, in rank order.  Without counts the blocks are equal.

        Counts are in elements; ``recv_counts[r]`` here must be ``send_counts[self.rank]`` on rank r.
        """
        check_flat(flat)
        if send_counts is None:
            self._check_blocks(flat, "all_to_all")
            send_counts = [flat.size // self.size] * self.size
        if recv_counts is None:
            recv_counts = list(send_counts)
        for name, counts in (("send_counts", send_counts), ("recv_counts", recv_counts)):
            if len(counts) != self.size or min(counts) < 0:
                raise ArgumentError(f"{name} must hold {self.size} counts of at least 0, found {list(counts)}")
        if sum(send_counts) != flat.size:
            raise ArgumentError(
                f"send_counts {list(send_counts)} add up to {sum(send_counts)}, but flat has {flat.size} elements"
            )
        out = np.empty(sum(recv_counts), flat.dtype)
        self._all_to_all(
            self._call("all_to_all", flat.dtype, label=label), flat, list(send_counts), list(recv_counts), out
        )
        return out

    def gather(self, flat: Array, root: int = 0, label: str = "") -> Array | None:
        """(n,) of every rank -> (size, n) on ``root``, None elsewhere."""
        check_flat(flat)
        self._check_rank(root, "root")
        out = np.empty((self.size, flat.size), flat.dtype) if self.rank == root else None
        self._gather(self._call("gather", flat.dtype, flat.size, root, label=label), flat, root, out)
        return out

    def scatter(self, flat: Array | None, out: Array, root: int = 0, label: str = "") -> None:
        """Block r of the root's ``flat`` (size * n,) into ``out`` (n,) of rank r; the others may give None."""
        check_writable(out, "out")
        self._check_rank(root, "root")
        if self.rank == root:
            check_flat(flat)
            if flat is None or flat.size != self.size * out.size or flat.dtype != out.dtype:
                raise ShapeError(
                    f"scatter on its root needs {self.size} blocks of {out.size} elements of {out.dtype}, "
                    f"found {0 if flat is None else flat.size} elements of {None if flat is None else flat.dtype}"
                )
        self._scatter(self._call("scatter", out.dtype, out.size, root, label=label), flat, out, root)

    def reduce(
        self, flat: Array, root: int = 0, op: str = "sum", *, scale: float | None = None, label: str = ""
    ) -> None:
        """Replace ``flat`` (n,) on ``root`` by the fold over all ranks; the others keep theirs."""
        check_writable(flat)
        check_op(op, flat.dtype, scale is not None)
        self._check_rank(root, "root")
        call = self._call("reduce", scaled(op, scale), flat.dtype, flat.size, root, label=label)
        self._reduce(call, flat, root, op, scale)

    # -- between two ranks ----------------------------------------------------------------------------------------

    def send(self, flat: Array, peer: int, tag: int = 0) -> None:
        """Send ``flat`` to rank ``peer``; returns when ``flat`` may be changed again, perhaps only once it is received."""
        self.isend(flat, peer, tag).wait()

    def recv(self, flat: Array, peer: int | None = None, tag: int = 0) -> int:
        """Receive into ``flat`` from rank ``peer`` (None: from any); the rank that sent it.  Sizes must agree."""
        work = self.irecv(flat, peer, tag)
        work.wait()
        source: int = getattr(work, "source", self.rank if peer is None else peer)
        return source

    def isend(self, flat: Array, peer: int, tag: int = 0) -> Work:
        """Start ``send``; ``flat`` must not change before ``wait()``."""
        check_flat(flat)
        self._check_peer(peer, tag, "isend")
        return self._isend(flat, peer, tag)

    def irecv(self, flat: Array, peer: int | None = None, tag: int = 0) -> Work:
        """Start ``recv``; ``flat`` is complete after ``wait()``, and ``work.source`` is the rank that sent it."""
        check_writable(flat)
        if peer is not None:
            self._check_peer(peer, tag, "irecv")
        return self._irecv(flat, peer, tag)

    # -- memory and groups ----------------------------------------------------------------------------------------

    @abstractmethod
    def allocate(self, nbytes: int) -> Buffer:
        """Zeroed memory of ``nbytes``, where possible such that all-reduce needs no copies.  Collective, same size on all."""

    @abstractmethod
    def split(self, color: int | None, key: int = 0, label: str = "") -> Communicator | None:
        """A new group of the ranks that give the same ``color``, ordered by ``key``, then rank.  None: in no group."""

    def subgroup(self, ranks: Sequence[int]) -> Communicator | None:
        """The group of ``ranks``, numbered in the order given; None on the others.  Collective over *this* group."""
        members = list(ranks)
        for rank in members:
            self._check_rank(rank, "a rank of the subgroup")
        if len(set(members)) != len(members) or not members:
            raise ArgumentError(f"a subgroup needs at least one rank and each once, found {members}")
        inside = self.rank in members
        return self.split(0 if inside else None, members.index(self.rank) if inside else 0, f"ranks {members}")

    @abstractmethod
    def abort(self, code: int = 1) -> NoReturn:
        """End all ranks of the job at once with exit code ``code``."""

    @abstractmethod
    def close(self) -> None:
        """Give up the group; collective.  Buffers of ``allocate`` stay readable.  A second call does nothing."""

    @abstractmethod
    def set_timeout(self, seconds: float) -> None:
        """End the job when a rank was waited for so long; a world within one process sees at once that nobody will come."""

    def describe(self) -> dict[str, Any]:
        """Facts for reports: kind, size, nodes, and in the MPI world library, thread level and algorithm."""
        return {
            "kind": self.kind,
            "size": self.size,
            "nodes": self.nodes,
            "local_size": self.local_size,
            "host": self.host,
        }

    # -- what a world provides ------------------------------------------------------------------------------------

    @abstractmethod
    def _all_gather_bytes(self, call: Call, payload: bytes) -> list[bytes]: ...

    @abstractmethod
    def _broadcast_bytes(self, call: Call, payload: bytes, root: int) -> bytes: ...

    @abstractmethod
    def _barrier(self, call: Call) -> None: ...

    @abstractmethod
    def _start_all_reduce(self, call: Call, flat: Array, op: str, scale: float | None, shared_result: bool) -> Work: ...

    @abstractmethod
    def _broadcast(self, call: Call, flat: Array, root: int) -> None: ...

    @abstractmethod
    def _all_gather(self, call: Call, flat: Array, out: Array) -> None: ...

    @abstractmethod
    def _reduce_scatter(self, call: Call, flat: Array, op: str, scale: float | None, out: Array) -> None: ...

    @abstractmethod
    def _all_to_all(self, call: Call, flat: Array, send: list[int], recv: list[int], out: Array) -> None: ...

    @abstractmethod
    def _gather(self, call: Call, flat: Array, root: int, out: Array | None) -> None: ...

    @abstractmethod
    def _scatter(self, call: Call, flat: Array | None, out: Array, root: int) -> None: ...

    @abstractmethod
    def _reduce(self, call: Call, flat: Array, root: int, op: str, scale: float | None) -> None: ...

    @abstractmethod
    def _isend(self, flat: Array, peer: int, tag: int) -> Work: ...

    @abstractmethod
    def _irecv(self, flat: Array, peer: int | None, tag: int) -> Work: ...

    def _all_reduce(self, call: Call, flat: Array, op: str, scale: float | None) -> None:
        self._start_all_reduce(call, flat, op, scale, False).wait()

    # -- checks ---------------------------------------------------------------------------------------------------

    def _call(self, name: str, *facts: Any, label: str = "") -> Call:
        """Number this collective call."""
        self.sequence += 1
        return Call(self.sequence, name, facts, label)

    def _check_rank(self, rank: int, what: str) -> None:
        if not 0 <= rank < self.size:
            raise ArgumentError(f"{what} must be a rank from 0 to {self.size - 1}, found {rank}")

    def _check_peer(self, peer: int, tag: int, name: str) -> None:
        self._check_rank(peer, "peer")
        if not 0 <= tag < 32768:  # MPI promises tags up to 32767
            raise ArgumentError(f"tag must lie from 0 to 32767, found {tag}")
        if peer == self.rank:
            raise ArgumentError(f"{name}: rank {peer} cannot exchange messages with itself; copy the array instead")

    def _check_blocks(self, flat: Array, name: str) -> None:
        if flat.size % self.size:
            raise ShapeError(f"{name} needs {self.size} equal blocks, but flat has {flat.size} elements")
