"""Padding: constants around an array, or its own elements again by mirror, edge or wrap."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op

Array = Any
Pairs = tuple[tuple[int, int], ...]
"""(before, after) for each of the last axes, first of them first; negative numbers cut off."""


def _spans(shape: Any, pads: Pairs) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[int, ...]]:
    """Where the kept part lies in the input, where in the output, and the output's shape."""
    lead = len(shape) - len(pads)
    source, target, sizes = [], [], list(shape[:lead])
    for n, (before, after) in zip(shape[lead:], pads):
        size = n + before + after
        low, high = max(0, -before), n + min(0, after)
        source.append(slice(low, max(low, high)))
        target.append(slice(max(0, before), max(0, before) + max(0, high - low)))
        sizes.append(size)
    return (..., *source), (..., *target), tuple(sizes)


@op
def pad_constant(x: Array, *, pads: Pairs, value: float = 0.0) -> Array:
    """``value`` around ``x``; negative widths cut: (..., *in) -> (..., *out)."""
    source, target, shape = _spans(x.shape, pads)
    y = np.full(shape, value, x.dtype) if value else np.zeros(shape, x.dtype)
    y[target] = x[source]
    return y


pad_constant.pull(x=lambda g, *, pads: pad_constant(g, pads=tuple((-a, -b) for a, b in pads)))


def sources(n: int, before: int, after: int, mode: str) -> Array:
    """For each element of a padded axis, the element of the input it repeats: -> (before + n + after,)."""
    at = np.arange(-before, n + after)
    if mode == "replicate":
        return np.clip(at, 0, n - 1)
    if mode == "circular":  # what a negative width cuts off does not come back round
        first = max(0, -before)
        return first + (at - first) % (n + min(0, before) + min(0, after))
    at = np.abs(at)  # reflect, without repeating the edge
    return np.where(at >= n, 2 * (n - 1) - at, at)


@op
def pad_repeat(x: Array, *, pads: Pairs, mode: str) -> Array:
    """``x`` with its own elements around it; ``mode`` is reflect, replicate or circular."""
    for axis, (before, after) in zip(range(-len(pads), 0), pads):
        if before or after:
            x = np.take(x, sources(x.shape[axis], before, after, mode), axis=axis)
    return np.array(x) if all(p == (0, 0) for p in pads) else x


@op
def pad_repeat_grad(y: Array, *, pads: Pairs, mode: str) -> Array:
    """The adjoint of ``pad_repeat``: what was repeated is added up where it came from."""
    for axis, (before, after) in zip(range(-len(pads), 0), pads):
        if not (before or after):
            continue
        n = y.shape[axis] - before - after
        rows = np.moveaxis(y, axis, 0)
        at = sources(n, before, after, mode)
        low, high = max(0, before), max(0, before) + n + min(0, before) + min(0, after)
        low = min(low, len(at))
        high = max(low, high)  # nothing of the input itself may be left
        total = np.zeros((n, *rows.shape[1:]), y.dtype)
        total[at[low:high]] = rows[low:high]
        for k in (*range(low), *range(high, len(at))):
            total[at[k]] += rows[k]
        y = np.moveaxis(total, 0, axis)
    return np.array(y, order="C")


pad_repeat.pull(x=lambda g, *, pads, mode: pad_repeat_grad(g, pads=pads, mode=mode))
pad_repeat_grad.pull(y=lambda g, *, pads, mode: pad_repeat(g, pads=pads, mode=mode))
