"""How much each rank's gradients count: the exact mean over all samples where the ranks hold different numbers.

A rank whose loss is the mean over n samples (or tokens) says ``sync(weight=n)``; the gradient of the mean over all
samples is then the sum of n * gradient over the ranks, divided by the sum of n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.errors import ArgumentError

Array = np.ndarray[Any, Any]


class Weights:
    """The micro-batches of one step on this rank.

    While they accumulate, ``.grad`` holds (sum of weight * gradient) / ``last``: the next gradient can then be added as it
    is, after ``.grad`` was multiplied by last / next.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self.last = 0.0
        # The gradients before a micro-batch of weight 0, which must not count, by parameter: a layer that is frozen or
        # unfrozen between here and the forward changes the list of parameters.
        self.aside: dict[int, Any] | None = None

    def add(self, weight: float, params: Sequence[Any]) -> None:
        """A micro-batch of ``weight`` comes next."""
        weight = float(weight)
        if not 0 <= weight < math.inf:
            raise ArgumentError(f"weight must be a finite number of samples or tokens, at least 0, found {weight}")
        if all(p._grad is None for p in params):  # a new step began
            self.total = self.last = 0.0
        if weight == 0:
            self.aside = {id(p): p._grad._a.copy() for p in params if p._grad is not None}
            return
        if self.last and self.last != weight:
            for p in params:
                if p._grad is not None:
                    p._grad = wrap(scaled(p._grad._a, self.last / weight))
        self.last = weight
        self.total += weight

    def restore(self, params: Sequence[Any]) -> None:
        """The micro-batch of weight 0 is through: what it added is taken away."""
        if self.aside is not None:
            for p in params:
                before = self.aside.get(id(p))
                p._grad = None if before is None else wrap(before)
            self.aside = None


def scaled(a: Array, factor: float) -> Array:
    """``factor * a`` in a's dtype; 16-bit floats are multiplied in float32."""
    if a.dtype.itemsize == 2:
        return np.multiply(a.astype(np.float32), np.float32(factor)).astype(a.dtype)
    return np.multiply(a, a.dtype.type(factor))
