"""The arithmetic of reductions, apart from the messages.

Every reduction of allgrad is the left fold ``((r0 + r1) + r2) + ...`` in rank order, element by element.
How the elements are dealt out to ranks, nodes or buffers therefore cannot change a bit of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from allgrad.dtypes import from_np
from allgrad.errors import ArgumentError, DtypeError

Array = np.ndarray[Any, Any]

UFUNCS: dict[str, Any] = {
    "sum": np.add,
    "prod": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "band": np.bitwise_and,
    "bor": np.bitwise_or,
    "bxor": np.bitwise_xor,
}
_BITWISE = ("band", "bor", "bxor")
BLOCK_BYTES = 128 * 1024  # one block of each of a few ranks fits into a core's second-level cache
SMALL_BYTES = 64 * 1024  # up to here thinking about blocks costs more than an array more
LINE_BYTES = 64  # two ranks never write into the same cache line


@lru_cache(maxsize=64)
def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype a fold runs in: float32 for the two 16-bit floats, else ``dtype`` itself; DtypeError if not ours."""
    ours = from_np(dtype)
    if ours.category == 2 and ours.itemsize == 2:
        return np.dtype(np.float32)
    return dtype


@lru_cache(maxsize=256)
def check_op(op: str, dtype: np.dtype[Any], scaled: bool = False) -> None:
    """ArgumentError or DtypeError if ``op`` is unknown or cannot be done on ``dtype``."""
    if op not in UFUNCS:
        raise ArgumentError(f"reduction op {op!r} is not one of {', '.join(UFUNCS)}")
    category = from_np(dtype).category
    if op in _BITWISE and category == 2:
        raise DtypeError(f"reduction op {op!r} works on integers and bool, found {dtype}; try 'sum'")
    if scaled and category != 2:
        raise DtypeError(f"a reduction with scale= needs a floating dtype, found {dtype}")


def scaled(op: str, scale: float | None) -> str:
    """The op as ranks compare it."""
    return op if scale is None else f"{op} times {scale:.9g}"


def spans(count: int, size: int, itemsize: int) -> list[tuple[int, int]]:
    """``size`` consecutive (start, stop) element ranges that cover ``count``; borders lie on cache lines.

    The last ranges may be shorter, or empty.
    """
    line = max(1, LINE_BYTES // itemsize)
    step = -(-count // size)
    step = -(-step // line) * line
    return [(min(i * step, count), min((i + 1) * step, count)) for i in range(size)]


def fold(op: str, parts: Sequence[Array], outs: Sequence[Array], scale: float | None = None) -> None:
    """Write ``((p0 ∘ p1) ∘ p2) ∘ ...``, times ``scale``, to every array of ``outs``; all are (n,) of one dtype.

    An array of ``outs`` may *be* one of ``parts`` (same memory, same offset), but must not overlap one shifted.
    Works in blocks that stay in cache: each element of each part is read from memory once, each out written once.
    """
    count, dtype = parts[0].size, parts[0].dtype
    wide = accumulator(dtype)
    ufunc = UFUNCS[op]
    factor = None if scale is None else wide.type(scale)
    if dtype == wide and count * dtype.itemsize <= SMALL_BYTES and len(parts) > 1:
        free = outs[0] is parts[0] or outs[0] is parts[1]  # nobody needs its old value later
        sums = ufunc(parts[0], parts[1], out=outs[0] if free else None)
        for part in parts[2:]:
            ufunc(sums, part, out=sums)
        if factor is not None:
            np.multiply(sums, factor, out=sums)
        for out in outs:
            if out is not sums:
                out[...] = sums
        return
    step = max(1, BLOCK_BYTES // wide.itemsize)
    # Sums grow in the first out where that is safe: its block is in cache when the next part is added.
    direct = wide == dtype and (
        any(outs[0] is part for part in parts[:2]) or not any(np.may_share_memory(outs[0], part) for part in parts)
    )
    scratch = outs[0] if direct else np.empty(min(step, count), wide)
    for start in range(0, count, step):
        stop = min(start + step, count)
        blocks = [part[start:stop] for part in parts]
        total = scratch[start:stop] if direct else scratch[: stop - start]
        if wide != dtype:
            total[...] = blocks[0]
            accumulate(op, total, blocks[1:])
        elif len(blocks) > 1:
            ufunc(blocks[0], blocks[1], out=total)
            for block in blocks[2:]:
                ufunc(total, block, out=total)
        elif scratch is not parts[0]:
            total[...] = blocks[0]
        if factor is not None:
            np.multiply(total, factor, out=total)
        for out in outs[1:] if direct else outs:
            out[start:stop] = total


def accumulate(op: str, total: Array, parts: Sequence[Array]) -> None:
    """``total = ((total ∘ p0) ∘ p1) ∘ ...``; ``total`` (n,) of the accumulator dtype of ``parts``."""
    ufunc = UFUNCS[op]
    for part in parts:
        ufunc(total, part if part.dtype == total.dtype else part.astype(total.dtype), out=total)
