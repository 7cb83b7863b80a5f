"""Counting and correlating: histograms, bincount, distance, covariance."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, apply, wrap
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.functions import return_types
from allgrad.functions.dims import scalar_name, tensor_of
from allgrad.functions.promote import as_tensor_like, floating, into, promoted
from allgrad.functions.reduce_norm import norm
from allgrad.ops import arithmetic, shape
from allgrad.ops.layout import diagonal
from allgrad.ops.matmul import matmul
from allgrad.ops.reduce import sum_

Array = np.ndarray[Any, Any]


def _limits(x: Array, low: float, high: float, name: str) -> tuple[float, float]:
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ArgumentError(f"{name}: range of [{low}, {high}] is not finite")
    if low > high:
        raise ArgumentError(f"{name}: max must be larger than min; they are {high} and {low}")
    return low, high


def _bins(x: Array, edges_low: float, edges_high: float, bins: int) -> tuple[Array, Array]:
    """Bin of each element within the limits, and which elements those are."""
    flat = x.ravel()
    inside = (flat >= edges_low) & (flat <= edges_high)
    place = ((flat[inside] - edges_low) / (edges_high - edges_low) * bins).astype(np.int64)
    return np.minimum(place, bins - 1), inside


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0, *, out: Any = None) -> Any:
    """How many elements fall into each of ``bins`` equal bins from ``min`` to ``max`` (of the data if both are 0)."""
    input = tensor_of(input, "histc")
    if input._a.dtype.kind in "b":
        raise DtypeError(f'"histogram_cpu" not implemented for {scalar_name(input)!r}')
    if bins <= 0:
        raise ArgumentError(f"torch.histc(): bins must be > 0, but got {bins}")
    low, high = _limits(input._a, float(min), float(max), "torch.histc")
    place, _ = _bins(input._a, low, high, bins)
    return into(wrap(np.bincount(place, minlength=bins).astype(input._a.dtype)), out)


def histogram(
    input: Any, bins: Any, *, range: Any = None, weight: Any = None, density: bool = False, out: Any = None
) -> return_types.histogram:
    """(hist, bin_edges): counts, or sums of ``weight``, in equal bins or between given edges."""
    input = floating(tensor_of(input, "histogram"))
    x = input._a.ravel()
    w = None if weight is None else weight._a.ravel()
    if isinstance(bins, Variable):
        edges = bins._a
        if (np.diff(edges) < 0).any():
            raise ArgumentError("torch.histogram: bins tensor must be sorted in ascending order")
        place = np.searchsorted(edges, x, side="right") - 1
        place[x == edges[-1]] = len(edges) - 2
        inside = (x >= edges[0]) & (x <= edges[-1])
        place = place[inside]
    else:
        if int(bins) <= 0:
            raise ArgumentError(f"torch.histogram: bins must be > 0, but got {bins}")
        low, high = _limits(
            x, *((0.0, 0.0) if range is None else (float(range[0]), float(range[1]))), "torch.histogram"
        )
        edges = np.linspace(low, high, int(bins) + 1).astype(x.dtype)
        place, inside = _bins(x, low, high, int(bins))
    count = np.bincount(place, None if w is None else w[inside], len(edges) - 1).astype(x.dtype)
    if density:
        count = count / (count.sum() * np.diff(edges))
    return return_types.histogram(wrap(count), wrap(np.array(edges)))


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each non-negative int occurs, or the sum of its ``weights``."""
    input = tensor_of(input, "bincount")
    if input._a.ndim != 1 or input._a.dtype.kind not in "iu" or (input._a.size and input._a.min() < 0):
        raise ArgumentError(
            "bincount only supports 1-d non-negative integral inputs; "
            f"found {scalar_name(input)} of shape {list(input._a.shape)}"
        )
    if minlength < 0:
        raise ArgumentError(f"minlength should be >= 0, found {minlength}")
    if weights is None:
        return wrap(np.bincount(input._a.astype(np.int64), minlength=minlength).astype(np.int64))
    weights = as_tensor_like(weights, "bincount(): argument 'weights' (position 2)")
    if weights._a.shape != input._a.shape:
        raise ShapeError(
            f"weights should be 1-d and have the same length as input: {list(weights._a.shape)} and "
            f"{list(input._a.shape)}"
        )
    kind = np.float32 if weights._a.dtype == np.float32 else np.float64
    return wrap(np.bincount(input._a.astype(np.int64), weights._a, minlength).astype(kind))


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of ``input - other``."""
    a, b = promoted(tensor_of(input, "dist"), as_tensor_like(other, "dist(): argument 'other' (position 2)"))
    return norm(apply(arithmetic.sub, (a, b), {}), p)


def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariance of the rows of ``input``: (variables, observations) -> (variables, variables)."""
    x = tensor_of(input, "cov")
    if x._a.ndim > 2:
        raise ShapeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {x._a.ndim} dimensions"
        )
    if x._a.dtype.kind == "b":
        raise DtypeError("cov(): bool dtype is not supported for input")
    x = floating(x)
    single = x._a.ndim < 2
    if single:
        x = apply(shape.reshape, (x,), {"shape": (1, -1)})
    n = x._a.shape[1]
    weight = _weights(fweights, aweights, n)
    if weight is None:
        total: Any = n
        center = sum_(x, dim=1, keepdim=True) / n if n else sum_(x, dim=1, keepdim=True) * float("nan")
        norm_factor: Any = n - correction
        away = x - center
        left = away
    else:
        w, frequency = weight
        w = apply(arithmetic.cast, (w,), {"dtype": x._a.dtype}) if isinstance(w, Variable) else w
        total = sum_(w)
        center = sum_(x * w, dim=1, keepdim=True) / total
        if aweights is None:
            norm_factor = total - correction
        elif correction == 0:
            norm_factor = total
        else:
            second = sum_(w * floating(frequency)) if fweights is None else sum_(w * aweights)
            norm_factor = total - second / total * correction
        away = x - center
        left = away * w
    factor = norm_factor._a.item() if isinstance(norm_factor, Variable) else norm_factor
    if factor <= 0:
        norm_factor = 0.0
    found = matmul(left, apply(shape.transpose, (away,), {"dim0": 0, "dim1": 1})) / norm_factor
    return apply(shape.reshape, (found,), {"shape": ()}) if single else found


