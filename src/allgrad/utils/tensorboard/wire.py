"""The wire format of protocol buffers, as far as event files need it: each function gives the bytes of one field.

Source: "Encoding", protobuf.dev.  A field is a key, ``number << 3 | wire type``, and its value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def _number(n: int) -> bytes:
    """Seven bits a byte, lowest first; a negative number is its 64-bit two's complement."""
    n &= 2**64 - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _key(field: int, kind: int) -> bytes:
    return _number(field << 3 | kind)


def integer(field: int, value: int) -> bytes:
    """An int64, bool or enum."""
    return _key(field, _VARINT) + _number(int(value))


def double(field: int, value: float) -> bytes:
    """A float64."""
    return _key(field, _EIGHT_BYTES) + struct.pack("<d", value)


def single(field: int, value: float) -> bytes:
    """A float32; a finite number beyond its range becomes infinite."""
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        packed = struct.pack("<f", float("inf") if value > 0 else float("-inf"))
    return _key(field, _FOUR_BYTES) + packed


def block(field: int, *parts: bytes | str) -> bytes:
    """A string, bytes, or a message made of the fields in ``parts``."""
    data = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    return _key(field, _LENGTH) + _number(len(data)) + data


def doubles(field: int, values: Iterable[float]) -> bytes:
    """A packed list of float64."""
    numbers = list(values)
    return block(field, struct.pack(f"<{len(numbers)}d", *numbers))
