"""Named streams: a generator that depends on a name and some numbers only, not on who drew what before."""

from __future__ import annotations

import hashlib

import numpy as np

from allgrad.errors import DtypeError
from allgrad.random.generator import Generator


def stream(name: str, *keys: int | str) -> Generator:
    """The generator of ``name`` and ``keys``, the same on every rank and in every run.

    ``stream("sampler", seed, epoch)`` is independent of ``stream("worker", seed, epoch)`` and of every other epoch:
    SHA-256 of the parts seeds all 624 words of the state, so that no two streams in use ever meet.
    ``initial_seed()`` is the first 64 bits of that hash; ``manual_seed`` of it gives another stream.

    >>> stream("sampler", 0, 1).permutation(5).tolist() == stream("sampler", 0, 1).permutation(5).tolist()
    True
    """
    parts = []
    for part in (name, *keys):
        if not isinstance(part, (str, int, np.integer)):
            raise DtypeError(f"stream keys are integers or strings, found {part!r} ({type(part).__name__})")
        kind, text = ("s", part) if isinstance(part, str) else ("i", str(int(part)))
        data = text.encode()
        parts.append(f"{kind}{len(data)}:".encode() + data)  # with lengths: ("ab", "c") is not ("a", "bc")
    digest = hashlib.sha256(b"".join(parts)).digest()
    generator = Generator()
    generator._words.reseed(int.from_bytes(digest[:8], "little"), np.frombuffer(digest, "<u4").astype(np.uint32))
    return generator