def _weights(f: Any, a: Any, n: int) -> Any:
    for w, name in ((f, "fweights"), (a, "aweights")):
        if w is None:
            continue
        if w._a.ndim > 1 or w._a.size != n:
            raise ShapeError(f"cov(): expected {name} to have the same numel as there are observations, {n}")
        if w._a.size and w._a.min() < 0:
            raise ArgumentError(f"cov(): {name} cannot be negative")
    if f is not None and f._a.dtype.kind not in "iu":
        raise DtypeError("cov(): expected fweights to have integral dtype but got fweights with Float dtype")
    if f is None and a is None:
        return None
    if f is None:
        return a, a
    return (floating(f) if a is None else f * a), f


def corrcoef(input: Any) -> Any:
    """The correlations of the rows of ``input``, clipped to [-1, 1]."""
    x = tensor_of(input, "corrcoef")
    if x._a.ndim > 2:
        raise ShapeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {x._a.ndim} dimensions"
        )
    c = cov(x)
    if not c._a.ndim:
        return c / c
    n = c._a.shape[0]
    variance = apply(diagonal, (c,), {"offset": 0, "dim1": 0, "dim2": 1})
    spread = apply(arithmetic.sqrt, (variance,), {})
    c = c / apply(shape.reshape, (spread,), {"shape": (n, 1)}) / apply(shape.reshape, (spread,), {"shape": (1, n)})
    inside = (c._a >= -1) & (c._a <= 1) | (c._a != c._a)
    return c if inside.all() else apply(arithmetic.where, (inside, c, np.sign(c._a)), {})
