"""``allgrad.testing``: comparing tensors in tests, and tensors of random values for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable
from allgrad.dtypes import to_dtype
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.creation import finish, shape_of
from allgrad.random import default_generator

Array = np.ndarray[Any, Any]
# Relative and absolute tolerance by dtype, PyTorch's; whole numbers and bools must be equal.
TOLERANCES = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}

__all__ = ["assert_close", "make_tensor"]


def assert_close(
    actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None,
    equal_nan: bool = False, check_device: bool = True, check_dtype: bool = True, check_layout: bool = True,
    check_stride: bool = False, msg: str | Callable[[str], str] | None = None,
) -> None:  # fmt: skip
    """AssertionError unless ``|actual - expected| <= atol + rtol * |expected|`` everywhere, in shape and dtype too.

    Takes tensors, arrays, numbers, and sequences and mappings of them.  The tolerances follow the dtype unless both
    are given.

    >>> import allgrad as torch
    >>> torch.testing.assert_close(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]))
    """
    if (rtol is None) != (atol is None):
        raise ArgumentError(f"rtol and atol must both be specified or both be unspecified, found {rtol=} and {atol=}")
    wrong = _difference(actual, expected, "", rtol, atol, equal_nan, check_dtype, check_stride)
    if wrong is not None:
        raise AssertionError(msg(wrong) if callable(msg) else wrong if msg is None else msg)


def _difference(
    actual: Any, expected: Any, where: str, rtol: Any, atol: Any, equal_nan: bool, dtypes: bool, strides: bool
) -> str | None:
    """What is different, in words, or None."""
    rest = (rtol, atol, equal_nan, dtypes, strides)
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if set(actual) != set(expected):
            return f"The keys of the mappings do not match{where}: {sorted(map(str, set(actual) ^ set(expected)))}"
        found = (_difference(actual[k], expected[k], f"{where}[{k!r}]", *rest) for k in expected)
        return next((text for text in found if text is not None), None)
    if _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch{where}: {len(actual)} != {len(expected)}"
        found = (_difference(a, e, f"{where}[{i}]", *rest) for i, (a, e) in enumerate(zip(actual, expected)))
        return next((text for text in found if text is not None), None)
    if isinstance(actual, Variable) != isinstance(expected, Variable):
        raise DtypeError(
            f"assert_close cannot compare {type(actual).__name__} with {type(expected).__name__}{where}; "
            "make both tensors, or both arrays"
        )
    if not isinstance(actual, Variable) and not isinstance(actual, (int, float, np.ndarray, np.generic)):
        return None if actual == expected else f"{actual!r} != {expected!r}{where}"
    a, e = _array(actual), _array(expected)
    if a.shape != e.shape:
        return f"The values for attribute 'shape' do not match{where}: {a.shape} != {e.shape}"
    typed = isinstance(actual, (Variable, np.ndarray, np.generic))
    if dtypes and typed and a.dtype != e.dtype:
        return f"The values for attribute 'dtype' do not match{where}: {a.dtype.name} != {e.dtype.name}"
    if strides and typed and a.strides != e.strides:
        return f"The values for attribute 'stride()' do not match{where}: {a.strides} != {e.strides}"
    if rtol is None:
        known = [TOLERANCES.get(x.dtype.name, (0.0, 0.0)) for x in (a, e)]
        rtol, atol = max(k[0] for k in known), max(k[1] for k in known)
    return _unequal(a, e, where, rtol, atol, equal_nan)


def _unequal(a: Array, e: Array, where: str, rtol: float, atol: float, equal_nan: bool) -> str | None:
    exact = a.dtype.kind in "iub" and e.dtype.kind in "iub" and rtol == atol == 0
    if not exact:
        a, e = a.astype(np.float64), e.astype(np.float64)
    same = a == e
    if not exact:
        gap = np.abs(a - e)
        same |= np.isfinite(gap) & (gap <= atol + rtol * np.abs(e))
        if equal_nan:
            same |= np.isnan(a) & np.isnan(e)
    if same.all():
        return None
    at = np.unravel_index(int(np.argmin(same)), same.shape) if a.ndim else ()
    count = int((~same).sum())
    return (
        f"{'Tensor-likes' if a.ndim else 'Scalars'} are not close{where}: {count} of {a.size} elements differ "
        f"({100 * count / max(a.size, 1):.1f}%), the first at index {tuple(int(i) for i in at)}: "
        f"{a[at]} and {e[at]} (allowed: {atol} absolute, {rtol} relative)"
    )


def _is_sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, (str, bytes))


def _array(x: Any) -> Array:
    return x._a if isinstance(x, Variable) else np.asarray(x)


def make_tensor(
    *shape: Any, dtype: Any, device: Any = None, low: float | None = None, high: float | None = None,
    requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False, memory_format: Any = None,
) -> Any:  # fmt: skip
    """Random values in [low, high): -9 to 9 for floating dtypes and signed integers, 0 to 9 unsigned, 0 and 1 bool.

    With ``exclude_zero`` zeros become the smallest number above; ``noncontiguous`` has every second place of memory.
    """
    kind = to_dtype(dtype).np
    size = shape_of(shape)
    least = 0.0 if kind.kind in "ub" else -9.0
    low, high = least if low is None else low, (2.0 if kind.kind == "b" else 9.0) if high is None else high
    if low > high or math.isnan(low) or math.isnan(high):
        raise ArgumentError(f"make_tensor: low must be below high, found low={low} and high={high}")
    wide = (*size[:-1], size[-1] * 2) if noncontiguous and size else size
    drawn = default_generator().uniform(wide, kind if kind.name in ("float32", "float64") else np.float64, low, high)
    values = (np.floor(drawn) if kind.kind in "iub" else np.asarray(drawn)).astype(kind)
    if exclude_zero:
        values[values == 0] = 1 if kind.kind in "iub" else np.finfo(kind).tiny
    return finish(values[..., ::2] if noncontiguous and size else values, requires_grad)
