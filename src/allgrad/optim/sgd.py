"""Stochastic gradient descent with momentum (Sutskever et al. 2013, http://proceedings.mlr.press/v28/sutskever13.html)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad import fast
from allgrad.errors import ArgumentError
from allgrad.optim.arguments import check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class SGD(Elementwise):
    """``p -= lr * g``, or with ``momentum`` a running sum of gradients in place of g."""

    _scalars: Names = ()

    def __init__(
        self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
        nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("momentum value", momentum)
        check_range("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError("Nesterov momentum requires a momentum and zero dampening")
        check_switches(fused=fused, foreach=foreach, differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        lr, momentum = number(group["lr"]), number(group["momentum"])
        decay = number(group["weight_decay"])
        if not momentum:
            return Rule(descend, (lr,), decay)
        # The first gradient becomes the running sum as it is, without dampening.
        kept, taken = (0.0, 1.0) if first else (momentum, 1.0 - number(group["dampening"]))
        return Rule(nesterov if group["nesterov"] else heavy_ball, (lr, kept, taken, momentum), decay)


def descend(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``p -= lr * g``."""
    if fast.worth(p.size):
        fast.kernels("updates").descend(p, g, c[0])
        return
    t = temporaries[0]
    np.multiply(g, c[0], t)
    np.subtract(p, t, p)


def heavy_ball(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``b = kept * b + taken * g;  p -= lr * b``."""
    (b,), t = moments, temporaries[0]
    if fast.worth(p.size):
        fast.kernels("updates").heavy_ball(p, g, b, *c[:3])
        return
    _accumulate(b, g, t, c)
    np.multiply(b, c[0], t)
    np.subtract(p, t, p)


def nesterov(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``b = kept * b + taken * g;  p -= lr * (g + momentum * b)``."""
    (b,), t = moments, temporaries[0]
    if fast.worth(p.size):
        fast.kernels("updates").nesterov(p, g, b, *c[:4])
        return
    _accumulate(b, g, t, c)
    np.multiply(b, c[3], t)
    np.add(t, g, t)
    np.multiply(t, c[0], t)
    np.subtract(p, t, p)


def _accumulate(b: Array, g: Array, t: Array, c: list[Array]) -> None:
    np.multiply(b, c[1], b)
    if c[2] == 1:
        np.add(b, g, b)
    else:
        np.multiply(g, c[2], t)
        np.add(b, t, b)
