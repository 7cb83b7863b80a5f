"""``interpolate`` and its older names: images resampled to another size."""

from __future__ import annotations

import math
import warnings
from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from allgrad.nn.functional.adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from allgrad.nn.functional.arguments import is_floating, tensor, type_name
from allgrad.ops import resample as ops

_DIMS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def _per_axis(value: Any, d: int, what: str) -> list[Any]:
    if not isinstance(value, (tuple, list)):
        return [value] * d
    if len(value) != d:
        raise ArgumentError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {d} and {what} of {list(value)}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
            f"{what} in (o1, o2, ...,oK) format."
        )
    return list(value)


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """(n, c, *in) -> (n, c, *out): ``size``, or ``floor(in * scale_factor)``.

    ``mode``: nearest, nearest-exact, linear (3D), bilinear, bicubic (4D), trilinear (5D), area.  Without
    ``align_corners`` elements are cells and their centres are matched, with it the corner elements are.
    """
    x = tensor(input, "interpolate")
    d = x._a.ndim - 2
    if align_corners is not None and mode not in _DIMS:
        raise ArgumentError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            "only one of size or scale_factor should be defined"
            if size is not None
            else "either size or scale_factor should be defined"
        )
    if d not in (1, 2, 3) or mode not in (*_DIMS, "nearest", "nearest-exact", "area"):
        raise UnsupportedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {d + 2}D) for the modes: nearest | linear | "
            f"bilinear | bicubic | trilinear | area | nearest-exact (got {mode})"
        )
    if mode in _DIMS and _DIMS[mode] != d:
        raise UnsupportedError(f"Got {d + 2}D input, but {mode} mode needs {_DIMS[mode] + 2}D input")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input"
        )
    lengths = x._a.shape[2:]
    factors: list[float | None]
    if size is not None:
        if recompute_scale_factor:
            raise ArgumentError("recompute_scale_factor is not meaningful with an explicit size.")
        sizes, factors = [_whole(n) for n in _per_axis(size, d, "output size")], [None] * d
    else:
        given = [float(f) for f in _per_axis(scale_factor, d, "scale_factor")]
        sizes = [math.floor(n * f) for n, f in zip(lengths, given)]
        factors = [None] * d if recompute_scale_factor else list(given)
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[d - 1](x, sizes)
    if any(n <= 0 for n in sizes) or 0 in x._a.shape[1:]:
        raise ShapeError(
            "Input and output sizes should be greater than 0, but got input (H: "
            f"{list(lengths)}) output {sizes} for input {list(x._a.shape)}"
        )
    if not is_floating(x) and not (mode.startswith("nearest") and type_name(x) == "Byte"):
        raise DtypeError(
            f'"compute_indices_weights_{mode}" not implemented for {type_name(x)!r}; convert with x.float()'
        )
    tables = tuple(
        _table(d, mode, n, out, f, bool(align_corners), antialias, x._a.dtype)
        for n, out, f in zip(lengths, sizes, factors)
    )
    return apply(ops.resample, (x,), {"tables": tables, "size": tuple(lengths)})


def _whole(n: Any) -> int:
    if isinstance(n, Variable):
        return int(n)  # type: ignore[call-overload]
    if not hasattr(n, "__index__"):
        raise DtypeError(f"expected size to be whole numbers, found {n!r}")
    return int(n)


def _table(
    d: int, mode: str, n: int, out: int, factor: float | None, align_corners: bool, antialias: bool, dtype: Any
) -> Any:
    scale = 1 / factor if factor is not None and factor > 0 else n / out
    if mode in ("nearest", "nearest-exact"):
        # PyTorch's images (not its sequences and volumes) go by the sizes where these are equal or doubled.
        image = mode == "nearest" and d == 2
        if n == out and (factor is None or image):
            return None
        if image and out == 2 * n:
            scale = 0.5
        return ops.nearest(n, out, scale, centre=mode == "nearest-exact", dtype=dtype)
    if align_corners:
        scale = (n - 1) / (out - 1) if out > 1 else 0.0
    # Linear modes leave an axis of unchanged length alone, whatever scale was asked for; so does PyTorch.
    if n == out and (align_corners or scale == 1 or (mode != "bicubic" and not antialias)):
        return None
    if antialias:
        return ops.smoothed(n, out, scale, cubic=mode == "bicubic")
    return (ops.cubic if mode == "bicubic" else ops.linear)(n, out, scale, align_corners, dtype)


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Any:
    """The older name of ``interpolate``."""
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", UserWarning, stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """``interpolate`` with mode nearest."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
        UserWarning,
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """``interpolate`` with mode bilinear and aligned corners."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
        UserWarning,
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
