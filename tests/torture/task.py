"""What a row of the table is given: a seed, how much to do, a folder; and where it notes what it did and found."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

MOST_TROUBLES = 10  # then a row gives up


class Enough(Exception):
    """The time is over, or there were too many troubles."""


@dataclass
class Task:
    """One row under way.  ``share``: 1.0 is full size, the short tier of ``make test`` takes a small part."""

    name: str
    seed: int
    folder: Path
    share: float = 1.0
    budget_s: float = 3600.0
    done: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    skipped: str = ""
    worst: str = ""  # a figure in words, such as the longest time

    def __post_init__(self) -> None:
        self.draw = random.Random(f"{self.name} {self.seed}")
        self._until = time.monotonic() + self.budget_s
        self._said = time.monotonic()

    def some(self, full: int, least: int = 1) -> int:
        """How many of what the full size has ``full`` of."""
        return max(least, round(full * self.share))

    def ok(self, what: str, count: int = 1) -> None:
        """Something was tried and was right; raises Enough when the time is over."""
        self.done[what] += count
        if time.monotonic() - self._said > 30:
            self._said = time.monotonic()
            print(f"  {self.name}: {self.figure()}", file=sys.stderr, flush=True)
        if time.monotonic() > self._until:
            raise Enough

    def trouble(self, text: str) -> None:
        """Something was wrong."""
        self.troubles.append(text)
        print(f"  {self.name}: TROUBLE: {text}", file=sys.stderr, flush=True)
        if len(self.troubles) >= MOST_TROUBLES:
            raise Enough

    def figure(self) -> str:
        """What was done, in words."""
        counts = ", ".join(f"{count} {what}" for what, count in self.done.items())
        return self.skipped or "; ".join(text for text in (counts, self.worst) if text)
