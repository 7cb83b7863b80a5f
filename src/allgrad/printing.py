"""The text of a tensor: exactly what PyTorch's ``repr`` prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from allgrad.dtypes import bool_, dtype, get_default_dtype, int64
from allgrad.errors import ArgumentError


@dataclass(frozen=True)
class Options:
    """How tensors are printed."""

    precision: int = 4  # digits after the point
    threshold: float = 1000  # elements above which only the edges are shown
    edgeitems: int = 3  # elements at each edge of a dimension that is not shown whole
    linewidth: int = 80  # characters
    sci_mode: bool | None = None  # None: scientific notation where the magnitudes ask for it


_PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=math.inf),
}
_options = Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set what is not None, after a profile (``"default"``, ``"short"``, ``"full"``); sci_mode is always set."""
    global _options
    new = _options
    if profile is not None:
        if profile not in _PROFILES:
            raise ArgumentError(f"profile must be one of {', '.join(_PROFILES)}, found {profile!r}")
        new = _PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _options = replace(new, sci_mode=sci_mode, **changes)


def get_printoptions() -> Options:
    """The options in force."""
    return _options


def format_array(a: np.ndarray, *, dtype: dtype, requires_grad: bool = False, grad_fn_name: str | None = None) -> str:
    """``repr`` of a tensor with these elements: any shape, any dtype of ours.

    >>> from allgrad.dtypes import float64
    >>> print(format_array(np.array([[1.0, -0.5], [np.inf, 2.0]]), dtype=float64, requires_grad=True))
    tensor([[ 1.0000, -0.5000],
            [    inf,  2.0000]], dtype=torch.float64, requires_grad=True)
    """
    options = _options
    suffixes = []
    indent = len("tensor(")
    if a.size == 0:
        body = "[]"
        if a.ndim != 1:
            suffixes.append(f"size={a.shape}")
        if dtype is not get_default_dtype():
            suffixes.append(f"dtype={dtype}")
    else:
        body = _body(a, dtype, indent, options)
        if options.edgeitems == 0:
            suffixes.append(f"size={a.shape}")
        if dtype not in (get_default_dtype(), int64, bool_):
            suffixes.append(f"dtype={dtype}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes("tensor(" + body, suffixes, indent, options.linewidth)


def format_parameter(
    a: np.ndarray, *, dtype: dtype, requires_grad: bool = True, grad_fn_name: str | None = None
) -> str:
    """``repr`` of a parameter: a heading and the tensor."""
    text = format_array(a, dtype=dtype, requires_grad=requires_grad, grad_fn_name=grad_fn_name)
    return "Parameter containing:\n" + text


def _body(a: np.ndarray, dtype: dtype, indent: int, options: Options) -> str:
    summarize = a.size > options.threshold
    if summarize and a.ndim and options.edgeitems == 0:
        return "[...]"
    shown = _edges(a, options.edgeitems) if summarize else a
    if dtype.is_floating_point:
        if dtype.itemsize == 2:
            a, shown = a.astype(np.float32), shown.astype(np.float32)
        show, width = _float_style(shown, options)
    else:
        width = max(len(str(v)) for v in shown.reshape(-1).tolist())
        show = lambda value: str(value).rjust(width)
    return _nested(a, indent, summarize, show, width, options)


def _edges(a: np.ndarray, edge: int) -> np.ndarray:
    """The corners that will be shown, and nothing of the middle."""
    for axis, size in enumerate(a.shape):
        if size > 2 * edge:
            a = np.take(a, [*range(edge), *range(size - edge, size)], axis=axis)
    return a


def _float_style(shown: np.ndarray, options: Options) -> tuple[Callable[[float], str], int]:
    """How to write each float, and how wide: integers as ``1.``, else fixed point, else scientific."""
    flat = shown.reshape(-1).astype(np.float64)
    flat = flat[np.isfinite(flat) & (flat != 0)]
    whole, scientific, width = True, False, 1
    if flat.size:
        magnitude = np.abs(flat)
        low, high = float(magnitude.min()), float(magnitude.max())
        whole = bool((flat == np.ceil(flat)).all())
        scientific = high / low > 1000.0 or high > 1.0e8 or (not whole and low < 1.0e-4)
        if options.sci_mode is not None:
            scientific = options.sci_mode
        digits = f".{options.precision}e" if scientific else f".{0 if whole else options.precision}f"
        width = max(len(format(v, digits)) for v in flat.tolist()) + (whole and not scientific)
    if scientific:
        spec, point = f".{options.precision}e", ""
    elif whole:
        spec, point = ".0f", "."
    else:
        spec, point = f".{options.precision}f", ""

    def show(value: float) -> str:
        text = format(value, spec)
        return (text + point if math.isfinite(value) else text).rjust(width)

    return show, width


def _nested(
    a: np.ndarray, indent: int, summarize: bool, show: Callable[[Any], str], width: int, options: Options
) -> str:
    if a.ndim == 0:
        return show(a.item())
    if a.ndim == 1:
        return _row(a, indent, summarize, show, width, options)
    parts = _shown(
        a, summarize, options.edgeitems, lambda part: _nested(part, indent + 1, summarize, show, width, options), "..."
    )
    return "[" + ("," + "\n" * (a.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _row(a: np.ndarray, indent: int, summarize: bool, show: Callable[[Any], str], width: int, options: Options) -> str:
    per_line = max(1, (options.linewidth - indent) // (width + 2))
    parts = _shown(a, summarize, options.edgeitems, lambda part: show(part.item()), " ...")
    lines = [", ".join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _shown(
    a: np.ndarray, summarize: bool, edge: int, write: Callable[[np.ndarray], str], ellipsis: str
) -> Sequence[str]:
    """Each item of the first dimension as text, or those at its edges around an ellipsis."""
    if summarize and len(a) > 2 * edge:
        first = [write(a[i]) for i in range(edge)]
        return [*first, ellipsis, *[write(a[i]) for i in range(len(a) - edge, len(a))]]
    return [write(a[i]) for i in range(len(a))]


def _with_suffixes(text: str, suffixes: list[str], indent: int, linewidth: int) -> str:
    """Add ``dtype=...`` and its like to the last line while they fit, else on lines of their own."""
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text + ")"
