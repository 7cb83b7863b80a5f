"""An optimizer whose ranks step on their own and average their parameters from time to time."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from allgrad.distributed.algorithms.model_averaging.averagers import ModelAverager
from allgrad.optim.optimizer import _HOOKS, Optimizer
from allgrad.optim.registry import register

__all__ = ["PostLocalSGDOptimizer"]


class PostLocalSGDOptimizer(Optimizer):
    """Steps ``optim``, then lets ``averager`` average its parameters if it is time.

    The state of ``optim`` (momentum) stays each rank's own.  ``state_dict`` adds "step", the averager's count.
    """

    def __init__(self, optim: Optimizer, averager: ModelAverager) -> None:
        self.optim, self.averager = optim, averager
        self.defaults = optim.defaults
        self._hooks = {kind: OrderedDict() for kind in _HOOKS}
        register(self)

    @property
    def state(self) -> Any:  # type: ignore[override]
        """The inner optimizer's."""
        return self.optim.state

    @property
    def param_groups(self) -> Any:  # type: ignore[override]
        """The inner optimizer's."""
        return self.optim.param_groups

    def __repr__(self) -> str:
        return repr(self.optim)

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's, and the averager's step."""
        return {**self.optim.state_dict(), "step": self.averager.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; one without "step" (of a plain optimizer) starts the averager at 0, with a warning."""
        self.optim.load_state_dict({k: v for k, v in state_dict.items() if k != "step"})
        if "step" not in state_dict:
            warnings.warn(
                "Loaded state dict does not contain a step counter for an averager. Setting step counter to 0.",
                stacklevel=2,
            )
        self.averager.step = state_dict.get("step", 0)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One local step, and the mean of the parameters when it is due.  Collective then."""
        loss = self.optim.step(closure)
        self.averager.average_parameters(self.param_groups)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        self.optim.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to the inner optimizer."""
        self.optim.add_param_group(param_group)
