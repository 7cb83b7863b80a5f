"""Activations: those with parameters or a dimension, and the in-place names; the rest is in ``functions.activation``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import apply, wrap
from allgrad.errors import ArgumentError, IndexRangeError, ShapeError
from allgrad.functions import activation, arithmetic
from allgrad.functions import softmax as soft
from allgrad.functions.promote import floating as to_floating
from allgrad.nn.functional.arguments import floating, same_type, shaped, tensor
from allgrad.ops import arithmetic as ops
from allgrad.ops.activation_prelu import prelu as prelu_op
from allgrad.ops.shape import slice_
from allgrad.random import default_generator


def relu(input: Any, inplace: bool = False) -> Any:
    """``max(input, 0)``."""
    return apply_inplace(ops.relu, input) if inplace else arithmetic.relu(input)


def relu_(input: Any) -> Any:
    """``relu`` in place."""
    return apply_inplace(ops.relu, input)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """``elu`` in place."""
    return activation.elu(input, alpha, inplace=True)


def selu_(input: Any) -> Any:
    """``selu`` in place."""
    return activation.selu(input, inplace=True)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """``celu`` in place."""
    return activation.celu(input, alpha, inplace=True)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """``leaky_relu`` in place."""
    return activation.leaky_relu(input, negative_slope, inplace=True)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """``hardtanh`` in place."""
    return activation.hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """``threshold`` in place."""
    return activation.threshold(input, threshold, value, inplace=True)


def rrelu_(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Any:
    """``rrelu`` in place."""
    return activation.rrelu(input, lower, upper, training, inplace=True)


def tanh(input: Any) -> Any:
    """Hyperbolic tangent."""
    return arithmetic.tanh(input)


def sigmoid(input: Any) -> Any:
    """``1 / (1 + exp(-input))``."""
    return arithmetic.sigmoid(input)


def prelu(input: Any, weight: Any) -> Any:
    """``input`` above 0, else ``weight * input``; weight (1,) or one per channel, the second axis."""
    x, w = floating(input, "prelu"), tensor(weight, "prelu", "weight")
    same_type("prelu", x, w)
    if w._a.size != 1:
        if x._a.ndim == 0:
            raise ShapeError("Not allow zero-dim input tensor.")
        channels = x._a.shape[1] if x._a.ndim > 1 else 1
        if w._a.ndim > 1 or w._a.size != channels:
            raise ShapeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{w._a.size} and channel size = {channels}."
            )
        w = shaped(w, (-1,) + (1,) * (x._a.ndim - 2))
    elif x._a.ndim < w._a.ndim:
        w = shaped(w, ())
    return apply(prelu_op, (x, w), {})


def glu(input: Any, dim: int = -1) -> Any:
    """The first half along ``dim`` times the sigmoid of the second: (..., 2 n, ...) -> (..., n, ...)."""
    x = floating(input, "glu")
    ndim = x._a.ndim
    if ndim == 0:
        raise ShapeError("glu does not support 0-dimensional tensors")
    if not -ndim <= dim < ndim:
        raise IndexRangeError(
            f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {dim})"
        )
    length = x._a.shape[dim]
    if length % 2:
        raise ShapeError(f"Halving dimension must be even, but dimension {dim % ndim} is size {length}")
    lead = (slice(None),) * (dim % ndim)
    a, b = (apply(slice_, (x,), {"index": (*lead, slice(*span))}) for span in ((0, length // 2), (length // 2, length)))
    return a * arithmetic.sigmoid(b)


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """``exp(input) / sum(exp(input))`` along ``dim``."""
    x = tensor(input, "softmax")
    return soft.softmax(x, _implicit_dim("softmax", x._a.ndim) if dim is None else dim, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """``softmax(-input)`` along ``dim``."""
    x = tensor(input, "softmin")
    return soft.softmax(-x, _implicit_dim("softmin", x._a.ndim) if dim is None else dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithm of softmax along ``dim``, stable."""
    x = tensor(input, "log_softmax")
    return soft.log_softmax(x, _implicit_dim("log_softmax", x._a.ndim) if dim is None else dim, dtype)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A draw from the Gumbel-softmax distribution; ``hard`` gives a one-hot value with the soft one's gradient."""
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", UserWarning, stacklevel=2)
    if tau == 0:
        raise ArgumentError("gumbel_softmax: the temperature tau must not be zero")
    x = to_floating(tensor(logits, "gumbel_softmax", "logits"))
    noise = -np.log(default_generator().exponential(x._a.shape, x._a.dtype))
    soft_draw = soft.softmax((x + noise) / tau, dim)
    if not hard:
        return soft_draw
    a = soft_draw._a
    one = np.zeros_like(a)
    np.put_along_axis(one, np.expand_dims(a.argmax(dim), dim), 1, axis=dim)
    return wrap(one - a) + soft_draw
