"""LAMB and LARS: rates per layer, for large batches.

LAMB: You et al. 2020, https://arxiv.org/abs/1904.00962.  LARS: You, Gitman & Ginsburg 2017, https://arxiv.org/abs/1708.03888.
Both scale the step of a parameter by the ratio of its norm to the norm of its update.  Biases and normalization weights
are usually left out of it: put them in a group with ``"adapt": False, "weight_decay": 0``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.arguments import check_betas, check_lr, check_range, number
from allgrad.optim.parameterwise import Parameterwise, advance, blend, moment, norm

Array = np.ndarray[Any, Any]


class LAMB(Parameterwise):
    """Adam with decoupled decay whose update has, per parameter, the norm ``lr * |p|``; ``clamp`` bounds |p|."""

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6,
        weight_decay: float = 1e-2, *, clamp: float | None = None, adapt: bool = True, maximize: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("epsilon value", eps)
        check_betas(betas)
        check_range("weight_decay value", weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "clamp": clamp, "adapt": adapt,
            "maximize": maximize,
        })  # fmt: skip

    def _change(self, group: dict[str, Any], p: Array, g: Array, state: dict[str, Any]) -> Array:
        beta1, beta2 = group["betas"]
        step = advance(state)
        m, v = moment(state, "exp_avg", p.shape, p), moment(state, "exp_avg_sq", p.shape, p)
        blend(m, g, 1 - beta1)
        blend(v, g * g, 1 - beta2)
        update = np.sqrt(v, out=np.empty_like(v))
        update *= 1 / (1 - beta2**step) ** 0.5
        update += group["eps"]
        np.divide(m, update, out=update)
        update *= 1 / (1 - beta1**step)
        if group["weight_decay"]:
            update += group["weight_decay"] * p
        size = norm(p)
        if group["clamp"] is not None:
            size = min(size, group["clamp"])
        update *= number(group["lr"]) * (_ratio(size, norm(update)) if group["adapt"] else 1.0)
        return np.subtract(p, update, out=update)


class LARS(Parameterwise):
    """Momentum whose gradient is scaled, per parameter, by ``trust * |p| / (|g| + weight_decay * |p|)``."""

    def __init__(
        self, params: Any, lr: Any = 1e-1, momentum: float = 0.9, weight_decay: float = 1e-4, *, trust: float = 1e-3,
        eps: float = 1e-8, adapt: bool = True, maximize: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr)
        check_range("momentum value", momentum)
        check_range("weight_decay value", weight_decay)
        check_range("trust value", trust)
        check_range("epsilon value", eps)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "eps": eps, "adapt": adapt,
            "maximize": maximize,
        })  # fmt: skip

    def _change(self, group: dict[str, Any], p: Array, g: Array, state: dict[str, Any]) -> Array:
        decay, rate = group["weight_decay"], number(group["lr"])
        if group["adapt"]:
            size, slope = norm(p), norm(g)
            if size > 0 and slope > 0:
                rate *= group["trust"] * size / (slope + decay * size + group["eps"])
        update = g + decay * p if decay else g.copy()
        update *= rate
        # The rate is inside of the running sum, as in the paper: a rate that falls slows down from then on only.
        running = moment(state, "momentum_buffer", p.shape, p)
        running *= group["momentum"]
        running += update
        return p - running


def _ratio(size: float, step: float) -> float:
    return size / step if size > 0 and step > 0 else 1.0
