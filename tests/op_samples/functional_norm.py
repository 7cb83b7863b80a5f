"""Samples of normalization, embedding and attention."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from op_samples import Sample

Array = Any
rng = np.random.default_rng(7)


def R(*shape: int) -> Array:
    return rng.standard_normal(shape)


def column(v: Any, ndim: int) -> Array:
    return v.reshape(-1, *(1,) * (ndim - 2))


def batch_reference(x: Array, w: Any, b: Any, *, eps: float) -> Any:
    axes = (0, *range(2, x.ndim))
    mean, var = x.mean(axes), x.var(axes)
    y = (x - column(mean, x.ndim)) / np.sqrt(column(var, x.ndim) + eps)
    y = y if w is None else y * column(w, x.ndim)
    return y if b is None else y + column(b, x.ndim), mean, var


def layer_reference(x: Array, w: Any, b: Any, *, eps: float) -> Any:
    mean, var = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    y = (x - mean) / np.sqrt(var + eps) * (1 if w is None else w) + (0 if b is None else b)
    return y, mean, var


def rms_reference(x: Array, w: Any, *, eps: float) -> Any:
    square = (x * x).mean(1, keepdims=True)
    return x / np.sqrt(square + eps) * (1 if w is None else w), square


SAMPLES = {
    "channel_affine": [
        Sample((R(2, 3, 4), R(3), R(3)), {}, lambda x, s, t: x * s[:, None] + t[:, None]),
        Sample((R(2, 3), R(3)), {}, lambda x, s: x * s),
    ],
    "channel_dot": [
        Sample((R(2, 3, 4, 2), R(2, 3, 4, 2)), {}, lambda a, b: np.einsum("nchw,nchw->c", a, b)),
        Sample((R(2, 3), R(2, 3)), {}, lambda a, b: (a * b).sum(0)),
    ],
    "batch_norm": [
        Sample((R(4, 3, 2, 2) + 3, R(3), R(3)), {"eps": 1e-3}, batch_reference),
        Sample((R(4, 3), None, None), {"eps": 1e-5}, batch_reference),
        Sample((R(4, 3, 5), R(3), None), {"eps": 1e-5}, batch_reference),
        Sample((R(4, 3, 5), None, R(3)), {"eps": 0.1}, batch_reference),
    ],
    "layer_norm": [
        Sample((R(4, 5) + 3, R(5), R(5)), {"eps": 1e-3}, layer_reference),
        Sample((R(4, 5), None, None), {"eps": 1e-5}, layer_reference),
        Sample((R(4, 5), R(5), None), {"eps": 1e-5}, layer_reference),
        Sample((R(4, 5), None, R(5)), {"eps": 1e-5}, layer_reference),
    ],
    "rms_norm": [
        Sample((R(4, 5), R(5)), {"eps": 1e-3}, rms_reference),
        Sample((R(4, 5), None), {"eps": 1e-5}, rms_reference),
    ],
}

ROWS = np.array([[0, 4, 2], [2, 1, 2]])
MANY = np.arange(30).reshape(3, 10) ** 2 % 5  # some of them more often than the others


def look_up(weight: Array, index: Array, *, padding_idx: int = -1, by_frequency: bool = False) -> Array:
    return weight[index]


def add_rows(y: Array, index: Array, *, rows: int, padding_idx: int, by_frequency: bool) -> Array:
    total = np.zeros((rows, y.shape[-1]))
    for k, row in zip(index.reshape(-1), y.reshape(-1, y.shape[-1])):
        if k != padding_idx:
            total[k] += row / ((index == k).sum() if by_frequency else 1)
    return total


def take_rows(x: Array, index: Array, *, padding_idx: int, by_frequency: bool) -> Array:
    y = x[index].copy()
    for at in np.ndindex(index.shape):
        k = index[at]
        y[at] *= (k != padding_idx) / ((index == k).sum() if by_frequency else 1)
    return y


SETTINGS = [(-1, False), (2, False), (-1, True), (2, True)]
SAMPLES["embedding"] = [Sample((R(5, 3), ROWS), {}, look_up, wrt=(0,))]
SAMPLES["embedding_sum"] = [
    Sample((R(2, 3, 4), ROWS), {"rows": n, "padding_idx": p, "by_frequency": f}, add_rows, wrt=(0,))
    for p, f in SETTINGS
    for n in (5, 1000)
]
SAMPLES["embedding_sum"].append(
    Sample((R(3, 10, 2), MANY), {"rows": 6, "padding_idx": -1, "by_frequency": False}, add_rows, wrt=(0,))
)
SAMPLES["embedding_rows"] = [
    Sample((R(5, 4), ROWS), {"padding_idx": p, "by_frequency": f}, take_rows, wrt=(0,)) for p, f in SETTINGS
]


def attention_reference(
    q: Array, k: Array, v: Array, mask: Any = None, keep: Any = None, *, scale: float, causal: bool = False
) -> Any:
    s = np.einsum("hqd,hkd->hqk", q, k) * scale + (0 if mask is None else mask)
    if causal:
        s = np.where(np.tri(*s.shape[1:], dtype=bool), s, -np.inf)
    hidden = np.isneginf(s).all(2, keepdims=True)
    s = np.where(hidden, 0, s)
    p = np.where(hidden, 0, softmax(s, axis=2)) * (1 if keep is None else keep)
    normalizer = np.log(np.exp(s - s.max(2, keepdims=True)).sum(2, keepdims=True)) + s.max(2, keepdims=True)
    return p @ v, np.where(hidden, 0, normalizer)


HIDE = np.where(rng.random((2, 4, 5)) < 0.4, -np.inf, rng.standard_normal((2, 4, 5)))
HIDE[0, 1] = -np.inf
QKV = (R(2, 4, 3), R(2, 5, 3), R(2, 5, 2))
KEEP = (rng.random((2, 4, 5)) < 0.7) / 0.7
SAMPLES["attention"] = [
    Sample((*QKV, None, None), {"scale": 0.6}, attention_reference, wrt=(0, 1, 2)),
    Sample((*QKV, None, None), {"scale": 0.6, "causal": True}, attention_reference, wrt=(0, 1, 2)),
    Sample((R(2, 5, 3), R(2, 4, 3), R(2, 4, 3), None, None), {"scale": 1.0, "causal": True}, attention_reference, wrt=(0, 1, 2)),
    Sample((*QKV, HIDE, None), {"scale": 0.6}, attention_reference, wrt=(0, 1, 2)),
    Sample((*QKV, HIDE[:1, :1], KEEP), {"scale": 0.6}, attention_reference, wrt=(0, 1, 2)),
    Sample((R(1, 70, 2), R(1, 70, 2), R(1, 70, 2), None, None), {"scale": 0.6, "causal": True}, attention_reference, wrt=(0, 1, 2)),
]  # fmt: skip
