"""Two recordings side by side: the first difference, and why.

Exit codes: 0 equal, 1 a difference, 2 the runs could not be compared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from allgrad.parity.record import Rank, Step

Array = np.ndarray[Any, Any]

EQUAL, DIFFERENT, UNCOMPARABLE = 0, 1, 2


class Verdict(NamedTuple):
    """How it ended, and the sentences to print."""

    code: int
    text: str


def compare(many: list[Rank], one: Rank, tolerance: float) -> Verdict:
    """The first difference between the run of ``len(many)`` ranks and the run of one, step by step."""
    steps = min(len(one.steps), *(len(r.steps) for r in many))
    compared = 0
    for s in range(steps):
        mine, theirs = one.steps[s], [r.steps[s] for r in many]
        if not mine.calls or not mine.grads:
            break
        if s == 0 and (why := _weights(mine, theirs)):
            return Verdict(DIFFERENT, f"before the first step: {why}")
        verdict = _forward(s, mine, len(many), tolerance) or _backward(s, mine, theirs, many, tolerance)
        if verdict is not None:
            return verdict
        compared += 1
    if not compared:
        return Verdict(
            UNCOMPARABLE,
            "no training step was seen in both runs: a forward of a module in training, backward() and optimizer.step()",
        )
    modules = sum(len(c.outputs) for c in one.steps[0].calls)
    return Verdict(
        EQUAL,
        f"equal at 1 and {len(many)} ranks: {compared} steps, {modules} activations and {len(one.steps[0].grads)} gradients "
        f"each, to {tolerance:g} of the largest value" + _notes(many),
    )


def _notes(many: list[Rank]) -> str:
    masks = [[m.tobytes() for c in r.steps[0].calls for m in c.masks] for r in many]
    if not any(masks):
        return ""
    note = f"\nnote: dropout draws on each rank for itself; the run of 1 was given the masks of the {len(many)} ranks"
    if len(many) > 1 and all(m == masks[0] for m in masks):
        note += (
            "\nnote: all ranks draw the same dropout masks, so less noise is averaged out than at 1 rank; after the model is "
            "made, torch.manual_seed(seed + rank) makes them independent"
        )
    return note


def _weights(mine: Step, theirs: list[Step]) -> str | None:
    for name, value in mine.weights.items():
        found = [t.weights.get(name) for t in theirs]
        if any(f is None or f.tobytes() != found[0].tobytes() for f in found):  # type: ignore[union-attr]
            return (
                f"different initial weights: parameter {name!r} is not the same on all ranks. Seed all ranks alike, wrap the "
                "model in DistributedDataParallel, or broadcast from rank 0"
            )
        if found[0] is not None and found[0].tobytes() != value.tobytes():
            return (
                f"different initial weights: parameter {name!r} is the same on all ranks, but not what the run of 1 starts "
                "with. Does the seed or the model depend on the number of ranks?"
            )
    return None


def _far(a: Array, b: Array, tolerance: float, least: float = 1e-30) -> float:
    """The largest difference over the largest value (``least`` or more), if above ``tolerance``; else 0."""
    if a.size == 0:
        return 0.0
    x, y = a.astype(np.float64), b.astype(np.float64)
    error = float(np.abs(x - y).max() / max(float(np.abs(x).max()), float(np.abs(y).max()), least))
    return 0.0 if error <= tolerance else error  # NaN is far


def _forward(s: int, mine: Step, n: int, tolerance: float) -> Verdict | None:
    for call in mine.calls:
        others = call.pool
        if call.rows is None:
            return Verdict(
                UNCOMPARABLE,
                f"step {s + 1}: the run of 1 has other samples in its batch than the {n} ranks together. Batches are "
                "matched if they come from a DataLoader, or if the program cuts the same global batch by rank; a program that "
                "draws its data by rank in another way cannot be compared",
            )
        for k, (name, kind, drew, value) in enumerate(call.outputs):
            parts = [o.outputs[k][3] for o in others if k < len(o.outputs) and o.outputs[k][0] == name]
            if len(parts) < len(others) or any(p.ndim == 0 or p.shape[1:] != value.shape[1:] for p in parts):
                continue
            whole = np.concatenate(parts)
            if value.ndim == 0 or len(value) != call.rows.size or len(whole) != sum(_rows(o) for o in others):
                continue
            error = _far(value, whole[call.rows], tolerance)
            if error:
                where = f"step {s + 1}: the output of {name or 'the model'} ({kind}) differs by {error:.2g} of its largest value: "
                return Verdict(DIFFERENT, where + _why_forward(kind, drew))
    return None


def _rows(call: Any) -> int:
    return 0 if call.inputs is None else len(call.inputs)


def _why_forward(kind: str, drew: bool) -> str:
    if "BatchNorm" in kind or kind.startswith("InstanceNorm"):
        return (
            "local BatchNorm statistics. Each rank normalizes by the mean and variance of its own part of the batch; "
            "nn.SyncBatchNorm.convert_sync_batchnorm(model) uses those of the whole"
        )
    if drew or "Dropout" in kind:
        return (
            "rank-dependent dropout or noise. This module draws random numbers, and each rank draws its own; without a seed "
            "for each sample no run at another number of ranks can be equal. Harmless if the ranks' draws are independent"
        )
    return "its inputs are equal, so it mixes the samples of a batch, or does something else on each rank"


def _backward(s: int, mine: Step, theirs: list[Step], many: list[Rank], tolerance: float) -> Verdict | None:
    # A gradient that is zero but for rounding, as before a normalization, is measured by the others.
    least = max(1e-30, 1e-2 * max((float(np.abs(g).max(initial=0)) for g in mine.grads.values()), default=0.0))
    for name in reversed(list(mine.weights)):
        value, found = mine.grads.get(name), [t.grads.get(name) for t in theirs]
        if value is None and all(f is None for f in found):
            continue
        if value is None or any(f is None for f in found):
            has = [r for r, f in enumerate(found) if f is not None]
            return Verdict(
                DIFFERENT,
                f"step {s + 1}: parameter {name!r} has {'no' if value is None else 'a'} gradient at 1 rank, but at {len(many)} "
                f"ranks one on ranks {has}: missed sync, or a branch on the rank",
            )
        arrays = [f for f in found if f is not None]
        where = f"step {s + 1}: the gradient of {name!r} "
        if any(_far(arrays[0], f, tolerance, least) for f in arrays[1:]):
            return Verdict(
                DIFFERENT,
                where
                + "is not the same on all ranks: missed sync. Backward ran under no_sync(), through model.module instead "
                "of the wrapped model, or the model is not wrapped in DistributedDataParallel",
            )
        error = _far(value, arrays[0], tolerance, least)
        if error:
            return Verdict(
                DIFFERENT,
                where
                + f"differs by {error:.2g} of its largest value: "
                + _why_backward(s, mine, theirs, many, tolerance),
            )
    return None


def _why_backward(s: int, mine: Step, theirs: list[Step], many: list[Rank], tolerance: float) -> str:
    n = len(many)
    clipped = list(zip(*(t.clipped for t in theirs)))
    if any(len(set(round_)) > 1 for round_ in clipped):
        return (
            "clipping before the mean. The gradients given to the clipping function are each rank's own; clip after they are "
            "averaged: under DistributedDataParallel, after backward()"
        )
    names = [name for name in mine.grads if name in theirs[0].grads]
    a = np.concatenate([mine.grads[name].reshape(-1) for name in names]).astype(np.float64)
    b = np.concatenate([theirs[0].grads[name].reshape(-1) for name in names]).astype(np.float64)
    ratio = float(a @ b / max(float(a @ a), 1e-300))
    if abs(ratio - 1) > 0.01 and not _far(a * ratio, b, max(10 * tolerance, 1e-6)):
        if abs(ratio * n - 1) < 0.01:
            return (
                f"double averaging. It is 1/{n} of that of the run of 1: DistributedDataParallel has divided by the number of "
                "ranks already; do not divide the loss or the gradients by it again"
            )
        if abs(ratio / n - 1) < 0.01:
            return (
                f"a sum in place of a mean. It is {n} times that of the run of 1: divide by the number of ranks, or use "
                "dist.ReduceOp.AVG; DistributedDataParallel averages by itself"
            )
        return f"it is {ratio:.4g} times that of the run of 1 everywhere: the loss is scaled by something that depends on the ranks"
    rows = [[_rows(c) for c in t.calls] for t in theirs]
    used = sum(c.rows.size for c in mine.calls if c.rows is not None)
    if used < sum(map(sum, rows)) and any(repeats for r in many for _, repeats in r.pads.values()):
        return (
            "padding. The sampler repeats samples so that all ranks get equally many, and these count twice; "
            "DistributedSampler(..., drop_last=True) leaves out, exact=True does neither, with sync(weight=...) round the step"
        )
    if any(r != rows[0] for r in rows):
        counts = [sum(r) for r in rows]
        return (
            f"mean of means. The ranks hold {counts} samples, but count the same; `with model.sync(weight=len(inputs)):` round "
            "forward and backward makes the mean exact"
        )
    return (
        "the outputs are equal, so it is the loss or what comes after it: a loss that is no mean over the samples (tokens left "
        "out, weights of classes), a hook that changes gradients before the mean, or code that depends on the rank"
    )
