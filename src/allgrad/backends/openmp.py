"""``torch.backends.openmp``: not there."""

from __future__ import annotations

from allgrad.backends.switches import is_available, is_built

__all__ = ["enabled", "is_available", "is_built"]

enabled = False
