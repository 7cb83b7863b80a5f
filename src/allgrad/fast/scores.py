"""Attention between its products, in float32; the twin is in ``allgrad.ops.attention``.

Scores are (heads, rows, keys) of a block that starts at row ``first``; ``causal``: keys after their row count for nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.fast.compiled import summing
from allgrad.fast.numbers import ONE, ZERO, exp, less

Array = np.ndarray[Any, Any]


@summing
def weigh(s: Array, first: int, causal: bool, total: Array, lse: Array) -> None:
    """Exponentials in place of scores, their sums (1 where there is nothing to see) and the logarithms of the sums."""
    heads, rows, keys = s.shape
    for h in range(heads):
        for r in range(rows):
            row = s[h, r]
            seen = min(keys, first + r + 1) if causal else keys
            sum_ = ZERO
            for j in range(seen):
                e = exp(row[j])
                row[j] = e
                sum_ += e
            row[seen:] = ZERO
            sum_ = ONE if sum_ == ZERO else sum_
            total[h, r, 0], lse[h, r, 0] = sum_, np.log(sum_)


@summing
def shares(s: Array, lse: Array, first: int, causal: bool) -> None:
    """``exp(s - lse)`` in place."""
    heads, rows, keys = s.shape
    for h in range(heads):
        for r in range(rows):
            row, level = s[h, r], lse[h, r, 0]
            seen = min(keys, first + r + 1) if causal else keys
            for j in range(seen):
                row[j] = exp(less(row[j], level, ZERO))
            row[seen:] = ZERO


@summing
def pull(d: Array, p: Array, level: Array) -> None:
    """``(d - level) * p`` in place of ``d``."""
    heads, rows, keys = d.shape
    for h in range(heads):
        for r in range(rows):
            row, share, less_ = d[h, r], p[h, r], level[h, r, 0]
            for j in range(keys):
                row[j] = (row[j] - less_) * share[j]
