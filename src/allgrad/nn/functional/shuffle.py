"""Channels to pixels and back: rearrangements for super-resolution and grouped networks."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, ShapeError
from allgrad.nn.functional.arguments import shaped, tensor
from allgrad.ops.shape import permute


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels spread over pixels: (..., c * r**2, h, w) -> (..., c, h * r, w * r)."""
    x, r = tensor(input, "pixel_shuffle"), upscale_factor
    shape = x._a.shape
    if len(shape) < 3:
        raise ShapeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {len(shape)} dimension(s)"
        )
    if r <= 0:
        raise ArgumentError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = shape
    if c % (r * r):
        raise ShapeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={c} is not divisible by {r * r}"
        )
    k = len(lead)
    split = shaped(x, (*lead, c // (r * r), r, r, h, w))
    order = (*range(k), k, k + 3, k + 1, k + 4, k + 2)
    return shaped(apply(permute, (split,), {"dims": order}), (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Pixels gathered into channels: (..., c, h * r, w * r) -> (..., c * r**2, h, w)."""
    x, r = tensor(input, "pixel_unshuffle"), downscale_factor
    shape = x._a.shape
    if len(shape) < 3:
        raise ShapeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {len(shape)} dimension(s)"
        )
    if r <= 0:
        raise ArgumentError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = shape
    for what, n in (("height", h), ("width", w)):
        if n % r:
            raise ShapeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but {n} is not divisible by {r}"
            )
    k = len(lead)
    split = shaped(x, (*lead, c, h // r, r, w // r, r))
    order = (*range(k), k, k + 2, k + 4, k + 1, k + 3)
    return shaped(apply(permute, (split,), {"dims": order}), (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Any, groups: int) -> Any:
    """Channels of the groups interleaved: (n, c, ...) -> (n, c, ...)."""
    x = tensor(input, "channel_shuffle")
    shape = x._a.shape
    if len(shape) < 3:
        raise ShapeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(shape)}")
    if groups <= 0:
        raise ArgumentError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    n, c, *rest = shape
    if c % groups:
        raise ShapeError(f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    split = shaped(x, (n, groups, c // groups, *rest))
    order = (0, 2, 1, *range(3, 3 + len(rest)))
    return shaped(apply(permute, (split,), {"dims": order}), shape)


native_channel_shuffle = channel_shuffle
