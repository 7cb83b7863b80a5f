"""``grid_sample`` and ``affine_grid``: images sampled where a grid says."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.nn.functional.arguments import floating, shaped, tensor
from allgrad.ops.arithmetic import gate
from allgrad.ops.matmul import matmul
from allgrad.ops.resample_grid import grid_gather
from allgrad.ops.shape import slice_, transpose


def _default_alignment(name: str, align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            f"Default {name} and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
            "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
            UserWarning,
            stacklevel=3,
        )
    return bool(align_corners)


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """Grids of affine maps, for ``grid_sample``: (n, 2, 3), (n, c, h, w) -> (n, h, w, 2), or (n, 3, 4) and five sizes
    -> (n, d, h, w, 3)."""
    theta = floating(theta, "affine_grid", "theta")
    aligned = _default_alignment("grid_sample", align_corners)
    sizes = tuple(int(n) for n in size)
    d = len(sizes) - 2
    if d not in (2, 3) or theta._a.ndim != 3 or theta._a.shape[1:] != (d, d + 1):
        raise ShapeError(
            "Expected a batch of 2D affine matrices of shape Nx2x3 for size (n, c, h, w), or of 3D ones Nx3x4 for "
            f"(n, c, d, h, w). Got {list(theta._a.shape)} for size {sizes}."
        )
    if theta._a.shape[0] != sizes[0] or min(sizes) <= 0:
        raise ShapeError(f"Expected a batch of {sizes[0]} affine matrices and positive sizes, got size {sizes}")
    axes = []
    for n in sizes[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        axes.append(line if aligned else line * ((n - 1) / n))
    places = np.meshgrid(*axes, indexing="ij")
    base = np.stack([*reversed(places), np.ones(sizes[2:])], -1).reshape(1, -1, d + 1).astype(theta._a.dtype)
    flat = apply(matmul, (base, apply(transpose, (theta,), {"dim0": 1, "dim1": 2})), {})
    return shaped(flat, (sizes[0], *sizes[2:], d))


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """The input at the places of ``grid``, in [-1, 1] from border to border, x first: (n, c, h, w), (n, h', w', 2)
    -> (n, c, h', w'), and likewise with depth.

    ``mode``: bilinear, nearest, bicubic (without depth); ``padding_mode``: zeros, border, reflection.
    """
    x, grid = floating(input, "grid_sample"), tensor(grid, "grid_sample", "grid")
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ArgumentError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ArgumentError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    aligned = _default_alignment("grid_sample", align_corners)
    d = x._a.ndim - 2
    if x._a.dtype != grid._a.dtype:
        raise DtypeError("grid_sampler(): expected input and grid to have the same dtype")
    if d not in (2, 3) or grid._a.ndim != d + 2 or grid._a.shape[-1] != d or grid._a.shape[0] != x._a.shape[0]:
        raise ShapeError(
            f"grid_sampler(): expected input (n, c, *sizes) and grid (n, *out, {d}) with the same batch size, but got "
            f"{list(x._a.shape)} and {list(grid._a.shape)}"
        )
    if mode == "bicubic" and d == 3:
        raise ArgumentError("grid_sampler(): bicubic interpolation only supports 4D input")
    if 0 in x._a.shape[2:]:
        raise ShapeError(f"grid_sampler(): expected input to have non-empty spatial dimensions, got {list(x._a.shape)}")
    sizes = x._a.shape[2:]
    n, c = x._a.shape[:2]
    out = grid._a.shape[1:-1]
    flat = shaped(x, (n, c, math.prod(sizes)))
    places = []  # along each axis of the input, (n, points), in elements
    for axis, length in enumerate(sizes):
        g = shaped(apply(slice_, (grid,), {"index": (..., d - 1 - axis)}), (n, -1))
        scale = (length - 1) / 2 if aligned else length / 2
        place = g * scale + (length - 1) / 2
        places.append(place if mode == "bicubic" else _inside(place, length, padding_mode, aligned))
    neighbours = {"nearest": _nearest, "bilinear": _linear, "bicubic": _cubic}[mode]
    per_axis = [neighbours(place) for place in places]
    total: Any = None
    for corner in itertools.product(*per_axis):
        part = _gather(flat, sizes, [at for at, _ in corner], padding_mode, aligned)
        for _, weight in corner:
            if weight is not None:
                part = part * shaped(weight, (n, 1, -1))
        total = part if total is None else total + part
    if mode == "nearest":  # constant in the grid: its gradient is zero, not absent
        total = total + shaped(apply(gate, (places[0], np.zeros(places[0].shape, bool)), {}), (n, 1, -1))
    return shaped(total, (n, c, *out))


def _inside(place: Any, length: int, padding_mode: str, aligned: bool) -> Any:
    """The place moved into the input as the padding mode says: piecewise linear, so slope times place plus level."""
    if padding_mode == "zeros":
        return place
    found, slope = _moved(place._a, length, padding_mode, aligned)
    return place * slope + (found - place._a * slope)


def _moved(at: Any, length: int, padding_mode: str, aligned: bool) -> tuple[Any, Any]:
    """Where places land under border or reflection padding, and with which slope."""
    slope = np.ones_like(at)
    if padding_mode == "reflection":
        low, high = (0.0, length - 1.0) if aligned else (-0.5, length - 0.5)
        span = high - low
        if span == 0:
            return np.zeros_like(at), np.zeros_like(at)
        away = at - at.dtype.type(low)
        slope = np.where(away < 0, -slope, slope)
        flips, rest = np.divmod(np.abs(away), at.dtype.type(span))
        odd = flips % 2 == 1
        at = np.where(odd, at.dtype.type(span) - rest, rest) + at.dtype.type(low)
        slope = np.where(odd, -slope, slope)
    top = at.dtype.type(length - 1)
    slope = np.where((at <= 0) | (at >= top), at.dtype.type(0), slope)
    return np.clip(at, 0, top), slope


def _gather(flat: Any, sizes: Any, at: list[Any], padding_mode: str, aligned: bool) -> Any:
    index = np.zeros(at[0].shape, np.int64)
    inside = np.ones(at[0].shape, bool)
    for length, place in zip(sizes, at):
        if padding_mode != "zeros":  # bicubic's outer neighbours may still lie outside
            place = _moved(place, length, padding_mode, aligned)[0]
        inside &= (place >= 0) & (place < length)
        index = index * length + np.clip(np.nan_to_num(place), 0, length - 1).astype(np.int64)
    return apply(grid_gather, (flat, index, inside), {})


def _nearest(place: Any) -> list[tuple[Any, Any]]:
    return [(np.rint(place._a), None)]


def _linear(place: Any) -> list[tuple[Any, Any]]:
    low = np.floor(place._a)
    part = place - low
    return [(low, 1 - part), (low + 1, part)]


def _cubic(place: Any) -> list[tuple[Any, Any]]:
    """Keys' cubic convolution, a = -0.75, over four neighbours."""
    a = -0.75
    low = np.floor(place._a)
    t = place - low

    def near(u: Any) -> Any:
        return ((a + 2) * u - (a + 3)) * u * u + 1

    def far(u: Any) -> Any:
        return ((u - 5) * u + 8) * u * a - 4 * a

    return [(low - 1, far(t + 1)), (low, near(t)), (low + 1, near(1 - t)), (low + 2, far(2 - t))]
