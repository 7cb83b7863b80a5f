"""Small groups average often, larger ones seldom.

Wang, Joshi et al.: Hierarchical SGD, 2020 (https://arxiv.org/abs/2010.12998).
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from allgrad.distributed.algorithms.model_averaging.averagers import NO_NEED, ModelAverager
from allgrad.distributed.algorithms.model_averaging.utils import average_parameters_or_parameter_groups
from allgrad.distributed.group import ProcessGroup
from allgrad.distributed.subgroups import new_subgroups
from allgrad.errors import ArgumentError

__all__ = ["HierarchicalModelAverager"]


class HierarchicalModelAverager(ModelAverager):
    """``period_group_size_dict``: steps between averages -> ranks that take part, from often and few to seldom and all.

    At a step that several periods divide only the largest group averages: the smaller are parts of it.
    Collective: makes the groups.
    """

    def __init__(
        self, period_group_size_dict: Mapping[int, int] | None = None, warmup_steps: int = 0, process_group: Any = None
    ) -> None:
        super().__init__(process_group)
        if not period_group_size_dict:
            raise ArgumentError("Arg ``period_group_size_dict`` must not be empty.")
        self._periods = list(period_group_size_dict)
        if self._periods[0] <= 0 or self._periods != sorted(self._periods):
            raise ArgumentError(
                "The minimum period in arg ``period_group_size_dict`` must be a positive value, and comes first, "
                f"found {self._periods}"
            )
        if self._periods[-1] == 1:
            warnings.warn(NO_NEED, stacklevel=2)
        whole, last = self.process_group.size(), list(period_group_size_dict.values())[-1]
        if last != whole:
            raise ArgumentError(
                f"The last value in arg ``period_group_size_dict`` {last} must be equal to the size of arg "
                f"``process_group`` {whole}."
            )
        if warmup_steps < 0:
            raise ArgumentError(f"Arg ``warmup_steps`` must be a non-negative number, found {warmup_steps}.")
        self.warmup_steps = warmup_steps
        self.period_process_group_dict: OrderedDict[int, ProcessGroup] = OrderedDict()
        for period, size in period_group_size_dict.items():
            group = self.process_group
            if size != whole:
                group, _ = new_subgroups(group_size=size, group=self.process_group)
            self.period_process_group_dict[period] = group

    def _find_process_group(self) -> ProcessGroup | None:
        """The group of the largest period that divides this step."""
        for period in reversed(self._periods):
            if self.step % period == 0:
                return self.period_process_group_dict[period]
        return None

    def average_parameters(self, params: Iterable[Any]) -> None:
        if self.step >= self.warmup_steps:
            group = self._find_process_group()
            if group is not None:
                average_parameters_or_parameter_groups(params, group)
        self.step += 1
