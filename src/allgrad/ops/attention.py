"""Scaled dot-product attention as one op: scores of a few heads at a time stay in the cache and are never stored.

Backward computes them again from the logarithm of each row's normalizer.  Causal attention goes by blocks of rows
and leaves out the keys that no row of a block may see.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from allgrad import fast
from allgrad.ops.arithmetic import exp
from allgrad.ops.matmul import matmul
from allgrad.ops.op import Recorded, op
from allgrad.ops.reduce import sum_
from allgrad.ops.shape import transpose

Array = Any

SCORES = 1 << 17
"""Scores in a block of heads: 512 KiB of float32."""
ROWS = 64
"""Rows of a block when the attention is causal."""


def _blocks(heads: int, rows: int, keys: int, causal: bool) -> Iterator[tuple[slice, slice, int]]:
    """(heads, rows, how many keys the rows see), block after block."""
    step = min(rows, ROWS) if causal else rows
    together = max(1, SCORES // max(1, step * keys))
    for h in range(0, heads, together):
        for r in range(0, rows, step):
            end = min(rows, r + step)
            yield slice(h, min(heads, h + together)), slice(r, end), min(keys, end) if causal else keys


TAME = 40.0
"""Scores of at most this size need no largest one taken off: their exponentials and sums of 10**20 of them are finite,
and none of them vanishes, in float32."""


def _tame(q: Array, k: Array, mask: Any) -> bool:
    """Whether all scores are small, by the lengths of queries and keys; a mask may hide but not add."""
    if not q.size or not k.size or (mask is not None and not ((mask == 0) | (mask == -np.inf)).all()):
        return False
    longest = [float(np.vecdot(x, x).max()) for x in (q, k)]
    return bool(longest[0] * longest[1] <= TAME * TAME)


@lru_cache(maxsize=16)
def _future(rows: int, keys: int, dtype: Any) -> Array:
    """-inf where a key comes after its row, else 0."""
    return np.where(np.arange(keys) > np.arange(rows)[:, None], -np.inf, 0).astype(dtype)


def _scores(q: Array, k: Array, mask: Any, rows: slice, keys: int, heads: slice, causal: bool) -> Array:
    """Scores of one block with its mask; ``q`` is scaled already."""
    s = np.matmul(q[heads, rows], k[heads, :keys].swapaxes(1, 2))
    if mask is not None:
        part = mask[heads if len(mask) > 1 else slice(None), rows if mask.shape[1] > 1 else slice(None)]
        s += part[:, :, :keys] if mask.shape[2] > 1 else part
    if causal and keys > rows.start:
        count = rows.stop - rows.start
        s[:, :, rows.start :] += _future(count, keys - rows.start, s.dtype)
    return s


@op(multi=True)
def attention(
    q: Array, k: Array, v: Array, mask: Array = None, keep: Array = None, *, scale: float, causal: bool = False
) -> tuple[Array, Array]:
    """``softmax(scale * q @ k.T + mask) * keep @ v``, and the logarithm of each row's normalizer.

    (heads, rows, d), (heads, keys, d), (heads, keys, e); mask: additive, (heads or 1, rows or 1, keys or 1);
    keep: dropout's factors (heads, rows, keys).  -> (heads, rows, e), (heads, rows, 1).  A row that may see no key
    is zero.
    """
    heads, rows = q.shape[:2]
    y = np.empty((heads, rows, v.shape[2]), q.dtype)
    lse = np.empty((heads, rows, 1), q.dtype)
    q = q * q.dtype.type(scale)
    ones = np.ones((k.shape[1], 1), q.dtype)
    tame = _tame(q, k, mask)
    compiled = tame and fast.suits(q, k, v)
    for h, r, n in _blocks(heads, rows, k.shape[1], causal):
        s = _scores(q, k, mask, r, n, h, causal and not compiled)
        if compiled:
            total = np.empty((*s.shape[:2], 1), s.dtype)
            fast.kernels("scores").weigh(s, r.start, causal, total, lse[h, r])
            if keep is not None:
                s *= keep[h, r, :n]
            part = y[h, r]
            np.matmul(s, v[h, :n], out=part)
            part /= total
            continue
        if not tame:
            top = s.max(2, keepdims=True) if n else np.zeros((*s.shape[:2], 1), s.dtype)
            top[top == -np.inf] = 0
            s -= top
        np.exp(s, out=s)
        total = s @ ones[:n]
        total[total == 0] = 1
        if keep is not None:
            s *= keep[h, r, :n]
        part = y[h, r]
        np.matmul(s, v[h, :n], out=part)
        part /= total
        np.log(total, out=lse[h, r])
        if not tame:
            lse[h, r] += top
    return y, lse


@attention.pull_all
def _attention(
    gs: Any, q: Array, k: Array, v: Array, mask: Any, keep: Any, out: Any, *, scale: float, causal: bool
) -> Any:
    if isinstance(gs[0], Recorded) or isinstance(q, Recorded):
        return _recorded(gs, q, k, v, mask, keep, scale, causal)
    g, (y, lse) = gs[0], out
    heads, rows = q.shape[:2]
    level = np.einsum("hre,hre->hr", g, y)[:, :, None]
    level -= gs[1]
    scaled = q * q.dtype.type(scale)
    gq = np.empty_like(q)
    gk, gv = np.zeros_like(k), np.zeros_like(v)
    compiled = fast.suits(q, k, v, g)
    for h, r, n in _blocks(heads, rows, k.shape[1], causal):
        p = _scores(scaled, k, mask, r, n, h, causal and not compiled)
        if compiled:
            fast.kernels("scores").shares(p, lse[h, r], r.start, causal)
        else:
            p -= lse[h, r]
            np.exp(p, out=p)
        part = g[h, r]
        dp = np.matmul(part, v[h, :n].swapaxes(1, 2))
        if keep is None:
            gv[h, :n] += np.matmul(p.swapaxes(1, 2), part)
        else:
            dp *= keep[h, r, :n]
            gv[h, :n] += np.matmul((p * keep[h, r, :n]).swapaxes(1, 2), part)
        if compiled:
            fast.kernels("scores").pull(dp, p, level[h, r])
        else:
            dp -= level[h, r]
            dp *= p
        np.matmul(dp, k[h, :n], out=gq[h, r])
        gk[h, :n] += np.matmul(dp.swapaxes(1, 2), scaled[h, r])
    gq *= gq.dtype.type(scale)
    return gq, gk, gv, None, None


def _recorded(gs: Any, q: Array, k: Array, v: Array, mask: Any, keep: Any, scale: float, causal: bool) -> Any:
    """The same gradient, written with recorded ops over whole matrices."""
    g, g_lse = gs
    mask, keep = (getattr(m, "_a", m) for m in (mask, keep))
    s = matmul(q, transpose(k, dim0=1, dim1=2)) * scale
    dtype = getattr(s, "_a", s).dtype
    hidden = np.zeros((1, 1, 1), dtype) if mask is None else mask
    if causal:
        future = np.arange(s.shape[2]) > np.arange(s.shape[1])[:, None]
        hidden = hidden + np.where(future, -np.inf, 0).astype(dtype)
    plain = getattr(s, "_a", s) + hidden
    top = plain.max(2, keepdims=True) if plain.shape[2] else np.zeros((*plain.shape[:2], 1), dtype)
    top[top == -np.inf] = 0
    e = exp(s + (hidden - top))
    total = sum_(e, dim=(2,), keepdim=True)
    p = e / (total + (np.exp(plain - top).sum(2, keepdims=True) == 0).astype(dtype))
    kept = p if keep is None else p * keep
    dp = matmul(g, transpose(v, dim0=1, dim1=2))
    if keep is not None:
        dp = dp * keep
    ds = p * (dp - sum_(dp * p, dim=(2,), keepdim=True) + g_lse) * scale
    gq, gk = matmul(ds, k), matmul(transpose(ds, dim0=1, dim1=2), q)
    return gq, gk, matmul(transpose(kept, dim0=1, dim1=2), g), None, None
