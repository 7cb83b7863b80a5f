"""RAdam: Adam that waits until the variance can be trusted (Liu et al. 2020, https://arxiv.org/abs/1908.03265)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.adam import PLAIN, adam, track
from allgrad.optim.arguments import check_betas, check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class RAdam(Elementwise):
    """Plain momentum during the first steps, then Adam with a rectified rate."""

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("epsilon value", eps)
        check_betas(betas)
        check_range("weight_decay value", weight_decay)
        check_switches(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        return PLAIN

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        step = count(scalars[0])
        beta1, beta2 = group["betas"]
        lr, weight_decay = number(group["lr"]), number(group["weight_decay"])
        rate, correction2 = lr / (1 - beta1**step), 1 - beta2**step
        # How many gradients the running variance averages: at most, and now.
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / correction2
        kernel = momentum_only
        if length > 5.0:
            kernel = adam
            rate *= (
                correction2 * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            ) ** 0.5
        numbers = (beta1, 1 - beta1, beta2, 1 - beta2, group["eps"], rate)
        if group["decoupled_weight_decay"]:
            return Rule(kernel, numbers, shrink=1 - lr * weight_decay)
        return Rule(kernel, numbers, decay=weight_decay)


def momentum_only(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``p -= rate * m`` after ``track``."""
    (m, v), t = moments, temporaries[0]
    track(g, m, v, t, c)
    np.multiply(m, c[5], t)
    np.subtract(p, t, p)
