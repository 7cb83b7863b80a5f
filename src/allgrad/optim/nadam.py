"""NAdam: Adam with Nesterov momentum (Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.adam import PLAIN, track
from allgrad.optim.arguments import check_betas, check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class NAdam(Elementwise):
    """Adam that looks one step ahead; ``momentum_decay`` warms the momentum up."""

    _scalars: Names = ("step", "mu_product")
    _temporaries = 2

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("epsilon value", eps)
        check_betas(betas)
        check_range("weight_decay value", weight_decay)
        check_range("momentum_decay value", momentum_decay)
        check_switches(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        return PLAIN

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"mu_product": 1.0}

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        step = count(scalars[0])
        (beta1, beta2), decay = group["betas"], group["momentum_decay"]
        lr, weight_decay = number(group["lr"]), number(group["weight_decay"])
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * decay))
        np.multiply(scalars[1], mu, scalars[1])
        product = scalars[1].item(0)
        root = (1 - beta2**step) ** 0.5
        numbers = (
            beta1, 1 - beta1, beta2, 1 - beta2, group["eps"] * root,
            lr * root * (1 - mu) / (1 - product), lr * root * mu_next / (1 - product * mu_next),
        )  # fmt: skip
        if group["decoupled_weight_decay"]:
            return Rule(nadam, numbers, shrink=1 - lr * weight_decay)
        return Rule(nadam, numbers, decay=weight_decay)


def nadam(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``p -= (rate1 * g + rate2 * m) / (sqrt(v) + eps)`` after ``track``."""
    (m, v), (t, u) = moments, temporaries
    track(g, m, v, t, c)
    np.multiply(g, c[5], t)
    np.multiply(m, c[6], u)
    np.add(t, u, t)
    np.sqrt(v, u)
    np.add(u, c[4], u)
    np.divide(t, u, t)
    np.subtract(p, t, p)
