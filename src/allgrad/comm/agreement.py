"""Do all ranks make the same call?  One text per rank is compared; the odd one is named, on every rank."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from allgrad.errors import MismatchError

LINE_BYTES = 120
OWN_SPAN = "own span only"  # a fact of an all-reduce whose result each rank needs in its own span only


class Call(NamedTuple):
    """One collective call of one rank: what has to be equal on all ranks of the group."""

    sequence: int
    name: str
    facts: tuple[Any, ...] = ()
    label: str = ""

    def text(self) -> str:
        """Such as ``all_reduce(sum, float32, 10) for "fc1.weight"``."""
        return _text(self.name, self.facts, self.label)

    def line(self) -> bytes:
        """The text in ``LINE_BYTES`` bytes."""
        return _line(self.name, self.facts, self.label)

    def signature(self) -> str:
        """The text with its number: ``#5 all_reduce(sum, float32, 10)``; a call left out shows in every later one."""
        return f"#{self.sequence} {self.text()}"


@lru_cache(maxsize=512)  # a program makes the same few calls again and again, and NumPy takes its time to name a dtype
def _text(name: str, facts: tuple[Any, ...], label: str) -> str:
    call = f"{name}({', '.join(str(fact) for fact in facts)})"
    return f'{call} for "{label}"' if label else call


@lru_cache(maxsize=512)
def _line(name: str, facts: tuple[Any, ...], label: str) -> bytes:
    return fit(_text(name, facts, label), LINE_BYTES).ljust(LINE_BYTES, b"\0")


def fit(text: str, limit: int) -> bytes:
    """The text in at most ``limit`` bytes; what is cut off still counts, as a checksum at the end."""
    raw = text.encode()
    if len(raw) <= limit:
        return raw
    kept = raw[: limit - 11].decode(errors="ignore")
    return f"{kept}…{zlib.crc32(raw):08x}".encode()


def name_ranks(ranks: Iterable[int]) -> str:
    """``rank 3``; ``ranks 0, 1``; long lists as ``ranks 0-61, 63``."""
    runs: list[list[int]] = []
    for rank in sorted(ranks):
        if runs and rank == runs[-1][-1] + 1:
            runs[-1][1:] = [rank]
        else:
            runs.append([rank])
    words = [f"{run[0]}{'-' if run[1] - run[0] > 1 else ', '}{run[1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return f"rank{'' if len(runs) == 1 and len(runs[0]) == 1 else 's'} {', '.join(words)}"


def disagreement(found: Sequence[str]) -> str | None:
    """None if all ranks say the same, else a sentence that names the odd ranks, what they do and what was expected.

    The majority is right; with no majority, the lowest rank is.
    """
    if all(text == found[0] for text in found):
        return None
    counts = Counter(found)
    expected = max(counts, key=lambda text: (counts[text], -found.index(text)))
    odd = {text: [r for r, f in enumerate(found) if f == text] for text in counts if text != expected}
    usual = [r for r, f in enumerate(found) if f == expected]
    parts = [f"{name_ranks(ranks)} {'is' if len(ranks) == 1 else 'are'} in {text}" for text, ranks in odd.items()]
    return f"{'; '.join(parts)}; expected {expected} as on {name_ranks(usual)}"


def mismatch_message(calls: Sequence[str], sequence: int) -> str | None:
    """The message of a MismatchError for the ``sequence``-th collective of a group, or None if all agree."""
    sentence = disagreement(calls)
    if sentence is None:
        return None
    return (
        f"ranks disagree at collective {sequence} of this group: {sentence}. No data was combined. "
        "Every rank must make the same collective calls in the same order with the same dtype and size; "
        "look for a branch on the rank, a skipped batch or a different model"
    )


def compare(texts: Sequence[bytes], call: Call) -> None:
    """MismatchError if ``texts``, one per rank and padded with NUL, differ; all ranks have the same texts, so all raise."""
    if any(text != texts[0] for text in texts):
        message = mismatch_message([text.rstrip(b"\0").decode(errors="replace") for text in texts], call.sequence)
        if message:
            raise MismatchError(message)
