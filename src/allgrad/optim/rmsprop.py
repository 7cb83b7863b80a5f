"""RMSprop (Hinton, lecture 6 of https://www.cs.toronto.edu/~tijmen/csc321/, centered after Graves, arXiv 1308.0850)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.arguments import check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class RMSprop(Elementwise):
    """Gradients over the root of a running mean of their squares; ``centered`` takes their variance in its place."""

    def __init__(
        self, params: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
        momentum: float = 0, centered: bool = False, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("epsilon value", eps)
        check_range("momentum value", momentum)
        check_range("weight_decay value", weight_decay)
        check_range("alpha value", alpha)
        check_switches(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return tuple(names)

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        count(scalars[0])
        alpha = group["alpha"]
        numbers = (number(group["lr"]), alpha, 1 - alpha, group["eps"], number(group["momentum"]))
        kernel = KERNELS[group["momentum"] > 0, bool(group["centered"])]
        return Rule(kernel, numbers, number(group["weight_decay"]))


def _root(v: Array, g: Array, mean: Array | None, t: Array, c: list[Array]) -> None:
    """``v = alpha * v + (1 - alpha) * g * g``, and in ``t`` the root of v, or of v - mean², plus eps."""
    np.multiply(g, g, t)
    np.multiply(t, c[2], t)
    np.multiply(v, c[1], v)
    np.add(v, t, v)
    if mean is None:
        np.sqrt(v, t)
    else:
        np.multiply(g, c[2], t)
        np.multiply(mean, c[1], mean)
        np.add(mean, t, mean)
        np.multiply(mean, mean, t)
        np.subtract(v, t, t)
        np.sqrt(t, t)
    np.add(t, c[3], t)


def plain(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``p -= lr * g / root``."""
    t = temporaries[0]
    _root(moments[0], g, moments[1] if len(moments) > 1 else None, t, c)
    np.divide(g, t, t)
    np.multiply(t, c[0], t)
    np.subtract(p, t, p)


def with_momentum(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``b = momentum * b + g / root;  p -= lr * b``."""
    b, t = moments[1], temporaries[0]
    _root(moments[0], g, moments[2] if len(moments) > 2 else None, t, c)
    np.divide(g, t, t)
    np.multiply(b, c[4], b)
    np.add(b, t, b)
    np.multiply(b, c[0], t)
    np.subtract(p, t, p)


KERNELS = {
    (False, False): plain,
    (False, True): plain,
    (True, False): with_momentum,
    (True, True): with_momentum,
}
