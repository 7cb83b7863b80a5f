"""LSTM, GRU and simple recurrence over a whole sequence: one op each, the time loop inside.

The product of the inputs with their weights is taken out of the loop (``gates``: one product for all steps), the loop
does one product per step, and the gradient of the recurrent weight is one product at the end.

``sizes`` (None, or one count per step): only the first ``sizes[t]`` rows of the batch take part in step t, as in a packed
sequence; the other rows keep their state and give zeros.  ``reverse`` goes through time backwards.

What backward needs beside the inputs lies in ``tape``, a dictionary that the caller makes; backward empties it, and a
second backward computes it again.  Under ``create_graph`` the rules run step by step in recorded operations instead.

Formulas: Hochreiter & Schmidhuber 1997 with forget gates (Gers et al. 2000), in PyTorch's order i, f, g, o;
Cho et al. 2014 in cuDNN's variant, order r, z, n, where r multiplies the product with its bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.arithmetic import relu, sigmoid, tanh
from allgrad.ops.matmul import matmul
from allgrad.ops.op import Recorded, op
from allgrad.ops.recurrent_steps import active, before, lstm_pull, lstm_run, masked, order
from allgrad.ops.shape import cat, slice_, stack, transpose, unslice

Array = Any


# -- LSTM ------------------------------------------------------------------------------------------


def _lstm_run(gates: Array, h0: Array, c0: Array, weight: Array, sizes: Any, reverse: bool) -> tuple[Array, ...]:
    """Gate values (steps, batch, 4 hidden), cells and hidden states (steps, batch, hidden)."""
    if fast.suits(gates, weight, h0, c0):
        return lstm_run(gates, h0, c0, weight, sizes, reverse)
    steps, batch, width = gates.shape
    hidden = width // 4
    half = gates.dtype.type(0.5)
    # sigmoid(x) = tanh(x / 2) / 2 + 1/2: with the halves in the weights one tanh serves all four gates.
    scale = np.full(width, half, gates.dtype)
    scale[2 * hidden : 3 * hidden] = 1
    recurrent = np.ascontiguousarray((weight * scale[:, None]).T)
    act = gates * scale
    cells, states = np.empty((2, steps, batch, hidden), gates.dtype)
    h, c = h0, c0
    product = np.empty((batch, width), gates.dtype)
    for t in order(steps, reverse):
        n = active(sizes, t, batch)
        a = act[t, :n]
        a += np.matmul(h[:n], recurrent, out=product[:n])
        np.tanh(a, out=a)
        for gate in (a[:, : 2 * hidden], a[:, 3 * hidden :]):
            gate *= half
            gate += half
        cell, state = cells[t], states[t]
        np.multiply(a[:, hidden : 2 * hidden], c[:n], out=cell[:n])
        np.multiply(a[:, :hidden], a[:, 2 * hidden : 3 * hidden], out=state[:n])
        cell[:n] += state[:n]
        np.tanh(cell[:n], out=state[:n])
        state[:n] *= a[:, 3 * hidden :]
        if n < batch:
            cell[n:], state[n:] = c[n:], h[n:]
        h, c = state, cell
    return act, cells, states


@op(multi=True)
def lstm(
    gates: Array, h0: Array, c0: Array, weight: Array, *, sizes: Any = None, reverse: bool = False, tape: Any = None
) -> tuple[Array, Array, Array]:
    """(steps, batch, 4h), (batch, h), (batch, h), (4h, h) -> outputs (steps, batch, h), last h, last c (batch, h)."""
    act, cells, states = _lstm_run(gates, h0, c0, weight, sizes, reverse)
    if tape is not None:
        tape["run"] = act, cells, states
    last = 0 if reverse else -1
    if not len(states):
        return states, h0.copy(), c0.copy()
    return masked(states, sizes), states[last].copy(), cells[last].copy()


@lstm.pull_all
def _lstm(
    gs: Any, gates: Array, h0: Array, c0: Array, weight: Array, *, sizes: Any, reverse: bool, tape: Any, wanted: Any
) -> Any:
    if isinstance(gs[0], Recorded):
        return _lstm_recorded(gs, gates, h0, c0, weight, sizes, reverse)
    saved = tape.pop("run", None) if tape is not None else None
    act, cells, states = saved if saved is not None else _lstm_run(gates, h0, c0, weight, sizes, reverse)
    gy, gh, gc = gs
    steps, batch, width = act.shape
    hidden = width // 4
    if fast.suits(act, gy, gh, gc, weight):
        dgates, dh, dc = lstm_pull(gs, act, cells, c0, weight, sizes, reverse)
        rows = before(states, h0, reverse).reshape(-1, hidden)
        return dgates, dh, dc, dgates.reshape(-1, width).T @ rows if wanted[3] else None
    i, f, g, o = (act[:, :, k * hidden : (k + 1) * hidden] for k in range(4))
    squashed = np.tanh(cells)
    factor = np.empty((steps, batch, 4, hidden), act.dtype)  # d gate / d cell for i, f, g and d gate / d h for o
    np.multiply(g, i * (1 - i), out=factor[:, :, 0])
    np.multiply(before(cells, c0, reverse), f * (1 - f), out=factor[:, :, 1])
    np.multiply(i, 1 - g * g, out=factor[:, :, 2])
    np.multiply(squashed, o * (1 - o), out=factor[:, :, 3])
    into_cell = o * (1 - squashed * squashed)
    dgates = np.zeros_like(act) if sizes is not None else np.empty_like(act)
    dh, dc = gh.copy(), gc.copy()
    for t in order(steps, not reverse):
        n = active(sizes, t, batch)
        dh[:n] += gy[t, :n]
        dc[:n] += dh[:n] * into_cell[t, :n]
        out = dgates[t, :n].reshape(n, 4, hidden)
        np.multiply(factor[t, :n, :3], dc[:n, None], out=out[:, :3])
        np.multiply(factor[t, :n, 3], dh[:n], out=out[:, 3])
        np.matmul(dgates[t, :n], weight, out=dh[:n])
        dc[:n] *= f[t, :n]
    rows = before(states, h0, reverse).reshape(-1, hidden)
    return dgates, dh, dc, dgates.reshape(-1, width).T @ rows if wanted[3] else None


def _piece(x: Array, k: int, hidden: int) -> Array:
    return slice_(x, index=(slice(None), slice(k * hidden, (k + 1) * hidden)))


def _rows(x: Array, start: int, stop: int) -> Array:
    return slice_(x, index=(slice(start, stop),))


def _grow(x: Array, batch: int) -> Array:
    """Rows of zeros below, up to ``batch``."""
    n = x.shape[0]
    return x if n == batch else unslice(x, index=(slice(0, n),), shape=(batch, *x.shape[1:]))


def _carry(new: Array, old: Array, n: int) -> Array:
    """The first ``n`` rows from ``new``, the others from ``old``."""
    return new if n == old.shape[0] else cat(new, _rows(old, n, old.shape[0]), dim=0)


def _lstm_recorded(gs: Any, gates: Array, h0: Array, c0: Array, weight: Array, sizes: Any, reverse: bool) -> Any:
    steps, batch, width = gates.shape
    hidden = width // 4
    turned = transpose(weight, dim0=0, dim1=1)
    h, c = h0, c0
    kept: dict[int, Any] = {}
    for t in order(steps, reverse):
        n = active(sizes, t, batch)
        a = _rows(slice_(gates, index=(t,)), 0, n) + matmul(_rows(h, 0, n), turned)
        i, f, g, o = (tanh(p) if k == 2 else sigmoid(p) for k, p in enumerate(_piece(a, k, hidden) for k in range(4)))
        cell = f * _rows(c, 0, n) + i * g
        squashed = tanh(cell)
        kept[t] = (n, i, f, g, o, squashed, _rows(c, 0, n), _rows(h, 0, n))
        h, c = _carry(o * squashed, h, n), _carry(cell, c, n)
    gy, dh, dc = gs
    dgates: list[Any] = [None] * steps
    dweight: Any = 0.0
    for t in order(steps, not reverse):
        n, i, f, g, o, squashed, c_before, h_before = kept[t]
        d = _rows(dh, 0, n) + _rows(slice_(gy, index=(t,)), 0, n)
        e = _rows(dc, 0, n) + d * o * (1 - squashed * squashed)
        da = cat(
            e * g * i * (1 - i), e * c_before * f * (1 - f), e * i * (1 - g * g), d * squashed * o * (1 - o), dim=1
        )
        dgates[t] = _grow(da, batch)
        dweight = dweight + matmul(transpose(da, dim0=0, dim1=1), h_before)
        dh, dc = _carry(matmul(da, weight), dh, n), _carry(e * f, dc, n)
    return stack(*dgates, dim=0), dh, dc, dweight


# -- GRU -------------------------------------------------------------------------------------------


def _gru_run(gates: Array, h0: Array, weight: Array, bias: Array, sizes: Any, reverse: bool) -> tuple[Array, ...]:
    """Gate values (steps, batch, 3 hidden), recurrent products of n (steps, batch, hidden), hidden states."""
    steps, batch, width = gates.shape
    hidden = width // 3
    half = gates.dtype.type(0.5)
    recurrent = np.ascontiguousarray(weight.T)
    act = gates.copy()
    inner, states = np.empty((2, steps, batch, hidden), gates.dtype)
    product = np.empty((batch, width), gates.dtype)
    h = h0
    for t in order(steps, reverse):
        n = active(sizes, t, batch)
        a, p, state = act[t, :n], product[:n], states[t]
        np.matmul(h[:n], recurrent, out=p)
        p += bias
        rz = a[:, : 2 * hidden]
        rz += p[:, : 2 * hidden]
        rz *= half
        np.tanh(rz, out=rz)
        rz *= half
        rz += half
        inner[t, :n] = p[:, 2 * hidden :]
        new = a[:, 2 * hidden :]
        new += a[:, :hidden] * inner[t, :n]
        np.tanh(new, out=new)
        np.subtract(h[:n], new, out=state[:n])
        state[:n] *= a[:, hidden : 2 * hidden]
        state[:n] += new
        if n < batch:
            state[n:] = h[n:]
        h = state
    return act, inner, states


@op(multi=True)
def gru(
    gates: Array, h0: Array, weight: Array, bias: Array, *, sizes: Any = None, reverse: bool = False, tape: Any = None
) -> tuple[Array, Array]:
    """(steps, batch, 3h), (batch, h), (3h, h), (3h,) -> outputs (steps, batch, h), last h (batch, h)."""
    act, inner, states = _gru_run(gates, h0, weight, bias, sizes, reverse)
    if tape is not None:
        tape["run"] = act, inner, states
    if not len(states):
        return states, h0.copy()
    return masked(states, sizes), states[0 if reverse else -1].copy()


@gru.pull_all
def _gru(
    gs: Any, gates: Array, h0: Array, weight: Array, bias: Array, *, sizes: Any, reverse: bool, tape: Any, wanted: Any
) -> Any:
    if isinstance(gs[0], Recorded):
        return _gru_recorded(gs, gates, h0, weight, bias, sizes, reverse)
    saved = tape.pop("run", None) if tape is not None else None
    act, inner, states = saved if saved is not None else _gru_run(gates, h0, weight, bias, sizes, reverse)
    gy, gh = gs
    steps, batch, width = act.shape
    hidden = width // 3
    r, z, new = (act[:, :, k * hidden : (k + 1) * hidden] for k in range(3))
    first = before(states, h0, reverse)
    to_new = (1 - z) * (1 - new * new)
    to_z = (first - new) * (z * (1 - z))
    to_r = inner * (r * (1 - r))
    dgates = np.zeros_like(act)
    dproduct = np.zeros_like(act)
    dh = gh.copy()
    for t in order(steps, not reverse):
        n = active(sizes, t, batch)
        dh[:n] += gy[t, :n]
        d, p = dgates[t, :n], dproduct[t, :n]
        dn = np.multiply(dh[:n], to_new[t, :n], out=d[:, 2 * hidden :])
        np.multiply(dn, to_r[t, :n], out=d[:, :hidden])
        np.multiply(dh[:n], to_z[t, :n], out=d[:, hidden : 2 * hidden])
        p[:, : 2 * hidden] = d[:, : 2 * hidden]
        np.multiply(dn, r[t, :n], out=p[:, 2 * hidden :])
        dh[:n] *= z[t, :n]
        dh[:n] += p @ weight
    rows, flat = first.reshape(-1, hidden), dproduct.reshape(-1, width)
    return dgates, dh, flat.T @ rows if wanted[2] else None, flat.sum(0) if wanted[3] else None


def _gru_recorded(gs: Any, gates: Array, h0: Array, weight: Array, bias: Array, sizes: Any, reverse: bool) -> Any:
    steps, batch, width = gates.shape
    hidden = width // 3
    turned = transpose(weight, dim0=0, dim1=1)
    h = h0
    kept: dict[int, Any] = {}
    for t in order(steps, reverse):
        n = active(sizes, t, batch)
        start = _rows(h, 0, n)
        a, p = _rows(slice_(gates, index=(t,)), 0, n), matmul(start, turned) + bias
        r, z = (sigmoid(_piece(a, k, hidden) + _piece(p, k, hidden)) for k in range(2))
        inner = _piece(p, 2, hidden)
        new = tanh(_piece(a, 2, hidden) + r * inner)
        kept[t] = (n, r, z, new, inner, start)
        h = _carry((1 - z) * new + z * start, h, n)
    gy, dh = gs
    dgates: list[Any] = [None] * steps
    dweight: Any = 0.0
    dbias: Any = 0.0
    for t in order(steps, not reverse):
        n, r, z, new, inner, start = kept[t]
        d = _rows(dh, 0, n) + _rows(slice_(gy, index=(t,)), 0, n)
        dn = d * (1 - z) * (1 - new * new)
        dr, dz = dn * inner * r * (1 - r), d * (start - new) * z * (1 - z)
        dgates[t] = _grow(cat(dr, dz, dn, dim=1), batch)
        dp = cat(dr, dz, dn * r, dim=1)
        dweight = dweight + matmul(transpose(dp, dim0=0, dim1=1), start)
        dbias = dbias + dp.sum(0)
        dh = _carry(d * z + matmul(dp, weight), dh, n)
    return stack(*dgates, dim=0), dh, dweight, dbias


# -- simple recurrence -----------------------------------------------------------------------------


@op(multi=True)
def rnn(
    gates: Array, h0: Array, weight: Array, *, kind: str = "tanh", sizes: Any = None, reverse: bool = False
) -> tuple[Array, Array]:
    """(steps, batch, h), (batch, h), (h, h) -> outputs (steps, batch, h), last h; ``kind`` is "tanh" or "relu"."""
    states = np.empty_like(gates)
    recurrent = np.ascontiguousarray(weight.T)
    batch = gates.shape[1]
    h = h0
    for t in order(len(gates), reverse):
        n = active(sizes, t, batch)
        state = states[t]
        np.matmul(h[:n], recurrent, out=state[:n])
        state[:n] += gates[t, :n]
        if kind == "tanh":
            np.tanh(state[:n], out=state[:n])
        else:
            np.maximum(state[:n], 0, out=state[:n])
        if n < batch:
            state[n:] = h[n:]
        h = state
    return masked(states, sizes), h.copy()


@rnn.pull_all
def _rnn(gs: Any, gates: Array, h0: Array, weight: Array, *, kind: str, sizes: Any, reverse: bool, wanted: Any) -> Any:
    """Step by step in operations that arrays and Tensors share; the forward runs once more."""
    gy, dh = gs
    steps, batch, _ = gates.shape
    turned = transpose(weight, dim0=0, dim1=1)
    h = h0
    kept: dict[int, Any] = {}
    for t in order(steps, reverse):
        n = active(sizes, t, batch)
        start = _rows(h, 0, n)
        a = _rows(slice_(gates, index=(t,)), 0, n) + matmul(start, turned)
        new = tanh(a) if kind == "tanh" else relu(a)
        kept[t] = (n, start, new)
        h = _carry(new, h, n)
    dgates: list[Any] = [None] * steps
    dweight: Any = 0.0
    for t in order(steps, not reverse):
        n, start, new = kept[t]
        d = _rows(dh, 0, n) + _rows(slice_(gy, index=(t,)), 0, n)
        da = d * (1 - new * new) if kind == "tanh" else d * (new > 0)
        dgates[t] = _grow(da, batch)
        dweight = dweight + matmul(transpose(da, dim0=0, dim1=1), start)
        dh = _carry(matmul(da, weight), dh, n)
    return stack(*dgates, dim=0), dh, dweight
