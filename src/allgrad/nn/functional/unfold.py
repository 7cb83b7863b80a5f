"""``unfold`` and ``fold``: sliding windows of images as columns, and back."""

from __future__ import annotations

import math
from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, ShapeError
from allgrad.nn.functional.arguments import Ints, floating, ints, shaped
from allgrad.ops import conv_unfold as ops


def _settings(name: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, Ints]:
    found = {
        "kernel": ints(kernel_size, 2, name, "kernel_size"),
        "stride": ints(stride, 2, name, "stride"),
        "padding": ints(padding, 2, name, "padding"),
        "dilation": ints(dilation, 2, name, "dilation"),
    }
    for what in ("kernel", "stride", "dilation"):
        if any(v <= 0 for v in found[what]):
            raise ArgumentError(f"{name}: {what} should be greater than zero, but got {list(found[what])}")
    if any(p < 0 for p in found["padding"]):
        raise ArgumentError(f"{name}: padding should be non-negative, but got {list(found['padding'])}")
    return found


def _blocks(size: Any, meta: dict[str, Ints]) -> list[int]:
    return [
        (n + 2 * p - e * (k - 1) - 1) // s + 1
        for n, k, s, p, e in zip(size, meta["kernel"], meta["stride"], meta["padding"], meta["dilation"])
    ]


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Each window as a column: (n, c, h, w) -> (n, c * kh * kw, windows); the batch axis may be missing."""
    x = floating(input, "unfold")
    meta = _settings("unfold", kernel_size, dilation, padding, stride)
    if x._a.ndim not in (3, 4) or 0 in x._a.shape[-3:]:
        raise ShapeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, "
            f"but got: {list(x._a.shape)}"
        )
    blocks = _blocks(x._a.shape[-2:], meta)
    if any(b < 1 for b in blocks):
        raise ShapeError(
            f"Given input with spatial size {tuple(x._a.shape[-2:])}, kernel_size={meta['kernel']}, dilation="
            f"{meta['dilation']}, padding={meta['padding']}, calculated shape of the array of sliding blocks as "
            f"{tuple(blocks)}, but its components must be at least one."
        )
    if x._a.ndim == 3:
        y = apply(ops.unfold_columns, (shaped(x, (1, *x._a.shape)),), meta)
        return shaped(y, y._a.shape[1:])
    return apply(ops.unfold_columns, (x,), meta)


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Columns added up where their windows lie: (n, c * kh * kw, windows) -> (n, c, *output_size)."""
    x = floating(input, "fold")
    meta = _settings("fold", kernel_size, dilation, padding, stride)
    size = ints(output_size, 2, "fold", "output_size")
    if x._a.ndim not in (2, 3) or 0 in x._a.shape[-2:]:
        raise ShapeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(x._a.shape)}"
        )
    taps = math.prod(meta["kernel"])
    rows, windows = x._a.shape[-2:]
    if rows % taps:
        raise ShapeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={rows} and kernel_size={meta['kernel']}."
        )
    blocks = _blocks(size, meta)
    if math.prod(blocks) != windows or any(b < 1 for b in blocks):
        raise ShapeError(
            f"Given output_size={size}, kernel_size={meta['kernel']}, dilation={meta['dilation']}, padding="
            f"{meta['padding']}, stride={meta['stride']}, expected size of input's dimension 2 to match the calculated "
            f"number of sliding blocks {' * '.join(map(str, blocks))} = {math.prod(blocks)}, but got input.size(2)="
            f"{windows}."
        )
    if x._a.ndim == 2:
        y = apply(ops.fold_columns, (shaped(x, (1, *x._a.shape)),), {"size": size, **meta})
        return shaped(y, y._a.shape[1:])
    return apply(ops.fold_columns, (x,), {"size": size, **meta})
