"""Adadelta (Zeiler 2012, https://arxiv.org/abs/1212.5701)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.arguments import check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class Adadelta(Elementwise):
    """Gradients over their root mean square, times the root mean square of the updates so far."""

    _temporaries = 2

    def __init__(
        self, params: Any, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
        foreach: bool | None = None, *, capturable: bool = False, maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("rho value", rho, 0.0, 1.0)
        check_range("epsilon value", eps)
        check_range("weight_decay value", weight_decay)
        check_switches(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        return ("square_avg", "acc_delta")

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        count(scalars[0])
        rho = group["rho"]
        return Rule(adadelta, (rho, 1 - rho, group["eps"], number(group["lr"])), number(group["weight_decay"]))


def adadelta(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``s = mean of g²;  d = g * sqrt((a + eps) / (s + eps));  a = mean of d²;  p -= lr * d``."""
    (s, a), (t, u) = moments, temporaries
    np.multiply(g, g, t)
    np.multiply(t, c[1], t)
    np.multiply(s, c[0], s)
    np.add(s, t, s)
    np.add(s, c[2], t)
    np.sqrt(t, t)
    np.add(a, c[2], u)
    np.sqrt(u, u)
    np.divide(u, t, u)
    np.multiply(u, g, u)
    np.multiply(u, u, t)
    np.multiply(t, c[1], t)
    np.multiply(a, c[0], a)
    np.add(a, t, a)
    np.multiply(u, c[3], u)
    np.subtract(p, u, p)
