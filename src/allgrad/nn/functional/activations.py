"""Activations: elementwise functions with ``inplace``, and the softmax family."""

from __future__ import annotations

import warnings
from typing import Any

from allgrad.autograd.inplace import apply_inplace
from allgrad.functions import arithmetic
from allgrad.functions import softmax as soft
from allgrad.nn.functional.arguments import tensor
from allgrad.ops import arithmetic as ops


def relu(input: Any, inplace: bool = False) -> Any:
    """``max(input, 0)``."""
    return apply_inplace(ops.relu, input) if inplace else arithmetic.relu(input)


def tanh(input: Any) -> Any:
    """Hyperbolic tangent."""
    return arithmetic.tanh(input)


def sigmoid(input: Any) -> Any:
    """``1 / (1 + exp(-input))``."""
    return arithmetic.sigmoid(input)


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        UserWarning,
        stacklevel=4,
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
