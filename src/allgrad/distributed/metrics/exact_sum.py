"""Sums of float64 numbers that do not depend on the order, on the batches, or on how many ranks held the numbers.

A sum is kept as a few floats whose exact sum is the exact sum of all numbers so far; it is rounded once, when asked for.
Shewchuk: Adaptive precision floating-point arithmetic, 1997 (https://doi.org/10.1007/PL00009321); ``math.fsum`` rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np


class ExactSum:
    """The exact sum of all that was added, of at most 1e308; ``value()`` is that number, rounded once to float64."""

    def __init__(self, parts: Iterable[float] = ()) -> None:
        self.parts: list[float] = []  # finite; their exact sum is the sum
        self.odd = 0.0  # NaN and infinities, added in the ordinary way
        self.add(parts)

    def add(self, numbers: Iterable[float]) -> None:
        """Add each of ``numbers``."""
        new = np.asarray(numbers if isinstance(numbers, np.ndarray) else list(numbers), np.float64).reshape(-1)
        finite = np.isfinite(new)
        if not finite.all():
            self.odd += float(new[~finite].sum())
        rest, self.parts = self.parts + new[finite].tolist(), []
        try:
            while (head := math.fsum(rest)) != 0:  # what rounding left over comes next
                self.parts.append(head)
                rest.append(-head)
        except OverflowError:  # the sum is beyond float64
            self.odd, self.parts = self.odd + math.copysign(math.inf, sum(rest)), []

    def value(self) -> float:
        """The sum."""
        return math.fsum(self.parts) + self.odd

    def numbers(self) -> list[float]:
        """Numbers that add up to the same, for another ``ExactSum``."""
        return [*self.parts, self.odd] if self.odd != 0 else list(self.parts)
