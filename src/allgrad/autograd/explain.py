"""NumPy's errors in this library's words: which op, which shapes and dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.errors import AllgradError, DtypeError, IndexRangeError, ShapeError
from allgrad.ops.op import Op


def explained(op: Op, arrays: Sequence[Any], error: Exception) -> Exception:
    """The typed error for what NumPy raised in ``op``; allgrad's own errors pass unchanged."""
    if isinstance(error, AllgradError):
        return error
    shown = ", ".join(
        f"{'x' if a.ndim else 'scalar '}{list(a.shape)} {a.dtype.name}" if isinstance(a, np.ndarray) else repr(a)
        for a in arrays
    )
    if isinstance(error, IndexError):
        return IndexRangeError(f"{op.name}({shown}): {error}")
    if isinstance(error, TypeError):
        return DtypeError(f"{op.name}({shown}): {error}")
    clash = _clash([a.shape for a in arrays if isinstance(a, np.ndarray)])
    if "broadcast" in str(error) and clash:
        return ShapeError(f"{clash} in {op.name}({shown})")
    return ShapeError(f"{op.name}({shown}): {error}")


def broadcast_shape(*arrays: Any) -> tuple[int, ...]:
    """The common shape of arrays and numbers; ShapeError naming sizes and dimension."""
    shapes = [np.shape(a) for a in arrays]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise ShapeError(_clash(shapes) or str(error)) from error


def _clash(shapes: Sequence[tuple[int, ...]]) -> str:
    for k, a in enumerate(shapes):
        for b in shapes[k + 1 :]:
            for i in range(1, min(len(a), len(b)) + 1):
                if a[-i] != b[-i] and 1 not in (a[-i], b[-i]):
                    dim = max(len(a), len(b)) - i
                    return (
                        f"The size of tensor a ({a[-i]}) must match the size of tensor b ({b[-i]}) "
                        f"at non-singleton dimension {dim}"
                    )
    return ""
