"""Control records: one message of fixed size by which all ranks tell each other which call they make.

Because every announced call of a group uses the same message, calls that differ still meet, and are found out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.comm.agreement import Call, compare, fit

# Length of the payload, text of the call, the payload if it fits.
_TEXT_AT, _PAYLOAD_AT, RECORD_BYTES = 8, 128, 384
FITS_BYTES = RECORD_BYTES - _PAYLOAD_AT


class Record:
    """A record under way: sent at once, complete when ``test()`` says so."""

    def __init__(self, comm: Any, size: int, call: Call, payload: bytes = b"", where: str = "") -> None:
        text = fit(call.signature() + where, _PAYLOAD_AT - _TEXT_AT)
        mine = (
            len(payload).to_bytes(_TEXT_AT, "little") + text.ljust(_PAYLOAD_AT - _TEXT_AT, b"\0") + payload[:FITS_BYTES]
        )
        self._call = call
        self._mine = np.frombuffer(mine.ljust(RECORD_BYTES, b"\0"), np.uint8)  # MPI reads it until the end
        self._rows = np.empty(size * RECORD_BYTES, np.uint8)
        self.request = comm.Iallgather(self._mine, self._rows)
        self._agreed = False

    def agreed(self) -> bool:
        """Whether all ranks have answered; MismatchError, on all of them, if they are in different calls."""
        if not self._agreed and self.request.Test():
            self.payloads()
            self._agreed = True
        return self._agreed

    def payloads(self) -> tuple[list[int], list[bytes]]:
        """Of the complete record: lengths of all payloads, and the payloads as far as they fit."""
        raw = self._rows.tobytes()
        starts = range(0, len(raw), RECORD_BYTES)
        compare([raw[start + _TEXT_AT : start + _PAYLOAD_AT] for start in starts], self._call)
        lengths = [int.from_bytes(raw[start : start + _TEXT_AT], "little") for start in starts]
        return lengths, [raw[start + _PAYLOAD_AT : start + _PAYLOAD_AT + n] for start, n in zip(starts, lengths)]
