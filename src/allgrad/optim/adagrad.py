"""Adagrad (Duchi, Hazan & Singer 2011, https://jmlr.org/papers/v12/duchi11a.html)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.arguments import check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class Adagrad(Elementwise):
    """Gradients over the root of the sum of all their squares; the state exists from the start, as in PyTorch."""

    def __init__(
        self, params: Any, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("lr_decay value", lr_decay)
        check_range("weight_decay value", weight_decay)
        check_range("initial_accumulator_value value", initial_accumulator_value)
        check_range("epsilon value", eps)
        check_switches(fused=fused, foreach=foreach, differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        for index, group in enumerate(self.param_groups):
            self._plan(index, group, [True] * len(group["params"]))

    def share_memory(self) -> None:
        """Nothing to do: threads share all memory, and processes exchange gradients, not optimizer state."""

    def _moments(self, group: dict[str, Any]) -> Names:
        return ("sum",)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"sum": self.defaults["initial_accumulator_value"]}

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        rate = number(group["lr"]) / (1 + (count(scalars[0]) - 1) * group["lr_decay"])
        return Rule(adagrad, (rate, group["eps"]), number(group["weight_decay"]))


def adagrad(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``s += g * g;  p -= rate * g / (sqrt(s) + eps)``."""
    (s,), t = moments, temporaries[0]
    np.multiply(g, g, t)
    np.add(s, t, s)
    np.sqrt(s, t)
    np.add(t, c[1], t)
    np.divide(g, t, t)
    np.multiply(t, c[0], t)
    np.subtract(p, t, p)
