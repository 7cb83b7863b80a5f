"""``torch.backends.cudnn``: its switches can be set; cuDNN is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from allgrad.backends.switches import is_available, version

__all__ = ["allow_tf32", "benchmark", "deterministic", "enabled", "flags", "is_available", "version"]

enabled = True
benchmark = False
deterministic = False
allow_tf32 = True


@contextmanager
def flags(
    enabled: bool = False, benchmark: bool = False, deterministic: bool = False, allow_tf32: bool = True
) -> Iterator[None]:
    """A block under other switches: nothing changes."""
    yield
