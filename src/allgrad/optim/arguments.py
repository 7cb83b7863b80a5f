"""The settings of optimizers: reading them as numbers, refusing impossible ones in PyTorch's words."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable
from allgrad.errors import ArgumentError, UnsupportedError


def number(value: Any) -> float:
    """A setting as a Python float; a Tensor with one element counts as its value at this moment."""
    return float(value._a.item()) if isinstance(value, Variable) else value


def check_lr(lr: Any, *, zero: bool = True, says: str = "Invalid learning rate") -> None:
    """The learning rate must be one number >= 0, or > 0 where ``zero`` is not allowed."""
    if isinstance(lr, Variable) and lr._a.size != 1:
        raise ArgumentError(f"Tensor lr must be 1-element, found shape {list(lr._a.shape)}")
    value = number(lr)
    if not (value >= 0.0 if zero else value > 0.0):
        raise ArgumentError(f"{says}: {lr}")


def check_range(name: str, value: Any, low: float = 0.0, high: float | None = None) -> None:
    """``low <= value``, and ``value <= high`` where that is given; else "Invalid <name>: <value>"."""
    found = number(value)
    if not found >= low or (high is not None and not found <= high):
        raise ArgumentError(f"Invalid {name}: {value}")


def check_betas(betas: Any) -> tuple[Any, Any]:
    """Two decay rates in [0, 1), as numbers."""
    if len(betas) != 2:
        raise ArgumentError(f"betas must be two numbers, found {betas}; try betas=(0.9, 0.999)")
    for i, beta in enumerate(betas):
        if isinstance(beta, Variable) and beta._a.size != 1:
            raise ArgumentError(f"Tensor betas[{i}] must be 1-element, found shape {list(beta._a.shape)}")
        if not 0.0 <= number(beta) < 1.0:
            raise ArgumentError(f"Invalid beta parameter at index {i}: {beta}")
    return (number(betas[0]), number(betas[1]))


def check_switches(*, fused: bool | None = None, foreach: bool | None = None, differentiable: bool = False) -> None:
    """Combinations of switches that PyTorch refuses, and ``differentiable``, which is not offered here."""
    if fused and differentiable:
        raise ArgumentError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise ArgumentError("`fused` and `foreach` cannot be `True` together.")
    if differentiable:
        raise UnsupportedError(
            "differentiable=True is not supported: a step changes arrays outside of the graph. To differentiate through "
            "an update write it out, w2 = w - lr * autograd.grad(loss, w, create_graph=True)[0]"
        )
