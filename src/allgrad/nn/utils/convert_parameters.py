"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allgrad.autograd.record import Variable
from allgrad.errors import DtypeError
from allgrad.functions.joining import cat


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All parameters as one vector, recorded: -> (count,)."""
    return cat([p.view(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Put the values of a vector into parameters, in order."""
    if not isinstance(vec, Variable):
        raise DtypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        count = p.numel()
        p._a = vec._a[start : start + count].reshape(p._a.shape)
        start += count
