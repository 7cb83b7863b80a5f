"""Adding at places that may repeat: the adjoint of every kind of indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad import fast

Array = Any
Key = tuple[Any, ...]

_ORIGIN: Array = np.zeros((), np.int64)
BLOCK = 1 << 15
"""Elements whose flat positions are written out at a time: they stay in cache."""


def add_flat(flat: Array, at: Array, x: Array) -> None:
    """``flat[at] += x`` where a place named twice gets both: one dimension each, in order, so the sum is fixed."""
    if flat.dtype.kind == "b":
        np.logical_or.at(flat, at, x)
    elif not (fast.suits(flat, x) and at.shape == x.shape and fast.kernels("scatter").add_flat(flat, at, x)):
        # NumPy's ufunc.at has a fast loop only for one dimension: five times the speed of rows at a time.
        np.add.at(flat, at, x)


def add_rows(y: Array, at: Array, rows: Array) -> None:
    """``y[at[i]] += rows[i]``: (n, ...), (k,), (k, ...); negative ones count from the end, in rows and so in ``flat``."""
    if not y.flags.c_contiguous or y.dtype.kind == "V":
        np.add.at(y, at, rows)
        return
    width = y[0].size if len(y) else 0
    if not width or not at.size:
        return
    flat = y.reshape(-1)
    compiled = width > 1 and at.shape == rows.shape[:1] and fast.suits(rows, flat)
    if compiled and fast.kernels("scatter").add_rows(flat.reshape(-1, width), at, rows.reshape(-1, width)):
        return
    if width == 1:
        add_flat(flat, at, rows.reshape(-1))
        return
    offsets = np.arange(width)
    values = np.ascontiguousarray(rows).reshape(-1)
    step = max(1, BLOCK // width)
    for start in range(0, len(at), step):
        places = (at[start : start + step, None] * width + offsets).reshape(-1)
        add_flat(flat, places, values[start * width : (start + step) * width])


def add_at(y: Array, key: Key, x: Array) -> None:
    """``y[key] += x`` for index arrays and full slices, where a place named twice gets both."""
    arrays = [k for k in key if not isinstance(k, slice)]
    shape = np.broadcast_shapes(*[k.shape for k in arrays])
    at = [i for i, k in enumerate(key) if not isinstance(k, slice)]
    if not y.flags.c_contiguous or y.dtype.kind == "V":
        (np.logical_or if y.dtype.kind == "b" else np.add).at(y, key, x)
        return
    together = at[-1] - at[0] + 1 == len(at)
    lead = y.shape[: at[0]] if together else ()
    rest = tuple(n for i, n in enumerate(y.shape) if i not in at and not (together and i < at[0]))
    x = np.broadcast_to(x, lead + shape + rest)
    if not x.size:
        return
    if together and not at[0]:
        # The arrays index the first dimensions: whole rows are added.
        rows, place = 1, _ORIGIN
        for i, k in zip(at, arrays):
            place = place * y.shape[i] + np.where(k < 0, k + y.shape[i], k)
            rows *= y.shape[i]
        place = np.broadcast_to(place, shape).reshape(-1)
        add_rows(y.reshape(rows, -1), place, x.reshape(place.size, -1))
        return
    steps = np.cumprod((1, *y.shape[:0:-1]))[::-1]
    place = _ORIGIN
    for i, k in zip(at, arrays):
        place = place + np.where(k < 0, k + y.shape[i], k) * steps[i]
    free = [i for i in range(y.ndim) if i not in at]
    before = [i for i in free if together and i < at[0]]
    after = [i for i in free if i not in before]
    place = place.reshape((1,) * len(before) + shape + (1,) * len(after))
    for d, i in enumerate((*before, *[-1] * len(shape), *after)):
        if i >= 0:
            span = np.arange(y.shape[i]) * steps[i]
            place = place + span.reshape((-1,) + (1,) * (place.ndim - d - 1))
    add_flat(y.reshape(-1), place.reshape(-1), np.ascontiguousarray(x).reshape(-1))
