"""What the backends of PyTorch that are not here answer."""

from __future__ import annotations


def is_available() -> bool:
    """False: this backend is not there."""
    return False


def is_built() -> bool:
    """False: this backend is not there."""
    return False


def version() -> None:
    """None: there is none."""
    return
