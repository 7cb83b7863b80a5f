"""All-reduce, step by step: in shared windows inside a node, by messages between nodes.

Each is a generator that yields wherever other ranks must do something first.  ``comm`` is an mpi4py communicator that
carries nothing else.  All of them fold in rank order, each element on exactly one rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from allgrad.comm.agreement import Call
from allgrad.comm.node import Channel
from allgrad.comm.progress import Steps
from allgrad.comm.record import Record
from allgrad.comm.reduction import Array, fold, spans

CHUNK_BYTES = 1 << 30  # one message at most: MPI counts to 2 GiB
SMALL_BYTES = 64 * 1024  # between nodes, up to here everybody sends everything to everybody
TOGETHER_BYTES = 512 * 1024  # up to here to all others at the same time


def message_tag(call: Call) -> int:
    """The tag of the call's messages; it may use the next one too.

    MPI promises tags up to 32767, and calls far apart are never under way at the same time.
    """
    return call.sequence % 16384 * 2


def in_window(
    channel: Channel, k: int, number: int, rank: int, windows: Sequence[Array], op: str, scale: float | None,
    result: Array | None,
) -> Steps:  # fmt: skip
    """Call ``k``, posted: every rank's data lies in ``windows`` (one (n,) per rank, seen by all).

    Each rank folds its span straight out of all windows, and writes it into ``result`` (shared by all) or, without one,
    back into every window.  Nothing is copied.
    """
    while not channel.all_arrived(k):
        yield
    channel.verify(k, number)
    mine = windows[0]
    start, stop = spans(mine.size, len(windows), mine.itemsize)[rank]
    if stop > start:
        parts = [window[start:stop] for window in windows]
        fold(op, parts, parts if result is None else [result[start:stop]], scale)
    channel.finish(k)
    while not channel.all_done(k):
        yield


def by_messages(
    comm: Any, agreed: Callable[[], bool], flat: Array, tag: int, op: str, scale: float | None, half: bool = False
) -> Steps:
    """Between nodes: each rank gets its span of every rank (all-to-all), folds it and sends the sum to all (all-gather).

    The same bytes as a ring.  Up to ``SMALL_BYTES`` every rank gets everything and folds it all itself: half the latency.
    ``agreed()`` says whether all ranks have announced the same call; it raises if not.  ``half``: without the all-gather.
    """
    while not agreed():
        yield
    rank, size = comm.Get_rank(), comm.Get_size()
    whole = flat.nbytes <= SMALL_BYTES
    cuts = [(0, flat.size)] * size if whole else spans(flat.size, size, flat.itemsize)
    start, stop = cuts[rank]
    rows = np.empty((size, stop - start), flat.dtype)
    before = [(rank - i) % size for i in range(1, size)]
    requests = [each for other in before for each in in_chunks(comm.Irecv, rows[other], other, tag)]
    parts = {other: flat[lo:hi] for other, (lo, hi) in enumerate(cuts)}
    together = flat.nbytes <= TOGETHER_BYTES
    yield from _in_turns(comm, parts, tag, requests if together else None)
    rows[rank] = flat[start:stop]
    for request in requests:
        while not request.Test():
            yield
    fold(op, list(rows), [flat[start:stop]], scale)
    if whole or half:
        return
    requests = [each for other in before for each in in_chunks(comm.Irecv, flat[slice(*cuts[other])], other, tag)]
    parts = dict.fromkeys(range(size), flat[start:stop])
    yield from _in_turns(comm, parts, tag, requests if together else None)
    for request in requests:
        while not request.Test():
            yield


def _in_turns(comm: Any, parts: dict[int, Array], tag: int, together: list[Any] | None = None) -> Steps:
    """Send ``parts[r]`` to rank r: to one after the other, the next rank first, so that each receives from one at a time too.

    Then mostly no two ranks send to each other at once, which on TCP takes half as long again: data and acknowledgements of
    the other's data stand in one queue.  Small parts go ``together``, a list that their requests are added to.
    """
    rank, size = comm.Get_rank(), comm.Get_size()
    for i in range(1, size):
        to = (rank + i) % size
        leaving = in_chunks(comm.Isend, parts[to], to, tag)
        if together is not None:
            together += leaving
            continue
        for request in leaving:
            while not request.Test():
                yield


def by_record(record: Record, flat: Array, op: str, scale: float | None) -> Steps:
    """The data fits into the message that announces the call."""
    while not record.agreed():
        yield
    fold(op, [np.frombuffer(row, flat.dtype) for row in record.payloads()[1]], [flat], scale)


def by_doubling(comm: Any, agreed: Callable[[], bool], flat: Array, tag: int, op: str, scale: float | None) -> Steps:
    """For many ranks and little data: after round i each rank has the data of 2^i ranks, at the end that of all.

    It then folds in rank order like every other way: the same bits, in log2(size) messages (Bruck and others, Efficient
    algorithms for all-to-all communications, 1997), where adding in each round would save bytes and change bits.
    """
    while not agreed():
        yield
    rank, size = comm.Get_rank(), comm.Get_size()
    rows = np.empty((size, flat.size), flat.dtype)  # row i is of rank + i
    rows[0] = flat
    have = 1
    while have < size:
        count = min(have, size - have)
        requests = in_chunks(comm.Irecv, rows[have : have + count].reshape(-1), (rank + have) % size, tag)
        requests += in_chunks(comm.Isend, rows[:count].reshape(-1), (rank - have) % size, tag)
        for request in requests:
            while not request.Test():
                yield
        have += count
    fold(op, [rows[(r - rank) % size] for r in range(size)], [flat], scale)


def by_library(
    comm: Any, agreed: Callable[[], bool], flat: Array, native: Any, in_place: Any, op: str, scale: float | None
) -> Steps:
    """MPI's own all-reduce, ``native`` its op: the low bits depend on the library and on the size of the buffer."""
    while not agreed():
        yield
    step = CHUNK_BYTES // flat.itemsize
    for start in range(0, flat.size, step):
        request = comm.Iallreduce(in_place, flat[start : start + step], op=native)
        while not request.Test():
            yield
    if scale is not None:
        fold(op, [flat], [flat], scale)


def in_chunks(method: Any, flat: Array, peer: int, tag: int) -> list[Any]:
    """``Isend`` or ``Irecv`` of ``flat`` as bytes, in messages that any MPI can count (below 2 GiB)."""
    raw = flat.view(np.uint8)
    return [method(raw[i : i + CHUNK_BYTES], peer, tag) for i in range(0, raw.size, CHUNK_BYTES)]
