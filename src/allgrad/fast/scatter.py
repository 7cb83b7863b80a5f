"""Adding at places that may repeat, in order: the same sums, bit for bit, as adding one by one in NumPy.

Kernels check nothing as they go, so they look at all places first, and do nothing but say so if one lies outside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.fast.compiled import exact

Array = np.ndarray[Any, Any]


@exact
def add_rows(y: Array, at: Array, rows: Array) -> bool:
    """``y[at[i]] += rows[i]``: (n, width), (k,), (k, width).  False, and nothing is done, if a place is not in 0 to n - 1."""
    k, width = rows.shape
    if not _inside(at, y.shape[0]):
        return False
    for i in range(k):
        a = at[i]
        for j in range(width):
            y[a, j] += rows[i, j]
    return True


@exact
def add_flat(y: Array, at: Array, x: Array) -> bool:
    """``y[at[i]] += x[i]``: (n,), (k,), (k,).  False, and nothing is done, if a place is not in 0 to n - 1."""
    if not _inside(at, y.size):
        return False
    for i in range(x.size):
        y[at[i]] += x[i]
    return True


@exact
def _inside(at: Array, n: int) -> bool:
    outside = 0
    for i in range(at.size):
        outside += at[i] < 0 or at[i] >= n
    return outside == 0
