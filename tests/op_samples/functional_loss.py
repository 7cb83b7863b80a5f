"""Samples of losses, from their definitions; CTC by going through every alignment."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.special import log_softmax, xlogy

from op_samples import Sample

Array = Any
rng = np.random.default_rng(8)


def R(*shape: int) -> Array:
    return rng.standard_normal(shape)


def reduced(loss: Array, reduction: str, count: float | None = None) -> Array:
    if reduction == "none":
        return loss
    return loss.sum() / (loss.size if count is None else count) if reduction == "mean" else loss.sum()


def cross_entropy_reference(
    x: Array, t: Array, w: Any = None, *, ignore_index: int = -100, smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    p = log_softmax(x, 1)
    w = np.ones(x.shape[1]) if w is None else w
    loss, count = np.zeros(len(x)), 0.0
    for i, k in enumerate(t):
        if k != ignore_index:
            loss[i] = -(1 - smoothing) * w[k] * p[i, k] - smoothing / x.shape[1] * (w * p[i]).sum()
            count += w[k]
    return reduced(loss, reduction, count)


T = np.array([0, 3, 1, 1, 2])
SAMPLES: dict[str, list[Sample]] = {"cross_entropy": []}
for reduction, smoothing in product(("mean", "sum", "none"), (0.0, 0.2)):
    for weight, ignore in ((None, -100), (rng.uniform(0.5, 2, 4), -100), (None, 1), (rng.uniform(0.5, 2, 4), 1)):
        meta = {"ignore_index": ignore, "smoothing": smoothing, "reduction": reduction}
        SAMPLES["cross_entropy"].append(Sample((R(5, 4), T, weight), meta, cross_entropy_reference, wrt=(0,)))

INDEX = np.array([0, -1, 1, 3, 2])
SAMPLES["pick_columns"] = [
    Sample((R(5, 4), INDEX), {}, lambda x, i: np.array([0 if k < 0 else r[k] for r, k in zip(x, i)]), wrt=(0,))
]
SAMPLES["put_columns"] = [
    Sample((R(5), INDEX), {"columns": 4}, lambda v, i, *, columns: v[:, None] * (i[:, None] == np.arange(4)), wrt=(0,))
]

for reduction in ("mean", "sum", "none"):
    for shapes in (((3, 4), (3, 4)), ((3, 1), (4,))):
        pair = (R(*shapes[0]), R(*shapes[1]))
        SAMPLES.setdefault("mse_loss", []).append(
            Sample(pair, {"reduction": reduction}, lambda x, y, *, reduction: reduced((x - y) ** 2, reduction))
        )
        SAMPLES.setdefault("l1_loss", []).append(
            Sample(pair, {"reduction": reduction}, lambda x, y, *, reduction: reduced(np.abs(x - y), reduction))
        )
        SAMPLES.setdefault("huber_loss", []).append(
            Sample(
                pair,
                {"reduction": reduction, "delta": 0.7},
                lambda x, y, *, reduction, delta: reduced(
                    np.where(np.abs(x - y) < delta, (x - y) ** 2 / 2, delta * (np.abs(x - y) - delta / 2)), reduction
                ),
            )
        )
APART = np.array([-3.0, -0.8, -0.2, 0.3, 0.9, 2.0])
SAMPLES["step_sign"] = [Sample((APART,), {}, lambda x: np.where(x > 0, 1.0, -1.0))]
SAMPLES["step_inside"] = [Sample((APART,), {"limit": 0.7}, lambda x, *, limit: (np.abs(x) < limit) * 1.0)]
SAMPLES["step_clip"] = [Sample((APART,), {"limit": 0.7}, lambda x, *, limit: np.clip(x, -limit, limit))]
SAMPLES["softplus_minus"] = [Sample((R(3, 4) * 5,), {}, lambda x: np.log1p(np.exp(-x)))]
SAMPLES["bce"] = [
    Sample(
        (rng.uniform(0.1, 0.9, (3, 4)), rng.uniform(0, 1, (3, 4))), {}, lambda x, y: -xlogy(y, x) - xlogy(1 - y, 1 - x)
    )
]


def bce_reference(x: Array, y: Array, w: Any = 1.0) -> Array:
    p = 1 / (1 + np.exp(-x))
    return -w * y * np.log(p) - (1 - y) * np.log(1 - p)


SAMPLES["bce_with_logits"] = [
    Sample((R(3, 4), rng.uniform(0, 1, (3, 4)), rng.uniform(0.5, 2, 4)), {}, bce_reference),
    Sample((R(3, 4), rng.uniform(0, 1, (3, 4)), None), {}, lambda x, y, w: bce_reference(x, y)),
]
SAMPLES["prelu"] = [
    Sample((np.array([[-2.0, 0.5], [1.0, -0.3]]), R(2)), {}, lambda x, w: np.where(x > 0, x, w * x)),
]


def ctc_reference(x: Array, labels: Array, lengths: Array, targets: Array, *, blank: int) -> Array:
    """The sum over all alignments whose collapse is the label."""
    losses = []
    for i, (steps, s) in enumerate(zip(lengths, targets)):
        total = 0.0
        for path in product(range(x.shape[2]), repeat=int(steps)):
            kept = [k for j, k in enumerate(path) if (j == 0 or k != path[j - 1]) and k != blank]
            if kept == labels[i, :s].tolist():
                total += np.exp(sum(x[t, i, k] for t, k in enumerate(path)))
        losses.append(-np.log(total))
    return np.array(losses)


CTC = (np.array([[1, 1, 2], [2, 0, 0], [1, 2, 1]]), np.array([5, 3, 4]), np.array([3, 0, 2]))


def ctc_grad_reference(g: Array, x: Array, *rest: Any, blank: int) -> Array:
    """Central differences of the sum over all alignments."""
    labels, lengths, targets, _ = rest
    found = np.zeros_like(x)
    step = 1e-4
    for at in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[at] += step
        down[at] -= step
        slopes = [ctc_reference(v, labels, lengths, targets, blank=blank) for v in (up, down)]
        found[at] = ((slopes[0] - slopes[1]) / (2 * step) * g).sum()
    return np.round(found, 7)


LOGP = log_softmax(R(5, 3, 3), 2)
SAMPLES["ctc"] = [Sample((LOGP, *CTC), {"blank": 0}, ctc_reference, wrt=(0,), second=False)]
SAMPLES["ctc_grad"] = [Sample((R(3), LOGP, *CTC, ctc_reference(LOGP, *CTC, blank=0)), {"blank": 0})]
