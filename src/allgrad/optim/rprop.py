"""Rprop: steps by the sign of the gradient alone (Riedmiller & Braun 1993), in the variant without backtracking."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.errors import ArgumentError
from allgrad.optim.arguments import check_lr, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class Rprop(Elementwise):
    """Each element has a step size of its own, which grows while its gradient keeps its sign and shrinks when not."""

    def __init__(
        self, params: Any, lr: Any = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False, foreach: bool | None = None,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ArgumentError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        check_switches(differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        return ("prev", "step_size")

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step_size": number(group["lr"])}

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        count(scalars[0])
        return Rule(rprop, (*group["etas"], *group["step_sizes"]))


def rprop(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``s *= eta+ or eta-;  p -= s * sign(g)``; an element whose gradient turned round waits for one step."""
    (previous, s), t = moments, temporaries[0]
    np.multiply(g, previous, t)
    turned = t < 0
    np.multiply(s, c[1], out=s, where=t > 0)
    np.multiply(s, c[0], out=s, where=turned)
    np.clip(s, c[2], c[3], out=s)
    previous[...] = g
    previous[turned] = 0
    np.sign(previous, t)
    np.multiply(t, s, t)
    np.subtract(p, t, p)
