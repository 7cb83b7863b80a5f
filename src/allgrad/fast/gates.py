"""One step of an LSTM between its products; the twins are in ``allgrad.ops.recurrent``.  float32, gates i, f, g, o."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.fast.compiled import summing
from allgrad.fast.numbers import ONE, logistic, tanh

Array = np.ndarray[Any, Any]


# Rows are cut into views first: an index such as ``h + j`` might be negative for all the compiler knows, and then its
# loop is not vectorized.


@summing
def lstm(gates: Array, product: Array, c: Array, a: Array, cell: Array, state: Array) -> None:
    """Gate values ``a`` of the inputs' part and the states' product (n, 4 h); new cell and new state (n, h)."""
    n, h = cell.shape
    for r in range(n):
        row, given, more = a[r], gates[r], product[r]
        for j in range(4 * h):
            row[j] = given[j] + more[j]
        for j in range(2 * h):
            row[j] = logistic(row[j])
        i, f, g, o = row[:h], row[h : 2 * h], row[2 * h : 3 * h], row[3 * h :]
        old, new, out = c[r], cell[r], state[r]
        for j in range(h):
            g[j] = tanh(g[j])
        for j in range(h):
            o[j] = logistic(o[j])
        for j in range(h):
            new[j] = f[j] * old[j] + i[j] * g[j]
        for j in range(h):
            out[j] = tanh(new[j]) * o[j]


@summing
def lstm_pull(a: Array, cell: Array, c: Array, gy: Array, dh: Array, dc: Array, d: Array) -> None:
    """Gradients of the gates' inputs into ``d`` (n, 4 h); ``dc`` (n, h) goes one step back; ``dh`` takes ``gy`` in."""
    n, h = cell.shape
    for r in range(n):
        i, f, g, o = a[r, :h], a[r, h : 2 * h], a[r, 2 * h : 3 * h], a[r, 3 * h :]
        di, df, dg, do = d[r, :h], d[r, h : 2 * h], d[r, 2 * h : 3 * h], d[r, 3 * h :]
        new, old, given, state, carried = cell[r], c[r], gy[r], dh[r], dc[r]
        for j in range(h):
            s = tanh(new[j])
            down = state[j] + given[j]
            do[j] = down * s * (o[j] * (ONE - o[j]))
            carried[j] += down * o[j] * (ONE - s * s)
        for j in range(h):
            di[j] = carried[j] * g[j] * (i[j] * (ONE - i[j]))
            dg[j] = carried[j] * i[j] * (ONE - g[j] * g[j])
        for j in range(h):
            df[j] = carried[j] * old[j] * (f[j] * (ONE - f[j]))
        for j in range(h):
            carried[j] *= f[j]
