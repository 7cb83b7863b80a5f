"""What the ranks tell each other when their shards of a step are computed, before any gradient moves.

Gathered to all, then judged by all: every rank ends the step the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from allgrad.comm.agreement import name_ranks
from allgrad.errors import MismatchError

Array = np.ndarray[Any, Any]


class Word(NamedTuple):
    """One rank's step."""

    shards: int  # how many there are in all
    step: int
    done: list[int]  # the shards that this rank has computed
    weights: list[float] | None  # of ``done``; None: all count the same
    bad: int | None  # the first parameter whose gradient is not finite here
    failed: bool  # this rank could not finish the step
    parameters: str  # a digest of the names, shapes and dtypes of those that want a gradient
    used: str  # hexadecimal: one bit for each parameter that got a gradient here

    def pack(self) -> bytes:
        """As bytes."""
        return json.dumps(self).encode()

    @classmethod
    def unpack(cls, raw: bytes) -> Word:
        """From bytes."""
        return cls(*json.loads(raw))

    def used_flags(self, count: int) -> Array:
        """(count,) float64 of zeros and ones."""
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(self.used), np.uint8), count=count)
        return bits.astype(np.float64)


def bits_of(used: Array) -> str:
    """Which entries are not zero, hexadecimal."""
    return np.packbits(used > 0).tobytes().hex()


def digest_of(specs: Sequence[Any]) -> str:
    """16 hexadecimal digits that are equal on two ranks only if they train the same parameters."""
    return hashlib.sha256(repr([tuple(s) for s in specs]).encode()).hexdigest()[:16]


def judge(words: Sequence[Word]) -> None:
    """MismatchError, on every rank alike, unless all are at the same step and together have each shard once."""
    facts: dict[str, list[Any]] = {
        "shards": [w.shards for w in words],
        "step": [w.step for w in words],
        "trained parameters (a digest)": [w.parameters for w in words],
        "weight=": ["given" if w.weights is not None else "not given" for w in words],
    }
    for what, found in facts.items():
        if len(set(found)) > 1:
            ranks = {value: [r for r, other in enumerate(found) if other == value] for value in found}
            raise MismatchError(
                f"the ranks disagree about {what}: "
                + ", ".join(f"{value} on {name_ranks(who)}" for value, who in ranks.items())
                + ". Build the model, load the state and loop over the shards alike on every rank"
            )
    done = [k for w in words for k in w.done]
    if sorted(done) != list(range(words[0].shards)):
        raise MismatchError(
            f"step {words[0].step} needs each of {words[0].shards} shards once, but rank by rank these were computed: "
            + ", ".join(str(w.done) for w in words)
        )
