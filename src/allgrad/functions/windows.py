"""Windows that fade a stretch of signal in and out: hann, hamming, blackman, bartlett, kaiser.

Sources: Harris 1978, "On the use of windows for harmonic analysis with the discrete Fourier transform".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.creation import finish, np_dtype

Array = np.ndarray[Any, Any]


def _phases(name: str, window_length: int, periodic: bool, dtype: Any) -> tuple[Array, int, np.dtype[Any]]:
    """0 to ``window_length - 1`` in float64, the number of steps of one period, and the dtype wanted."""
    kind = np_dtype(dtype)
    if kind.kind in "iub":
        raise DtypeError(f"{name} expects floating point dtypes, got: {kind.name}")
    if window_length < 0:
        raise ArgumentError(f"{name} requires non-negative window_length, got window_length={window_length}")
    return np.arange(window_length, dtype=np.float64), window_length if periodic else window_length - 1, kind


def _cosines(
    name: str, length: int, periodic: bool, weights: tuple[float, ...], dtype: Any, requires_grad: bool
) -> Any:
    """``sum((-1) ** k * weights[k] * cos(2 pi k n / steps))``: (length,); a single point is 1."""
    n, steps, kind = _phases(name, length, periodic, dtype)
    if length == 1:
        return finish(np.ones(1, kind), requires_grad)
    found = np.zeros(length)
    for k, weight in enumerate(weights):
        found += (-1) ** k * weight * np.cos(2 * math.pi * k * n / steps)
    return finish(found.astype(kind), requires_grad)


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """``sin(pi n / steps) ** 2``: (window_length,).

    >>> import allgrad as torch
    >>> torch.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _cosines("hann_window", window_length, periodic, (0.5, 0.5), dtype, requires_grad)


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: Any = None,
    layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """``alpha - beta cos(2 pi n / steps)``: (window_length,)."""
    return _cosines("hamming_window", window_length, periodic, (alpha, beta), dtype, requires_grad)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """``0.42 - 0.5 cos(2 pi n / steps) + 0.08 cos(4 pi n / steps)``: (window_length,)."""
    return _cosines("blackman_window", window_length, periodic, (0.42, 0.5, 0.08), dtype, requires_grad)


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: Any = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """A triangle from 0 up to 1 and back: (window_length,)."""
    n, steps, kind = _phases("bartlett_window", window_length, periodic, dtype)
    if window_length == 1:
        return finish(np.ones(1, kind), requires_grad)
    return finish((1 - np.abs(2 * n / steps - 1) if window_length else n).astype(kind), requires_grad)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Any:  # fmt: skip
    """``I0(beta sqrt(1 - (2 n / steps - 1) ** 2)) / I0(beta)``, with the Bessel function I0: (window_length,)."""
    n, steps, kind = _phases("kaiser_window", window_length, periodic, dtype)
    if window_length == 1:
        return finish(np.ones(1, kind), requires_grad)
    inside = np.maximum(1 - (2 * n / steps - 1) ** 2, 0) if window_length else n
    return finish((np.i0(beta * np.sqrt(inside)) / np.i0(beta)).astype(kind), requires_grad)
