"""Optimizer updates in one pass over memory; each equals its twin in ``allgrad.optim`` bit for bit.

All arrays are flat and of one dtype, and so are the numbers once they are in the kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.fast.compiled import exact

Array = np.ndarray[Any, Any]


@exact
def adam(
    p: Array, g: Array, m: Array, v: Array,
    keep_m: Array, add_m: Array, keep_v: Array, add_v: Array, eps: Array, rate: Array,
) -> None:  # fmt: skip
    """``m = keep_m m + add_m g;  v = keep_v v + add_v g²;  p -= rate m / (sqrt(v) + eps)``."""
    a, b, c, d, e, r = keep_m[()], add_m[()], keep_v[()], add_v[()], eps[()], rate[()]
    for i in range(p.size):
        mi = m[i] * a + g[i] * b
        vi = v[i] * c + g[i] * g[i] * d
        m[i] = mi
        v[i] = vi
        p[i] -= mi / (np.sqrt(vi) + e) * r


@exact
def adamw(
    p: Array, g: Array, m: Array, v: Array,
    keep_m: Array, add_m: Array, keep_v: Array, add_v: Array, eps: Array, rate: Array, shrink: Array,
) -> None:  # fmt: skip
    """``p *= shrink``, then ``adam``."""
    a, b, c, d, e, r, s = keep_m[()], add_m[()], keep_v[()], add_v[()], eps[()], rate[()], shrink[()]
    for i in range(p.size):
        mi = m[i] * a + g[i] * b
        vi = v[i] * c + g[i] * g[i] * d
        m[i] = mi
        v[i] = vi
        p[i] = p[i] * s - mi / (np.sqrt(vi) + e) * r


@exact
def descend(p: Array, g: Array, lr: Array) -> None:
    """``p -= lr g``."""
    r = lr[()]
    for i in range(p.size):
        p[i] -= g[i] * r


@exact
def heavy_ball(p: Array, g: Array, b: Array, lr: Array, kept: Array, taken: Array) -> None:
    """``b = kept b + taken g;  p -= lr b``."""
    r, k, t = lr[()], kept[()], taken[()]
    for i in range(p.size):
        bi = b[i] * k + g[i] * t
        b[i] = bi
        p[i] -= bi * r


@exact
def nesterov(p: Array, g: Array, b: Array, lr: Array, kept: Array, taken: Array, momentum: Array) -> None:
    """``b = kept b + taken g;  p -= lr (g + momentum b)``."""
    r, k, t, m = lr[()], kept[()], taken[()], momentum[()]
    for i in range(p.size):
        bi = b[i] * k + g[i] * t
        b[i] = bi
        p[i] -= (bi * m + g[i]) * r


@exact
def amsgrad(
    p: Array, g: Array, m: Array, v: Array, largest: Array,
    keep_m: Array, add_m: Array, keep_v: Array, add_v: Array, eps: Array, rate: Array,
) -> None:  # fmt: skip
    """``adam`` with the largest v so far; nan wins."""
    a, b, c, d, e, r = keep_m[()], add_m[()], keep_v[()], add_v[()], eps[()], rate[()]
    for i in range(p.size):
        mi = m[i] * a + g[i] * b
        vi = v[i] * c + g[i] * g[i] * d
        m[i] = mi
        v[i] = vi
        top = largest[i]
        top = vi if vi > top or vi != vi else top
        largest[i] = top
        p[i] -= mi / (np.sqrt(top) + e) * r
