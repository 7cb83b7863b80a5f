"""``pad``: constant, reflect, replicate and circular padding of the last axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from allgrad.nn.functional.arguments import tensor
from allgrad.ops import padding as ops


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Widths (before, after) from the last axis backwards; negative ones cut off.

    ``reflect``, ``replicate`` and ``circular`` pad the last one, two or three axes of an input with one or two more.
    """
    x = tensor(input, "pad")
    if not isinstance(pad, (tuple, list)):
        raise DtypeError(f"pad(): argument 'pad' must be tuple of ints, not {type(pad).__name__}")
    widths = [int(w) for w in pad]
    shape = x._a.shape
    if len(widths) % 2:
        raise ShapeError(f"Padding length must be divisible by 2, but got {len(widths)}: {widths}")
    if len(widths) // 2 > len(shape):
        raise ShapeError(
            f"Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(widths)} and input of dimension {len(shape)}"
        )
    pairs = tuple((widths[i], widths[i + 1]) for i in range(len(widths) - 2, -1, -2))
    new = [n + a + b for n, (a, b) in zip(shape[len(shape) - len(pairs) :], pairs)]
    if any(n < 0 for n in new):
        raise ShapeError(f"The input size {list(shape)}, plus the padding {widths} resulted in a negative size {new}")
    if mode == "constant":
        return apply(ops.pad_constant, (x,), {"pads": pairs, "value": 0.0 if value is None else value})
    if mode not in ("reflect", "replicate", "circular"):
        raise UnsupportedError(
            f"Unrecognised padding mode {mode}; use 'constant', 'reflect', 'replicate' or 'circular'"
        )
    if value is not None and value != 0:
        raise ArgumentError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if len(pairs) not in (1, 2, 3) or len(shape) not in (len(pairs) + 1, len(pairs) + 2):
        raise UnsupportedError(
            f"Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: found {len(widths)} widths "
            f"for {len(shape)} dimensions; pad the last k axes of an input with k + 1 or k + 2 dimensions"
        )
    for axis, (n, (a, b)) in enumerate(zip(shape[len(shape) - len(pairs) :], pairs), len(shape) - len(pairs)):
        if mode == "reflect" and max(a, b) >= n:
            raise ShapeError(
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({a}, {b}) at dimension {axis} of input {list(shape)}"
            )
        if mode == "circular" and max(a, b) > n:
            raise ShapeError(
                f"Padding value causes wrapping around more than once: padding ({a}, {b}) at dimension {axis} of input "
                f"{list(shape)}"
            )
        if n + a + b <= 0 or n == 0 or (mode == "circular" and n + min(0, a) + min(0, b) <= 0):
            raise ShapeError(f"{mode} padding ({a}, {b}) of dimension {axis} leaves nothing of input {list(shape)}")
    return apply(ops.pad_repeat, (x,), {"pads": pairs, "mode": mode})
