"""An event file: records with checksums, appended as TensorBoard reads them while the program runs.

A record is its length (8 bytes), a checksum of the length (4), the data, a checksum of the data (4), little-endian.
The checksum is CRC-32C (RFC 3720, appendix B.4), rotated and offset as TensorFlow's record format has it.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
import weakref
from pathlib import Path

from allgrad.errors import ArgumentError
from allgrad.utils.tensorboard import wire

_POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()
_opened = itertools.count()  # so that files opened in the same second have different names


def crc32c(data: bytes) -> int:
    """CRC-32C of the bytes; about 50 ns a byte.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """The checksum as it is stored, so that a checksum of data with checksums inside stays strong."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """One framed record."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


class EventFile:
    """One ``events.out.tfevents.*`` file in ``folder``, new for each writer; flushed every ``max_queue`` events.

    Whatever was added reaches the disk at the latest ``flush_secs`` later with the next event, at ``close``, or
    when the object or the program ends.
    """

    def __init__(self, folder: Path, max_queue: int = 10, flush_secs: float = 120, suffix: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{next(_opened)}{suffix}"
        self.path = folder / name
        self._file = open(self.path, "xb")  # noqa: SIM115  closed by close() or by the finalizer
        self._closer = weakref.finalize(self, self._file.close)
        self._max_queue, self._flush_secs = max_queue, flush_secs
        self._waiting, self._flushed = 0, now
        self.add(wire.block(3, "brain.Event:2"), walltime=now)
        self.flush()

    def add(self, what: bytes, step: int | None = None, walltime: float | None = None) -> None:
        """Append an event with the field ``what``; ``walltime`` in seconds since 1970, now unless given."""
        if self._file.closed:
            raise ArgumentError(f"{self.path} is closed; make a new SummaryWriter to write more")
        now = time.time()
        event = wire.double(1, now if walltime is None else walltime)
        if step:  # zero is what a reader sees when the field is missing
            event += wire.integer(2, step)
        self._file.write(record(event + what))
        self._waiting += 1
        if self._waiting >= self._max_queue or now - self._flushed >= self._flush_secs:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system, for other programs to read."""
        if not self._file.closed:
            self._file.flush()
        self._waiting, self._flushed = 0, time.time()

    def close(self) -> None:
        """Flush and close; a second time does nothing."""
        self._closer()
