"""Dropout of elements, channels, and the variants for self-normalizing networks."""

from __future__ import annotations

import warnings
from typing import Any

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError
from allgrad.nn.functional.arguments import tensor
from allgrad.ops.arithmetic import add, mul
from allgrad.random import default_generator


def _kept(shape: tuple[int, ...], p: float, dtype: Any) -> Any:
    """One where an element stays, drawn from the default generator as PyTorch does."""
    return default_generator().bernoulli(1 - p, shape, dtype)


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout probability has to be between 0 and 1, but got {p}")


def _times(x: Any, factor: Any, inplace: bool) -> Any:
    return apply_inplace(mul, x, (factor,)) if inplace else apply(mul, (x, factor), {})


def _drop(input: Any, shape: tuple[int, ...], p: float, training: bool, inplace: bool, name: str) -> Any:
    x = tensor(input, name)
    if not training or p == 0.0 or x._a.size == 0:
        return x
    dtype = x._a.dtype
    if p == 1.0:
        return _times(x, dtype.type(0), inplace)
    mask = _kept(shape, p, dtype)
    mask /= dtype.type(1 - p)
    return _times(x, mask, inplace)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each element zero with probability ``p``, else divided by ``1 - p``; unchanged unless ``training``."""
    _check(p)
    x = tensor(input, "dropout")
    return _drop(x, x._a.shape, p, training, inplace, "dropout")


def _channels(x: Any) -> tuple[int, ...]:
    return (*x._a.shape[:2], *(1,) * (x._a.ndim - 2))


def feature_dropout(name: str, input: Any, p: float, training: bool, inplace: bool, ndims: tuple[int, ...]) -> Any:
    """Whole channels zero with probability ``p``; the last of ``ndims`` is that with a batch axis."""
    _check(p)
    x = tensor(input, name)
    if x._a.ndim not in ndims:
        warnings.warn(
            f"{name}: Received a {x._a.ndim}-D input to {name}, which is deprecated and will result in an error in a "
            f"future release; {' or '.join(f'{n}-D' for n in ndims)} is expected.",
            UserWarning,
            stacklevel=3,
        )
    shape = (x._a.shape[0], *(1,) * (x._a.ndim - 1)) if x._a.ndim == ndims[0] != ndims[-1] else _channels(x)
    return _drop(x, shape, p, training, inplace, name)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Whole channels dropped: (n, c, length) or (c, length)."""
    return feature_dropout("dropout1d", input, p, training, inplace, (2, 3))


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Whole channels dropped: (n, c, h, w)."""
    return feature_dropout("dropout2d", input, p, training, inplace, (4,))


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Whole channels dropped: (n, c, d, h, w) or (c, d, h, w)."""
    return feature_dropout("dropout3d", input, p, training, inplace, (4, 5))


_SCALE, _ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
_FLOOR = -_SCALE * _ALPHA  # what SELU tends to; a dropped element gets this value


def _alpha(name: str, input: Any, shape: Any, p: float, training: bool, inplace: bool) -> Any:
    _check(p)
    x = tensor(input, name)
    if not training or p == 0.0 or x._a.size == 0:
        return x
    if p == 1.0:
        return _times(x, x._a.dtype.type(0), inplace)
    a = ((_FLOOR * _FLOOR * p + 1) * (1 - p)) ** -0.5
    keep = _kept(shape, p, x._a.dtype)
    shift = (keep - 1) * x._a.dtype.type(-_FLOOR * a) + x._a.dtype.type(-_FLOOR * a * p)
    keep *= x._a.dtype.type(a)
    y = _times(x, keep, inplace)
    return apply_inplace(add, y, (shift,)) if inplace else apply(add, (y, shift), {})


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps mean and variance of SELU networks: dropped elements take SELU's lower limit."""
    return _alpha("alpha_dropout", input, tensor(input, "alpha_dropout")._a.shape, p, training, inplace)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """``alpha_dropout`` of whole channels: (n, c, ...)."""
    x = tensor(input, "feature_alpha_dropout")
    return _alpha("feature_alpha_dropout", x, _channels(x), p, training, inplace)
