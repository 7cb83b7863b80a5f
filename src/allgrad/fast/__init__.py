"""Compiled kernels, where they are faster than NumPy: an extra, ``pip install 'allgrad[fast]'``, which brings numba.

Each kernel has a twin in NumPy, beside the op or optimizer that it serves: the reference, and what runs without numba.
numba is imported at the first call that a kernel is worth it for, so programs with small arrays never pay for it;
kernels are compiled once per machine and kept on disk.  They run on the calling thread only: ranks have one core each.

``ALLGRAD_FAST=0`` in the environment switches them off, ``ALLGRAD_FAST=1`` demands them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from allgrad.errors import ArgumentError, UnsupportedError

WORTH = 2048
"""Elements below which the twins are as fast, and numba is not imported."""

_on: bool | None = None


def installed() -> bool:
    """Whether numba can be imported."""
    return find_spec("numba") is not None


def enabled() -> bool:
    """Whether compiled kernels are used: they are where numba is installed, unless ALLGRAD_FAST is 0."""
    global _on
    if _on is None:
        _on = _asked_for()
    return _on


def set_enabled(on: bool) -> None:
    """Use compiled kernels from now on, in the whole process, or do not; UnsupportedError without numba."""
    global _on
    if on and not installed():
        raise UnsupportedError("compiled kernels need numba, which is not installed: pip install 'allgrad[fast]'")
    _on = bool(on)


@contextmanager
def use(on: bool) -> Iterator[None]:
    """``set_enabled(on)`` for the length of a ``with``."""
    before = enabled()
    set_enabled(on)
    try:
        yield
    finally:
        set_enabled(before)


def worth(size: int) -> bool:
    """Whether an array of so many elements goes to a compiled kernel."""
    return size >= WORTH and (enabled() if _on is None else _on)


@cache
def kernels(room: str) -> Any:
    """The module ``allgrad.fast.<room>``; imports numba."""
    return import_module(f"allgrad.fast.{room}")


def suits(*arrays: Any) -> bool:
    """Whether these are float32 arrays, of which the first is contiguous and worth a compiled kernel."""
    first = arrays[0]
    if type(first) is not np.ndarray or not worth(first.size):
        return False
    return first.flags.c_contiguous and all([type(a) is np.ndarray and a.dtype == np.float32 for a in arrays])


def _asked_for() -> bool:
    value = os.environ.get("ALLGRAD_FAST", "")
    if value not in ("", "0", "1"):
        raise ArgumentError(
            f"ALLGRAD_FAST={value!r}: expected 0 (NumPy alone) or 1 (compiled kernels), or leave it unset"
        )
    if value == "1" and not installed():
        raise UnsupportedError(
            "ALLGRAD_FAST=1 asks for compiled kernels, but numba is not installed: pip install 'allgrad[fast]', or "
            "unset ALLGRAD_FAST"
        )
    return value != "0" and installed()
