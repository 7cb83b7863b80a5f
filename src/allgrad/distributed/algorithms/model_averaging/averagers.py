"""When the ranks average their parameters: every so many steps after a warm-up.

Lin, Stich, Patel, Jaggi: Don't use large mini-batches, use local SGD, 2018 (https://arxiv.org/abs/1808.07217).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from allgrad.distributed.algorithms.model_averaging.utils import average_parameters_or_parameter_groups
from allgrad.distributed.group import ProcessGroup, group_of
from allgrad.errors import ArgumentError

__all__ = ["ModelAverager", "PeriodicModelAverager"]

NO_NEED = (
    "with a period of 1 parameters are averaged after every step, which costs as much as averaging the gradients: "
    "DistributedDataParallel alone does that, and hides it behind backward"
)


class ModelAverager(ABC):
    """Counts steps; ``average_parameters`` comes after each ``optimizer.step()``, on every rank of the group."""

    def __init__(self, process_group: Any = None) -> None:
        self.process_group: ProcessGroup = group_of(process_group)
        self.step = 0

    @abstractmethod
    def average_parameters(self, params: Iterable[Any]) -> None:
        """One step has been made; average a model's parameters, or those in an optimizer's groups, if it is time."""


class PeriodicModelAverager(ModelAverager):
    """Averages after steps ``warmup_steps``, ``warmup_steps + period``, ..., counted from 0."""

    def __init__(self, period: int, warmup_steps: int = 0, process_group: Any = None) -> None:
        super().__init__(process_group)
        if warmup_steps < 0:
            raise ArgumentError(f"Arg ``warmup_steps`` must be a non-negative number, found {warmup_steps}.")
        if period < 1:
            raise ArgumentError(f"Arg ``period`` must be a positive value, found {period}.")
        if period == 1:
            warnings.warn(NO_NEED, stacklevel=2)
        self.warmup_steps, self.period = warmup_steps, period

    def average_parameters(self, params: Iterable[Any]) -> None:
        if self.step >= self.warmup_steps and (self.step - self.warmup_steps) % self.period == 0:
            average_parameters_or_parameter_groups(params, self.process_group)
        self.step += 1
