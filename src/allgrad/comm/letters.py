"""Messages between two MPI ranks as bytes with a seal: one byte that names their dtype.

MPI compares neither dtypes nor, where less is sent than the receiver has room for, counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.comm import exchange
from allgrad.comm.reduction import Array
from allgrad.errors import MismatchError

_SMALL_BYTES = 64 * 1024  # up to here the seal is copied behind the data; beyond, it travels by itself
_NAMES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
    "float64",
)  # fmt: skip


def _seal(flat: Array) -> Array:
    return np.array([_NAMES.index(flat.dtype.name)], np.uint8)


def sealed(flat: Array) -> list[Array]:
    """The pieces to send for ``flat``."""
    raw = flat.view(np.uint8)
    if raw.size <= _SMALL_BYTES:
        return [np.concatenate([raw, _seal(flat)])]
    return [*_cut(raw), _seal(flat)]


def empty(flat: Array) -> list[Array]:
    """Where the pieces of a message that fits ``flat`` go."""
    raw = flat.view(np.uint8)
    if raw.size <= _SMALL_BYTES:
        return [np.zeros(raw.size + 1, np.uint8)]
    return [*_cut(raw), np.zeros(1, np.uint8)]


def _cut(raw: Array) -> list[Array]:
    return [raw[i : i + exchange.CHUNK_BYTES] for i in range(0, raw.size, exchange.CHUNK_BYTES)]


def post(method: Callable[..., Any], pieces: list[Array], peer: int, tag: int) -> list[Any]:
    """``Isend`` or ``Irecv`` of all pieces."""
    return [method(piece, peer, tag) for piece in pieces]


def unseal(pieces: list[Array], got: int, flat: Array, who: str, what: str) -> None:
    """``got`` bytes have arrived in ``pieces``: bring them into ``flat``, or MismatchError if they are not what it takes."""
    if got != flat.nbytes + 1:
        raise MismatchError(
            f"{who} {max(got - 1, 0)} bytes {what} into {flat.size} elements of {flat.dtype}, {flat.nbytes} bytes"
        )
    seal = int(pieces[-1][-1])
    if seal != _NAMES.index(flat.dtype.name):
        name = _NAMES[seal] if seal < len(_NAMES) else "an unknown dtype"
        raise MismatchError(f"{who} {got - 1} bytes of {name} {what} into {flat.size} elements of {flat.dtype}")
    if len(pieces) == 1:
        flat.view(np.uint8)[...] = pieces[0][:-1]
