"""``torch.nn.attention``: the choice between attention kernels, of which a CPU has one.

>>> from allgrad.nn.attention import SDPBackend, sdpa_kernel
>>> with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
...     print(len(SDPBackend.__members__), "names, one kernel")
6 names, one kernel
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from allgrad.errors import ArgumentError, DtypeError

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(IntEnum):
    """PyTorch's kernels for scaled dot product attention; all of them mean the one that is here."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[dict[str, Any]]:
    """Attention inside is computed as ever: the kernels differ in speed on GPUs, not in what they compute."""
    chosen = [backends] if isinstance(backends, SDPBackend) else backends
    if not isinstance(chosen, (list, tuple)) or not all(isinstance(b, SDPBackend) for b in chosen):
        raise DtypeError(f"Backend must be an instance of SDPBackend or a list of them, found {backends!r}")
    if not chosen:
        raise ArgumentError("sdpa_kernel needs at least one backend; try sdpa_kernel(SDPBackend.MATH)")
    yield {}
