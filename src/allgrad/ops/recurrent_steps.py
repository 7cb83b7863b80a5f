"""What the recurrent ops share: the order of steps, who takes part, and the LSTM's loops over compiled gates."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad import fast

Array = Any


def order(steps: int, reverse: bool) -> range:
    """The steps in the order in which they are taken."""
    return range(steps - 1, -1, -1) if reverse else range(steps)


def active(sizes: Any, t: int, batch: int) -> int:
    """How many rows take part in step t."""
    return batch if sizes is None else int(sizes[t])


def before(states: Array, first: Array, reverse: bool) -> Array:
    """The state that each step started from: (steps, batch, hidden), the first one given."""
    moved = np.empty_like(states)
    if reverse:
        moved[:-1], moved[-1] = states[1:], first
    else:
        moved[1:], moved[0] = states[:-1], first
    return moved


def masked(states: Array, sizes: Any) -> Array:
    """Outputs: the states, with zeros in rows that took no part."""
    if sizes is None:
        return states
    y = states.copy()
    for t, n in enumerate(sizes):
        y[t, n:] = 0
    return y


def lstm_run(gates: Array, h0: Array, c0: Array, weight: Array, sizes: Any, reverse: bool) -> tuple[Array, ...]:
    """As its twin ``_lstm_run``: gate values (steps, batch, 4 hidden), cells and states (steps, batch, hidden)."""
    step = fast.kernels("gates").lstm
    steps, batch, width = gates.shape
    recurrent = np.ascontiguousarray(weight.T)
    act = np.empty_like(gates) if sizes is None else np.zeros_like(gates)
    cells, states = np.empty((2, steps, batch, width // 4), gates.dtype)
    h, c = np.ascontiguousarray(h0), np.ascontiguousarray(c0)
    product = np.empty((batch, width), gates.dtype)
    for t in order(steps, reverse):
        n = active(sizes, t, batch)
        cell, state = cells[t], states[t]
        np.matmul(h[:n], recurrent, out=product[:n])
        step(gates[t, :n], product[:n], c[:n], act[t, :n], cell[:n], state[:n])
        if n < batch:
            cell[n:], state[n:] = c[n:], h[n:]
        h, c = state, cell
    return act, cells, states


def lstm_pull(
    gs: Any, act: Array, cells: Array, c0: Array, weight: Array, sizes: Any, reverse: bool
) -> tuple[Array, Array, Array]:
    """Gradients of gates (steps, batch, 4 hidden), first hidden state and first cell (batch, hidden)."""
    step = fast.kernels("gates").lstm_pull
    gy, dh, dc = np.ascontiguousarray(gs[0]), gs[1].copy(), gs[2].copy()
    first = np.ascontiguousarray(c0)
    steps, batch, _ = act.shape
    dgates = np.zeros_like(act) if sizes is not None else np.empty_like(act)
    for t in order(steps, not reverse):
        n = active(sizes, t, batch)
        at = t + 1 if reverse else t - 1
        c = cells[at] if 0 <= at < steps else first
        step(act[t, :n], cells[t, :n], c[:n], gy[t, :n], dh[:n], dc[:n], dgates[t, :n])
        np.matmul(dgates[t, :n], weight, out=dh[:n])
    return dgates, dh, dc
