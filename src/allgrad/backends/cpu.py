"""``torch.backends.cpu``."""

from __future__ import annotations


def get_cpu_capability() -> str:
    """``NUMPY``: kernels are chosen by NumPy's own dispatch."""
    return "NUMPY"
