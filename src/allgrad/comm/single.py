"""The world of one rank: no other process, no MPI, every collective is the identity."""

from __future__ import annotations

import socket
from typing import NoReturn

from allgrad.comm.agreement import Call
from allgrad.comm.protocol import Communicator, read_only
from allgrad.comm.reduction import Array, fold
from allgrad.comm.work import Buffer, DoneWork, Work, plain_buffer
from allgrad.errors import ArgumentError, UnsupportedError


class SingleCommunicator(Communicator):
    """One rank, rank 0 of 1."""

    kind = "single"
    rank = 0
    size = 1

    def __init__(self) -> None:
        super().__init__()
        self.host = socket.gethostname()
        self.hosts = (self.host,)

    def allocate(self, nbytes: int) -> Buffer:
        return plain_buffer(nbytes)

    def split(self, color: int | None, key: int = 0, label: str = "") -> Communicator | None:
        if color is None:
            return None
        comm = SingleCommunicator()
        comm.algorithm = self.algorithm
        return comm

    def abort(self, code: int = 1) -> NoReturn:
        raise SystemExit(code)

    def set_timeout(self, seconds: float) -> None:
        self.timeout_s = seconds  # kept for reports; nobody is waited for in vain here

    def close(self) -> None:
        self.sequence = 0

    def _all_gather_bytes(self, call: Call, payload: bytes) -> list[bytes]:
        return [payload]

    def _broadcast_bytes(self, call: Call, payload: bytes, root: int) -> bytes:
        return payload

    def _barrier(self, call: Call) -> None:
        return

    def _start_all_reduce(self, call: Call, flat: Array, op: str, scale: float | None, shared_result: bool) -> Work:
        if scale is not None:
            fold(op, [flat], [flat], scale)
        return DoneWork(read_only(flat) if shared_result else flat)

    def _broadcast(self, call: Call, flat: Array, root: int) -> None:
        return

    def _all_gather(self, call: Call, flat: Array, out: Array) -> None:
        out[0] = flat

    def _reduce_scatter(self, call: Call, flat: Array, op: str, scale: float | None, out: Array) -> None:
        fold(op, [flat], [out], scale)

    def _all_to_all(self, call: Call, flat: Array, send: list[int], recv: list[int], out: Array) -> None:
        if send != recv:
            raise ArgumentError(f"all_to_all on one rank: send_counts {send} differ from recv_counts {recv}")
        out[...] = flat

    def _gather(self, call: Call, flat: Array, root: int, out: Array | None) -> None:
        if out is not None:
            out[0] = flat

    def _scatter(self, call: Call, flat: Array | None, out: Array, root: int) -> None:
        if flat is not None:
            out[...] = flat

    def _reduce(self, call: Call, flat: Array, root: int, op: str, scale: float | None) -> None:
        if scale is not None:
            fold(op, [flat], [flat], scale)

    def _isend(self, flat: Array, peer: int, tag: int) -> Work:
        raise UnsupportedError("a world of one rank has nobody to send to")

    def _irecv(self, flat: Array, peer: int | None, tag: int) -> Work:
        raise UnsupportedError("a world of one rank has nobody to receive from; this would wait for ever")
