"""How kernels are compiled: for this machine, without bounds checks, kept on disk, and free of the interpreter's lock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# Terms of a sum may change places, so that several run at once; nothing else: no reciprocals in place of divisions, and
# nan and infinity stay what they are.  Kernels without sums are compiled exactly, and equal their twins bit for bit.
SUMS = {"reassoc", "contract", "nsz"}


# numba takes a kept kernel for fresh as long as the file that defines it is unchanged.  Kernels contain functions of other
# files, and wheels give all files one date, so the contents of this folder decide.
DIGEST = hashlib.sha256(b"".join(f.read_bytes() for f in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


def exact(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel that rounds after every operation, as NumPy does."""
    return _compile(kernel, False)


def summing(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel whose sums may be taken in any order."""
    return _compile(kernel, SUMS)


def _compile(kernel: Callable[..., Any], fastmath: Any) -> Callable[..., Any]:
    # The Python error model tests every division for zero, which keeps loops from being vectorized.
    settings: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        made = numba.njit(cache=True, **settings)(kernel)
    except RuntimeError:
        # No place to write to, neither beside this file nor in the user's cache: compiled again in each process.
        return numba.njit(**settings)(kernel)
    made._cache._cache_file._source_stamp = DIGEST
    return made
