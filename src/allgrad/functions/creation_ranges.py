"""Tensors that count: arange, linspace, logspace, eye."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.absent import on_cpu
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.creation import finish, np_dtype, number

Array = np.ndarray[Any, Any]


def arange(
    *bounds: Any, start: Any = None, end: Any = None, step: Any = None, out: Any = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Any:  # fmt: skip
    """Numbers from ``start`` (0) up to but without ``end`` in steps of ``step`` (1); int64 unless one is a float."""
    on_cpu(device)
    given = list(bounds)
    if len(given) > 3:
        raise DtypeError(f"arange() takes start, end and step, found {len(given)} arguments")
    if len(given) == 1 and end is None:
        end = given[0]
    elif given:
        start = given[0]
        end = given[1] if len(given) > 1 else end
        step = given[2] if len(given) > 2 else step
    start, step = number(0 if start is None else start), number(1 if step is None else step)
    if end is None:
        raise DtypeError('arange() missing 1 required positional argument: "end"')
    end = number(end)
    if step == 0:
        raise ArgumentError("step must be nonzero")
    if not all(math.isfinite(x) for x in (start, end)):
        raise ArgumentError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise ArgumentError(
            f"upper bound and lower bound inconsistent with step sign: start={start} end={end} step={step}"
        )
    whole = all(isinstance(x, int) for x in (start, end, step))
    if out is not None and dtype is None:
        kind = out._a.dtype
    elif dtype is None and whole:
        kind = np.dtype(np.int64)
    else:
        kind = np_dtype(dtype)
    if kind.kind in "iu":
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ArgumentError(f"step must be nonzero; in {kind.name} it is rounded to 0")
    count = -(-(end - start) // step) if kind.kind in "iu" else math.ceil((end - start) / step)
    values: Array = start + np.arange(count) * step
    return finish(values.astype(kind), requires_grad, out)


def _spaced(start: float, end: float, steps: Any, kind: np.dtype[Any]) -> Array:
    """Counted from both ends towards the middle, in the dtype itself: symmetric, both ends exact."""
    steps = int(number(steps))
    if steps < 0:
        raise ArgumentError(f"number of steps must be non-negative, found {steps}")
    if steps == 1:
        return np.array([start]).astype(kind)
    if kind.kind in "iub":
        low, high = float(int(start)), float(int(end))
        step = (high - low) / (steps - 1) if steps else 0.0
        index = np.arange(steps)
        return np.where(index < steps // 2, low + step * index, high - step * (steps - 1 - index)).astype(kind)
    working = kind if kind.itemsize >= 4 else np.dtype(np.float32)
    first, last = working.type(start), working.type(end)
    step = (last - first) / working.type(max(steps - 1, 1))
    index = np.arange(steps)
    # A product and a sum rounded once, as fused multiply-add does: exact in the next wider type.
    wide: Any = np.float64 if working.itemsize < 8 else np.longdouble
    front = wide(first) + wide(step) * index.astype(wide)
    back = wide(last) - wide(step) * (steps - 1 - index).astype(wide)
    return np.where(index < steps // 2, front, back).astype(working).astype(kind)


def linspace(
    start: Any, end: Any, steps: Any, *, out: Any = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """``steps`` numbers from ``start`` to ``end``, both included."""
    on_cpu(device)
    kind = out._a.dtype if out is not None and dtype is None else np_dtype(dtype)
    return finish(_spaced(number(start), number(end), steps, kind), requires_grad, out)


def logspace(
    start: Any, end: Any, steps: Any, base: float = 10.0, *, out: Any = None, dtype: Any = None,
    layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """``base`` to the powers ``linspace(start, end, steps)``."""
    on_cpu(device)
    kind = out._a.dtype if out is not None and dtype is None else np_dtype(dtype)
    exponents = _spaced(number(start), number(end), steps, np.dtype(np.float64))
    return finish(np.power(float(base), exponents).astype(kind), requires_grad, out)


def eye(
    n: int, m: int | None = None, *, out: Any = None, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Any:  # fmt: skip
    """Ones on the diagonal: (n, m)."""
    on_cpu(device)
    for name, x in (("n", n), ("m", n if m is None else m)):
        if not isinstance(x, (int, np.integer)):
            raise DtypeError(f"eye(): argument {name!r} must be int, not {type(x).__name__}")
        if x < 0:
            raise ArgumentError(f"{name} must be greater or equal to 0, got {x}")
    return finish(np.eye(n, m, dtype=np_dtype(dtype)), requires_grad, out)
