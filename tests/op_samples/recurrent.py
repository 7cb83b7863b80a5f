"""Recurrent ops: the reference takes one step after another, row by row of a packed batch, in plain formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_samples import Array, Sample

_source = np.random.default_rng(11)
STEPS, BATCH, HIDDEN = 4, 3, 2
SIZES = (3, 2, 2, 1)


def _draw(*shape: int) -> Array:
    return _source.standard_normal(shape)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _walk(step: Any, gates: Array, states: tuple[Array, ...], sizes: Any, reverse: bool) -> tuple[Array, ...]:
    """Each row alone through its own steps."""
    y = np.zeros((len(gates), gates.shape[1], states[0].shape[1]))
    last = tuple(s.copy() for s in states)
    for row in range(gates.shape[1]):
        times = [t for t in range(len(gates)) if sizes is None or row < sizes[t]]
        now = tuple(s[row] for s in states)
        for t in reversed(times) if reverse else times:
            now = step(gates[t, row], *now)
            y[t, row] = now[0]
        for kept, s in zip(last, now):
            kept[row] = s
    return (y, *last)


def _lstm(gates: Array, h0: Array, c0: Array, weight: Array, *, sizes: Any = None, reverse: bool = False) -> Any:
    def step(x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        i, f, g, o = np.split(x + weight @ h, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c

    return _walk(step, gates, (h0, c0), sizes, reverse)


def _gru(gates: Array, h0: Array, weight: Array, bias: Array, *, sizes: Any = None, reverse: bool = False) -> Any:
    def step(x: Array, h: Array) -> tuple[Array]:
        xr, xz, xn = np.split(x, 3)
        hr, hz, hn = np.split(weight @ h + bias, 3)
        r, z = _sigmoid(xr + hr), _sigmoid(xz + hz)
        return ((1 - z) * np.tanh(xn + r * hn) + z * h,)

    return _walk(step, gates, (h0,), sizes, reverse)


def _rnn(
    gates: Array, h0: Array, weight: Array, *, kind: str = "tanh", sizes: Any = None, reverse: bool = False
) -> Any:
    bend = np.tanh if kind == "tanh" else lambda a: np.maximum(a, 0)
    return _walk(lambda x, h: (bend(x + weight @ h),), gates, (h0,), sizes, reverse)


_WAYS: list[dict[str, Any]] = [{}, {"reverse": True}, {"sizes": SIZES}, {"sizes": SIZES, "reverse": True}]

SAMPLES: dict[str, list[Sample]] = {
    "lstm": [
        Sample(
            (_draw(STEPS, BATCH, 4 * HIDDEN), _draw(BATCH, HIDDEN), _draw(BATCH, HIDDEN), _draw(4 * HIDDEN, HIDDEN)),
            way,
            _lstm,
        )
        for way in _WAYS
    ],
    "gru": [
        Sample(
            (_draw(STEPS, BATCH, 3 * HIDDEN), _draw(BATCH, HIDDEN), _draw(3 * HIDDEN, HIDDEN), _draw(3 * HIDDEN)),
            way,
            _gru,
        )
        for way in _WAYS
    ],
    "rnn": [
        Sample((_draw(STEPS, BATCH, HIDDEN), _draw(BATCH, HIDDEN), _draw(HIDDEN, HIDDEN)), way, _rnn)
        for way in [*_WAYS, {"kind": "relu"}]
    ],
}
