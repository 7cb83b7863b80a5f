"""All-reduce over several nodes with several ranks each: the sum travels along the nodes, once.

The fold runs in rank order, so the partial sum visits node 0, adds its ranks out of shared memory, goes on to node 1,
and so forth; from the last node the result travels back.  Both ways run at the same time, chunk by chunk, and each
local rank carries a span of its own.  Between two nodes each way carries the bytes of *one* rank, however many ranks a
node has; exchanging all ranks' spans directly (``exchange.by_messages``) would carry them once per rank.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from allgrad.comm.node import Channel
from allgrad.comm.progress import Steps
from allgrad.comm.reduction import Array, accumulate, accumulator, spans

CHUNK_BYTES = 512 * 1024
_AHEAD = 4  # chunks that are received, or not yet sent, at the same time


class Lane(NamedTuple):
    """This rank's place among the nodes: it exchanges its span with the same local rank of the neighbours."""

    comm: Any  # mpi4py communicator
    number: int  # this rank's local rank; it carries something if below ``lanes``
    lanes: int  # as many as the smallest node has ranks
    left: int | None  # rank of this lane on the node before, None on the first node
    right: int | None


def along_nodes(
    agreed: Callable[[], bool],
    channel: Channel,
    k: int,
    lane: Lane,
    windows: Sequence[Array],
    outs: Sequence[Array],
    tag: int,
    op: str,
    scale: float | None,
) -> Steps:
    """Call ``k``, posted on the node's ``channel``: this node's data lies in ``windows``, the result goes into ``outs``.

    ``outs`` are the windows themselves, or one array that the node shares; tags ``tag`` and ``tag + 1`` are used.
    """
    while not agreed() or not channel.all_arrived(k):
        yield
    if lane.number < lane.lanes:
        start, stop = spans(windows[0].size, lane.lanes, windows[0].itemsize)[lane.number]
        step = CHUNK_BYTES // windows[0].itemsize
        chunks = [slice(i, min(i + step, stop)) for i in range(start, stop, step)]
        under_way = [_forward(lane, chunks, windows, outs, tag, op, scale), _backward(lane, chunks, outs, tag + 1)]
        while under_way:
            under_way = [steps for steps in under_way if next(steps, _END) is not _END]
            if under_way:
                yield
    channel.finish(k)
    while not channel.all_done(k):
        yield


_END = object()


def _forward(
    lane: Lane,
    chunks: list[slice],
    windows: Sequence[Array],
    outs: Sequence[Array],
    tag: int,
    op: str,
    scale: float | None,
) -> Steps:
    """Take the partial sum of the nodes before, add this node's ranks, pass it on; the last node has the result."""
    dtype = windows[0].dtype
    wide = accumulator(dtype)
    arriving: deque[tuple[Array, Any]] = deque()
    leaving: deque[tuple[Array, Any]] = deque()
    asked = 0
    for chunk in chunks:
        while lane.left is not None and asked < len(chunks) and len(arriving) < _AHEAD:
            total = np.empty(chunks[asked].stop - chunks[asked].start, wide)
            arriving.append((total, lane.comm.Irecv(total.view(np.uint8), lane.left, tag)))
            asked += 1
        parts = [window[chunk] for window in windows]
        if lane.left is None:
            total = parts[0].astype(wide)
            parts = parts[1:]
        else:
            total, request = arriving.popleft()
            while not request.Test():
                yield
        accumulate(op, total, parts)
        if lane.right is not None:
            leaving.append((total, lane.comm.Isend(total.view(np.uint8), lane.right, tag)))
        else:
            if scale is not None:
                np.multiply(total, wide.type(scale), out=total)
            result = total.astype(dtype, copy=False)
            for out in outs:
                out[chunk] = result
            leaving.append((result, lane.comm.Isend(result.view(np.uint8), lane.left, tag + 1)))
        while len(leaving) > _AHEAD:
            yield from _sent(leaving)
    while leaving:
        yield from _sent(leaving)


def _backward(lane: Lane, chunks: list[slice], outs: Sequence[Array], tag: int) -> Steps:
    """Take the result from the node behind, write it down for this node, pass it on."""
    if lane.right is None:
        return
    dtype = outs[0].dtype
    arriving: deque[tuple[Array, Any]] = deque()
    leaving: deque[tuple[Array, Any]] = deque()
    asked = 0
    for chunk in chunks:
        while asked < len(chunks) and len(arriving) < _AHEAD:
            result = np.empty(chunks[asked].stop - chunks[asked].start, dtype)
            arriving.append((result, lane.comm.Irecv(result.view(np.uint8), lane.right, tag)))
            asked += 1
        result, request = arriving.popleft()
        while not request.Test():
            yield
        for out in outs:
            out[chunk] = result
        if lane.left is not None:
            leaving.append((result, lane.comm.Isend(result.view(np.uint8), lane.left, tag)))
        while len(leaving) > _AHEAD:
            yield from _sent(leaving)
    while leaving:
        yield from _sent(leaving)


def _sent(leaving: deque[tuple[Array, Any]]) -> Steps:
    """Wait until the oldest message has left; its memory is kept until then."""
    _, request = leaving[0]
    while not request.Test():
        yield
    leaving.popleft()
