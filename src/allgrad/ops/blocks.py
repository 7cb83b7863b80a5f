"""Chains of elementwise passes over large arrays, block by block, so that what lies between stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BLOCK = 1 << 14  # elements: 64 KiB of float32 each for input, output and scratch


def in_blocks(kernel: Callable[..., None], x: Array, *, scratch: int = 0) -> Array:
    """``kernel(x, out, *scratch)`` on 1-d pieces of x: -> out, like x.  16-bit floats are computed in float32."""
    kind = x.dtype
    if kind.itemsize < 4:
        return in_blocks(kernel, x.astype(np.float32), scratch=scratch).astype(kind)
    flat = np.reshape(x, -1)
    out = np.empty(flat.shape, kind)
    n = flat.size
    rooms = [np.empty(min(n, BLOCK), kind) for _ in range(scratch)]
    if n <= BLOCK:
        kernel(flat, out, *rooms)
        return out.reshape(np.shape(x))
    for start in range(0, n, BLOCK):
        part = out[start : start + BLOCK]
        kernel(flat[start : start + BLOCK], part, *[room[: part.size] for room in rooms])
    return out.reshape(np.shape(x))
