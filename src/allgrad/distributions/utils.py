"""``torch.distributions.utils``: what programs with distributions of their own import from there."""

from __future__ import annotations

from typing import Any

from allgrad.distributions.distribution import parameters
from allgrad.distributions.relaxed import clamp_probs

__all__ = ["broadcast_all", "clamp_probs", "logits_to_probs", "probs_to_logits"]


def broadcast_all(*values: Any) -> tuple[Any, ...]:
    """Numbers and Tensors as Tensors of one shape."""
    return parameters(*values)


def logits_to_probs(logits: Any, is_binary: bool = False) -> Any:
    """Log-odds to probabilities if ``is_binary``, else log-probabilities over the last dimension."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def probs_to_logits(probs: Any, is_binary: bool = False) -> Any:
    """The inverse, with probabilities kept away from 0 and 1 by one rounding."""
    kept = clamp_probs(probs)
    return kept.log() - (-kept).log1p() if is_binary else kept.log()
