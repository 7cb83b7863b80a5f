"""Learning rates for N times the batch: linear or square-root scaling, reached by a warm-up.

Goyal et al.: Accurate, large minibatch SGD, 2017 (https://arxiv.org/abs/1706.02677): linear, for SGD.
Malladi et al.: On the SDEs and scaling rules for adaptive gradient algorithms, 2022
(https://arxiv.org/abs/2205.10287): square root, for Adam and its family.
"""

from __future__ import annotations

import math
from typing import Any

from allgrad.distributed.group import get_world_size
from allgrad.errors import ArgumentError
from allgrad.optim.arguments import number
from allgrad.optim.lr_scheduler.base import LRScheduler
from allgrad.optim.optimizer import Optimizer

__all__ = ["ScaledLR", "scaled_lr"]

RULES = {"linear": lambda factor: factor, "sqrt": math.sqrt}


def scaled_lr(lr: float, factor: float, rule: str = "linear") -> float:
    """The learning rate for a global batch ``factor`` times the one that ``lr`` was found for.

    >>> scaled_lr(0.1, 4), scaled_lr(0.001, 4, "sqrt")
    (0.4, 0.002)
    """
    if rule not in RULES:
        raise ArgumentError(f"rule must be 'linear' (SGD) or 'sqrt' (Adam and its family), found {rule!r}")
    if not 0 < factor < math.inf:
        raise ArgumentError(f"factor must be a positive number, found {factor}")
    return lr * float(RULES[rule](factor))


class ScaledLR(LRScheduler):
    """Goes from the optimizer's rate to ``scaled_lr`` of it in ``warmup_steps`` equal steps, and stays there.

    ``factor``: how many times larger the global batch is than the one the rate was found for; None: the number of ranks.
    Multiplies what other schedules set, so they can be used with it.
    """

    def __init__(
        self, optimizer: Optimizer, factor: float | None = None, rule: str = "linear", warmup_steps: int = 0,
        last_epoch: int = -1, process_group: Any = None,
    ) -> None:  # fmt: skip
        if warmup_steps < 0:
            raise ArgumentError(f"warmup_steps must be at least 0, found {warmup_steps}")
        self.goal = scaled_lr(1.0, get_world_size(process_group) if factor is None else factor, rule)
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """What the rate is multiplied by at ``step``."""
        done = 1.0 if step >= self.warmup_steps else step / self.warmup_steps
        return 1.0 + (self.goal - 1.0) * done

    def get_lr(self) -> list[Any]:
        """The rates of all groups at this step."""
        self._warn_outside_step()
        step = self.last_epoch
        before = 1.0 if step == 0 else self._share(step - 1)
        return [number(group["lr"]) * (self._share(step) / before) for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list[float]:
        return [number(base) * self._share(self.last_epoch) for base in self.base_lrs]
