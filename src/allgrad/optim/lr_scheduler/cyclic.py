"""Up and down: cyclic rates (Smith 2017, https://arxiv.org/abs/1506.01186), momentum moving the other way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from allgrad.errors import ArgumentError
from allgrad.optim.arguments import number
from allgrad.optim.lr_scheduler.base import LRScheduler, callable_state, check_optimizer, per_group, put
from allgrad.optim.optimizer import Optimizer

# How high a peak is: by the number of the cycle, or by the number of the step.
SHAPES: dict[str, tuple[str, Callable[[float, float], float]]] = {
    "triangular": ("cycle", lambda x, gamma: 1.0),
    "triangular2": ("cycle", lambda x, gamma: 0.5 ** (x - 1)),
    "exp_range": ("iterations", lambda x, gamma: gamma**x),
}


class CyclicLR(LRScheduler):
    """From ``base_lr`` to ``max_lr`` in ``step_size_up`` steps and back in ``step_size_down``; step it every batch."""

    def __init__(
        self, optimizer: Optimizer, base_lr: Any, max_lr: Any, step_size_up: int = 2000,
        step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle", cycle_momentum: bool = True,
        base_momentum: Any = 0.8, max_momentum: Any = 0.9, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self.optimizer = check_optimizer(optimizer)
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups):
                put(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in SHAPES and scale_fn is None:
            raise ArgumentError(f"mode is invalid and scale_fn is None: expected one of {list(SHAPES)}, found {mode!r}")
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = SHAPES[mode][0] if scale_fn is None else scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = uses_beta1(optimizer)
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                start_momentum(optimizer, self.use_beta1, self.base_momentums, self.max_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """How high the peak of cycle (or step) ``x`` is, as a share of the full height."""
        return SHAPES[self.mode][1](x, self.gamma) if self._scale_fn_custom is None else self._scale_fn_custom(x)

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        place = 1.0 + self.last_epoch / self.total_size - cycle
        height = place / self.step_ratio if place <= self.step_ratio else (place - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            groups = self.optimizer.param_groups
            for group, low, high in zip(groups, self.base_momentums, self.max_momentums):
                set_momentum(group, self.use_beta1, high - (high - low) * height * scale)
        return [
            number(low) + (number(high) - number(low)) * height * scale
            for low, high in zip(self.base_lrs, self.max_lrs)
        ]

    def state_dict(self) -> dict[str, Any]:
        """A plain scale function is not saved, only the attributes of a callable object are."""
        found = super().state_dict()
        found["_scale_fn_custom"] = callable_state(self._scale_fn_custom)
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        saved = state_dict.get("_scale_fn_custom")
        if saved is not None:
            vars(self._scale_fn_custom).update(saved)


def uses_beta1(optimizer: Optimizer) -> bool:
    """Whether the optimizer's momentum is the first of its betas; an error if it has none."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ArgumentError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled; pass cycle_momentum=False"
        )
    return "betas" in optimizer.defaults


def set_momentum(group: dict[str, Any], use_beta1: bool, momentum: float) -> None:
    """Set the momentum, or the first of the betas."""
    if use_beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def start_momentum(optimizer: Optimizer, use_beta1: bool, base: list[float], highest: list[float]) -> None:
    """Begin at the highest momentum, and note both ends in the groups."""
    for group, low, high in zip(optimizer.param_groups, base, highest):
        set_momentum(group, use_beta1, high)
        group["max_momentum"], group["base_momentum"] = high, low
