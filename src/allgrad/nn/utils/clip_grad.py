"""Bounds on gradients.  Under DistributedDataParallel they see the averaged gradients, so all ranks clip alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.errors import GradientError


def _listed(parameters: Any) -> list[Any]:
    return [parameters] if isinstance(parameters, Variable) else list(parameters)


def _norm(a: np.ndarray[Any, Any], p: float) -> float:
    """The p-norm of all elements; squares of float16 are added in float32."""
    if a.size == 0:
        return 0.0
    if a.dtype.itemsize < 4:
        a = a.astype(np.float32)
    if p == 2.0:
        flat = a.reshape(-1)
        return math.sqrt(float(np.dot(flat, flat)))
    if math.isinf(p):
        return float(np.abs(a).max()) if p > 0 else float(np.abs(a).min())
    if p == 0.0:
        return float(np.count_nonzero(a))
    return float(np.power(np.abs(a), p).sum() ** (1.0 / p))


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Any:
    """The norm of all tensors as one vector: -> ()."""
    arrays = [t._a for t in _listed(tensors)]
    p = float(norm_type)
    total = _norm(np.array([_norm(a, p) for a in arrays], np.float64), p) if arrays else 0.0
    if error_if_nonfinite and not math.isfinite(total):
        raise GradientError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so it cannot be clipped. To disable "
            "this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    kind = arrays[0].dtype if arrays else np.dtype(np.float32)
    return wrap(np.array(total, kind))


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Any, foreach: bool | None = None) -> None:
    """Scale all gradients by ``max_norm / (total_norm + 1e-6)`` if that is below one."""
    # min(nan, 1) would hide a nan: what is not finite must stay visible in the gradients.
    factor = float(max_norm) / (float(total_norm) + 1e-6)
    factor = 1.0 if factor > 1.0 else factor
    for p in _listed(parameters):
        if p._grad is not None:
            g = p._grad._a
            if factor != 1.0:
                np.multiply(g, g.dtype.type(factor), out=g)
                p._grad._cell[0] += 1


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """Scale the gradients so that their common norm is at most ``max_norm``; the norm before: -> ()."""
    params = _listed(parameters)
    total = get_total_norm([p._grad for p in params if p._grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(params, max_norm, total)
    return total


def clip_grad_norm(parameters: Any, max_norm: float, norm_type: float = 2.0, **settings: Any) -> Any:
    """The old name of ``clip_grad_norm_``."""
    return clip_grad_norm_(parameters, max_norm, norm_type, **settings)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Cut each element of the gradients to ±``clip_value``."""
    bound = float(clip_value)
    for p in _listed(parameters):
        if p._grad is not None:
            np.clip(p._grad._a, -bound, bound, out=p._grad._a)
            p._grad._cell[0] += 1
