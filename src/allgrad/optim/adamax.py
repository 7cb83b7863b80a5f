"""Adamax: Adam with the infinity norm (Kingma & Ba 2015, section 7.1, https://arxiv.org/abs/1412.6980)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.arguments import check_betas, check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class Adamax(Elementwise):
    """A running mean of gradients over a decaying maximum of their sizes."""

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, foreach: bool | None = None, *, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("epsilon value", eps)
        check_betas(betas)
        check_range("weight_decay value", weight_decay)
        check_switches(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        return ("exp_avg", "exp_inf")

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        beta1, beta2 = group["betas"]
        rate = number(group["lr"]) / (1 - beta1 ** count(scalars[0]))
        return Rule(adamax, (beta1, 1 - beta1, beta2, group["eps"], rate), number(group["weight_decay"]))


def adamax(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``m = beta1 * m + (1 - beta1) * g;  u = max(beta2 * u, |g| + eps);  p -= rate * m / u``."""
    (m, u), t = moments, temporaries[0]
    np.multiply(g, c[1], t)
    np.multiply(m, c[0], m)
    np.add(m, t, m)
    np.absolute(g, t)
    np.add(t, c[3], t)
    np.multiply(u, c[2], u)
    np.maximum(u, t, out=u)
    np.divide(m, u, t)
    np.multiply(t, c[4], t)
    np.subtract(p, t, p)
