"""Messages between two ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from allgrad.distributed.collectives import WorkHandle, flat_copy, tensor_array, written
from allgrad.distributed.group import ProcessGroup, group_of
from allgrad.errors import ArgumentError


def _peer(g: ProcessGroup, rank: int | None, group_rank: int | None, name: str) -> int:
    if group_rank is not None:
        return group_rank
    if rank is None or rank not in g.ranks:
        raise ArgumentError(f"{name}={rank} is not part of group {g}")
    return g.ranks.index(rank)


def isend(
    tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None
) -> WorkHandle:
    """Start sending ``tensor`` to rank ``dst``; it must not change before ``wait()``."""
    g = group_of(group)
    flat = np.ascontiguousarray(tensor_array(tensor)).reshape(-1)
    return WorkHandle(g.comm.isend(flat, _peer(g, dst, group_dst, "dst"), tag), lambda: None)


def irecv(
    tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None
) -> WorkHandle:
    """Start receiving into ``tensor`` from rank ``src``; None: from any."""
    g = group_of(group)
    flat, copied = flat_copy(tensor_array(tensor))
    source = None if src is None and group_src is None else _peer(g, src, group_src, "src")
    return WorkHandle(g.comm.irecv(flat, source, tag), lambda: written(tensor, flat, copied))


def send(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Send ``tensor`` to rank ``dst``."""
    isend(tensor, dst, group, tag, group_dst).wait()


def recv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """Receive into ``tensor`` from rank ``src`` (None: from any); the rank that sent it."""
    g = group_of(group)
    flat, copied = flat_copy(tensor_array(tensor))
    source = None if src is None and group_src is None else _peer(g, src, group_src, "src")
    found = g.comm.recv(flat, source, tag)
    written(tensor, flat, copied)
    return g.ranks[found]


class P2POp:
    """One message of ``batch_isend_irecv``: ``P2POp(isend, tensor, peer)``."""

    def __init__(
        self, op: Callable[..., Any], tensor: Any, peer: int | None = None, group: Any = None, tag: int = 0,
        group_peer: int | None = None,
    ) -> None:  # fmt: skip
        if op not in (isend, irecv):
            raise ArgumentError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or ``irecv``."
            )
        self.op, self.tensor, self.peer, self.group, self.tag, self.group_peer = (
            op,
            tensor,
            peer,
            group,
            tag,
            group_peer,
        )


def batch_isend_irecv(p2p_op_list: Sequence[P2POp]) -> list[WorkHandle]:
    """Start all messages; receives first, so that none waits for another."""
    if not p2p_op_list or not all(isinstance(p, P2POp) for p in p2p_op_list):
        raise ArgumentError("batch_isend_irecv needs a list of one or more P2POp")
    handles: dict[int, WorkHandle] = {}
    for k, p in sorted(enumerate(p2p_op_list), key=lambda item: item[1].op is isend):
        handles[k] = p.op(p.tensor, p.peer, p.group, p.tag, p.group_peer)
    return [handles[k] for k in range(len(p2p_op_list))]
