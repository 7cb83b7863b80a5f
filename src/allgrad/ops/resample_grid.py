"""Sampling at places given by a grid: flat gathers of neighbours, weighted by distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any


@op
def grid_gather(x: Array, index: Array, inside: Array) -> Array:
    """Elements by flat index, zero where outside: (n, c, p), (n, q), bool (n, q) -> (n, c, q)."""
    y = np.take_along_axis(x, np.broadcast_to(index[:, None], (*x.shape[:2], index.shape[1])), axis=2)
    y *= inside[:, None]
    return y


@op
def grid_scatter(y: Array, index: Array, inside: Array, *, places: int) -> Array:
    """The adjoint of ``grid_gather``: (n, c, q) -> (n, c, places)."""
    n, c = y.shape[:2]
    rows = np.arange(n * c).reshape(n, c, 1) * places + index[:, None]
    total = np.bincount(rows.reshape(-1), (y * inside[:, None]).reshape(-1), n * c * places)
    return total.astype(y.dtype).reshape(n, c, places)


grid_gather.pull(x=lambda g, x_shape, index, inside: grid_scatter(g, index, inside, places=x_shape[2]))
grid_scatter.pull(y=lambda g, index, inside: grid_gather(g, index, inside))
