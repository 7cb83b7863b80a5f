"""The Mersenne Twister behind every generator: 32-bit words, 53-bit uniforms, and a state in PyTorch's bytes.

Source: M. Matsumoto, T. Nishimura, "Mersenne Twister" (1998).  NumPy's own MT19937 makes the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from allgrad.errors import ArgumentError

STATE_BYTES = 5056
# One record of 5056 bytes, the layout in which PyTorch 2.x returns torch.get_rng_state() on the CPU.
_LAYOUT = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "key", "cached", "has_cached"],
        "formats": ["<u8", "<i4", "<i4", "<u8", ("<u8", 624), "<f8", "<i4"],
        "offsets": [0, 8, 12, 16, 24, 5024, 5040],
        "itemsize": STATE_BYTES,
    }
)
_SMALL = 2048  # below this many words random_raw's short call beats integers(), above it its 8 bytes a word lose


class Words:
    """A stream of 32-bit words, and the second half of the last pair of normals if it is still unused."""

    __slots__ = ("_bits", "_numpy", "cached", "seed")

    def __init__(self) -> None:
        self._bits = np.random.MT19937(0)
        self._numpy = np.random.Generator(self._bits)
        self.seed = 0
        self.cached: float | None = None

    def reseed(self, seed: int, entropy: Any = None) -> None:
        """Start anew from the low 32 bits of ``seed`` as PyTorch does, or from an array of 32-bit words."""
        start = np.random.RandomState(seed & 0xFFFFFFFF if entropy is None else entropy)
        state: Any = start.get_state(legacy=False)
        self._bits.state = state
        self.seed = seed
        self.cached = None

    def take(self, n: int) -> np.ndarray:
        """The next ``n`` words, uint32: -> (n,)."""
        if n < _SMALL:
            return self._bits.random_raw(n).astype(np.uint32)
        return self._numpy.integers(0, 2**32, size=n, dtype=np.uint32)

    def take64(self, n: int) -> np.ndarray:
        """``n`` numbers of 64 bits out of two words each, the first word on top: -> (n,) uint64."""
        pairs = self.take(2 * n).astype("<u4", copy=False).view("<u8")
        return (pairs << np.uint64(32)) | (pairs >> np.uint64(32))

    def floats(self, n: int) -> np.ndarray:
        """Uniform in [0, 1) on 24 bits of one word each: -> (n,) float32."""
        words = self.take(n)
        words &= np.uint32(0xFFFFFF)
        out = words.view(np.int32).astype(np.float32)
        out *= np.float32(2.0**-24)
        return out

    def doubles(self, n: int) -> np.ndarray:
        """Uniform in [0, 1) on 53 bits of two words each: -> (n,) float64."""
        words = self.take64(n)
        words &= np.uint64(2**53 - 1)
        out = words.view(np.int64).astype(np.float64)
        out *= 2.0**-53
        return out

    def skip(self, n: int) -> None:
        """Pass over ``n`` words."""
        self._bits.random_raw(n, output=False)

    def pack(self) -> np.ndarray:
        """The whole state: -> (5056,) uint8, byte for byte what PyTorch would give."""
        inner: Any = self._bits.state["state"]
        used = int(inner["pos"])
        record = np.zeros((), _LAYOUT)
        record["seed"] = self.seed
        record["seeded"] = 1
        # A fresh PyTorch generator says next = 0, a drained one 624; both have one word left to count down.
        fresh = used == 624 and int(inner["key"][0]) == self.seed & 0xFFFFFFFF
        record["next"] = 0 if fresh else used
        record["left"] = 625 - used
        record["key"] = inner["key"]
        record["cached"] = 0.0 if self.cached is None else self.cached
        record["has_cached"] = self.cached is not None
        return np.frombuffer(record.tobytes(), np.uint8).copy()

    def unpack(self, state: Any) -> None:
        """Take over a state from ``pack`` or from PyTorch."""
        raw = np.asarray(state)
        if raw.dtype != np.uint8 or raw.size != STATE_BYTES:
            raise ArgumentError(
                f"RNG state must be {STATE_BYTES} bytes (uint8), found {raw.size} of {raw.dtype}; "
                "pass what get_state() or get_rng_state() returned"
            )
        record = np.frombuffer(raw.tobytes(), _LAYOUT)[0]
        used = 625 - int(record["left"])
        if not (0 < used <= 624 and record["seeded"] and (record["key"] < 2**32).all()):
            raise ArgumentError("RNG state is damaged: these bytes are not a Mersenne Twister's state")
        key = record["key"].astype(np.uint32)
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": used}}
        self.seed = int(record["seed"])
        self.cached = float(record["cached"]) if record["has_cached"] else None


class Tape:
    """Uniforms one at a time for rejection sampling, read ahead in chunks and rewound to the last one used.

    ``with Tape(words) as draw: u = draw()`` leaves ``words`` as if each uniform had been drawn alone.
    """

    def __init__(self, words: Words, chunk: int) -> None:
        self._words = words
        self._chunk = max(64, chunk)
        self._used = 0

    def _run(self) -> Iterator[float]:
        while True:
            for value in self._words.doubles(self._chunk).tolist():
                self._used += 1
                yield value

    def __enter__(self) -> Any:
        self._before = self._words._bits.state
        return self._run().__next__

    def __exit__(self, *exc: object) -> None:
        self._words._bits.state = self._before
        self._words.skip(2 * self._used)
