"""Adam (Kingma & Ba 2015, https://arxiv.org/abs/1412.6980) and AdamW (Loshchilov & Hutter 2019, 1711.05101)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad import fast
from allgrad.optim.arguments import check_betas, check_lr, check_range, check_switches, number
from allgrad.optim.elementwise import Elementwise, Rule, count
from allgrad.optim.layout import Names

Array = np.ndarray[Any, Any]


class Adam(Elementwise):
    """Steps of about ``lr`` in each element: a running mean of gradients over the root of that of their squares."""

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("epsilon value", eps)
        betas = check_betas(betas)
        check_range("weight_decay value", weight_decay)
        check_switches(fused=fused, foreach=foreach, differentiable=differentiable)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def _moments(self, group: dict[str, Any]) -> Names:
        return AMSGRAD if group["amsgrad"] else PLAIN

    def _rule(self, group: dict[str, Any], scalars: list[Array], first: bool) -> Rule:
        step = count(scalars[0])
        lr, eps, weight_decay = number(group["lr"]), group["eps"], number(group["weight_decay"])
        beta1, beta2 = group["betas"]
        if type(beta1) is not float or type(beta2) is not float:
            beta1, beta2 = number(beta1), number(beta2)
        # lr * (m / c1) / (sqrt(v / c2) + eps) with the corrections c1 and c2 taken out of the pass over the elements.
        root = (1 - beta2**step) ** 0.5
        numbers = (beta1, 1 - beta1, beta2, 1 - beta2, eps * root, lr * root / (1 - beta1**step))
        if not group.get("decoupled_weight_decay"):
            return Rule(amsgrad if group["amsgrad"] else adam, numbers, decay=weight_decay)
        shrink = 1 - lr * weight_decay
        return Rule(amsgrad, numbers, shrink=shrink) if group["amsgrad"] else Rule(adamw, (*numbers, shrink))


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters themselves, apart from the gradient."""

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


PLAIN: Names = ("exp_avg", "exp_avg_sq")
AMSGRAD: Names = (*PLAIN, "max_exp_avg_sq")


def track(g: Array, m: Array, v: Array, t: Array, c: list[Array]) -> None:
    """``m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g * g``."""
    np.multiply(g, c[1], t)
    np.multiply(m, c[0], m)
    np.add(m, t, m)
    np.multiply(g, g, t)
    np.multiply(t, c[3], t)
    np.multiply(v, c[2], v)
    np.add(v, t, v)


def _descend(p: Array, m: Array, v: Array, t: Array, c: list[Array]) -> None:
    np.sqrt(v, t)
    np.add(t, c[4], t)
    np.divide(m, t, t)
    np.multiply(t, c[5], t)
    np.subtract(p, t, p)


def adam(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``p -= rate * m / (sqrt(v) + eps)`` after ``track``."""
    (m, v), t = moments, temporaries[0]
    if fast.worth(p.size):
        fast.kernels("updates").adam(p, g, m, v, *c[:6])
        return
    track(g, m, v, t, c)
    _descend(p, m, v, t, c)


def adamw(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """``p *= shrink``, then ``adam``."""
    if fast.worth(p.size):
        fast.kernels("updates").adamw(p, g, *moments, *c[:7])
        return
    np.multiply(p, c[6], p)
    adam(p, g, moments, temporaries, c)


def amsgrad(p: Array, g: Array, moments: Any, temporaries: Any, c: list[Array]) -> None:
    """Adam with the largest v so far (Reddi et al. 2018, https://arxiv.org/abs/1904.09237)."""
    (m, v, largest), t = moments, temporaries[0]
    if fast.worth(p.size):
        fast.kernels("updates").amsgrad(p, g, m, v, largest, *c[:6])
        return
    track(g, m, v, t, c)
    np.maximum(largest, v, out=largest)
    _descend(p, m, largest, t, c)
