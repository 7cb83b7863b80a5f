"""Averaged stochastic gradient descent (Polyak & Juditsky 1992, https://doi.org/10.1137/0330046)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.arguments import check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class ASGD(Elementwise):
    """Descent with a falling rate ``eta``; ``state[p]["ax"]`` is the mean of the parameters since step ``t0``."""

    _scalars: Names = ("step", "eta", "mu")

    def __init__(
        self, params: Any, lr: Any = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
        weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False, differentiable: bool = False,
        capturable: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("weight_decay value", weight_decay)
        check_switches(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        return ("ax",)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"eta": number(group["lr"]), "mu": 1.0}

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        steps, etas, mus = scalars
        step, eta, mu = count(steps), etas.item(0), mus.item(0)
        lr, lambd = number(group["lr"]), group["lambd"]
        etas[:] = lr / (1 + lambd * lr * step) ** group["alpha"]
        mus[:] = 1 / max(1.0, step - group["t0"])
        decay = number(group["weight_decay"])
        return Rule(copying if mu == 1 else averaging, (eta, mu), decay, shrink=1 - lambd * eta)


def copying(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``p -= eta * g``; the mean is p itself until averaging starts."""
    (mean,), t = moments, temporaries[0]
    np.multiply(g, c[0], t)
    np.subtract(p, t, p)
    mean[...] = p


def averaging(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``p -= eta * g;  mean += mu * (p - mean)``."""
    (mean,), t = moments, temporaries[0]
    np.multiply(g, c[0], t)
    np.subtract(p, t, p)
    np.subtract(p, mean, t)
    np.multiply(t, c[1], t)
    np.add(mean, t, mean)
