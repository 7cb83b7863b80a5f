"""Numeric guards: gradients that are suddenly far too large are named, not only those that are NaN."""

from __future__ import annotations

import math
import statistics
import warnings
from collections import deque
from typing import Any

from allgrad.distributed.group import get_rank, is_initialized
from allgrad.errors import ArgumentError

_MAD_TO_SIGMA = 1.4826  # of normal numbers
_FLAT = 0.01  # of the median: norms that hardly change must not make every small change a spike


class GradientSpikeWarning(UserWarning):
    """The norm of the gradients is far above that of the steps before."""


class GradientNormGuard:
    """Call it with the norm of each step's gradients, such as ``clip_grad_norm_`` returns; True for a spike.

    A spike lies more than ``factor`` deviations above the median of the last ``window`` norms; the deviation is the median
    distance from that median, which spikes among them do not move.  Rank 0 warns.  Can be tracked by CheckpointManager.

    >>> guard = GradientNormGuard(warmup=4)
    >>> any(guard(norm) for norm in (1.0, 1.1, 0.9, 1.0, 1.2))
    False
    """

    def __init__(self, window: int = 100, factor: float = 10.0, warmup: int = 20) -> None:
        if not (window >= warmup >= 2 and factor > 0):
            raise ArgumentError(
                f"needs window >= warmup >= 2 and factor > 0, found window={window}, warmup={warmup}, factor={factor}"
            )
        self.window, self.factor, self.warmup = window, factor, warmup
        self.norms: deque[float] = deque(maxlen=window)
        self.steps = 0
        self.spikes = 0

    def limit(self) -> float:
        """Above this the next norm is a spike; infinite during the first ``warmup`` steps."""
        if len(self.norms) < self.warmup:
            return math.inf
        middle = statistics.median(self.norms)
        deviation = _MAD_TO_SIGMA * statistics.median([abs(n - middle) for n in self.norms])
        return middle + self.factor * max(deviation, _FLAT * middle)

    def __call__(self, norm: Any) -> bool:
        value, limit = float(norm), self.limit()
        self.steps += 1
        spike = not math.isfinite(value) or value > limit
        if spike:
            self.spikes += 1
            if not is_initialized() or get_rank() == 0:
                usual = (
                    f"{statistics.median(self.norms):.4g} in the {len(self.norms)} before" if self.norms else "unknown"
                )
                warnings.warn(
                    f"step {self.steps}: the norm of the gradients is {value:.4g}, usually {usual} (limit {limit:.4g}). "
                    "Clip gradients, lower the learning rate or look at this step's data",
                    GradientSpikeWarning,
                    stacklevel=2,
                )
        if math.isfinite(value):
            self.norms.append(value)
        return spike

    def state_dict(self) -> dict[str, Any]:
        """What the limit depends on."""
        return {"norms": list(self.norms), "steps": self.steps, "spikes": self.spikes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.norms = deque(state["norms"], maxlen=self.window)
        self.steps, self.spikes = state["steps"], state["spikes"]
