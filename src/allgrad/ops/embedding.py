"""Rows of a table by index, and the adjoint that adds rows up."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad import fast
from allgrad.errors import IndexRangeError
from allgrad.ops.op import op

Array = Any

SHORT = 8
"""An index that occurs more often has its rows summed by ``reduceat``, which is slow for short runs."""


def check_rows(index: Array, rows: int) -> None:
    """IndexRangeError unless all indices name a row."""
    if index.size and (int(index.min()) < 0 or int(index.max()) >= rows):
        wrong = index[(index < 0) | (index >= rows)].reshape(-1)[0]
        raise IndexRangeError(
            f"index out of range in self: index {int(wrong)} in a table of {rows} rows (num_embeddings={rows})"
        )


@op
def embedding(weight: Array, index: Array, *, padding_idx: int = -1, by_frequency: bool = False) -> Array:
    """Rows of ``weight``: (rows, width), (...) -> (..., width).  The row ``padding_idx`` gets no gradient."""
    check_rows(index, weight.shape[0])
    return np.take(weight, index, axis=0)


@op
def embedding_sum(y: Array, index: Array, *, rows: int, padding_idx: int, by_frequency: bool) -> Array:
    """Add each row of ``y`` to the row its index names: (..., width), (...) -> (rows, width)."""
    flat, width = index.reshape(-1), y.shape[-1]
    y = y.reshape(-1, width)
    if padding_idx >= 0:
        y = np.where((flat == padding_idx)[:, None], y.dtype.type(0), y)
    if by_frequency and flat.size:
        counts = np.bincount(flat, minlength=rows)
        y = y / counts[flat].astype(y.dtype)[:, None]
    if not flat.size:
        return np.zeros((rows, width), y.dtype)
    total: Array = np.zeros((rows, width), y.dtype)
    if fast.suits(y) and fast.kernels("scatter").add_rows(total, flat, y):
        return total
    order = np.argsort(flat, kind="stable")
    keys = flat[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    lengths = np.diff(np.r_[starts, len(flat)])
    often = lengths > SHORT
    if often.any():
        bounds = np.cumsum(lengths[often]) - lengths[often]
        total[keys[starts[often]]] = np.add.reduceat(y.take(order[np.repeat(often, lengths)], 0), bounds, axis=0)
    # The k-th occurrences of all rarer indices are different rows, which are added at once.
    starts, lengths = starts[~often], lengths[~often]
    for k in range(int(lengths.max(initial=0))):
        at = starts[lengths > k] + k
        if k:
            total[keys[at]] += y.take(order[at], 0)
        else:
            total[keys[at]] = y.take(order[at], 0)
    return total


@op
def embedding_rows(x: Array, index: Array, *, padding_idx: int, by_frequency: bool) -> Array:
    """The adjoint of ``embedding_sum``: rows of ``x``, zero for the padding row, divided by their frequency."""
    y = np.take(x, index, axis=0)
    if padding_idx >= 0:
        y[index == padding_idx] = 0
    if by_frequency and index.size:
        y /= np.bincount(index.reshape(-1), minlength=len(x))[index].astype(y.dtype)[..., None]
    return y


embedding.pull(
    weight=lambda g, index, weight_shape, *, padding_idx, by_frequency: embedding_sum(
        g, index, rows=weight_shape[0], padding_idx=padding_idx, by_frequency=by_frequency
    )
)
embedding_sum.pull(
    y=lambda g, index, *, padding_idx, by_frequency: embedding_rows(
        g, index, padding_idx=padding_idx, by_frequency=by_frequency
    )
)
embedding_rows.pull(
    x=lambda g, index, x_shape, *, padding_idx, by_frequency: embedding_sum(
        g, index, rows=x_shape[0], padding_idx=padding_idx, by_frequency=by_frequency
    )
)
