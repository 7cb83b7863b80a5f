"""``LRScheduler``: sets the learning rates of an optimizer once an epoch, or as often as ``step`` is called.

A schedule says how a rate follows from the one before (``_next``), so that several can act on one optimizer, and where
it can what the rate is at any epoch (``_closed``).  Attributes have PyTorch's names, so that state dicts can be exchanged.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.errors import ArgumentError, DtypeError, UnsupportedError
from allgrad.optim.arguments import number
from allgrad.optim.optimizer import Optimizer
from allgrad.optim.registry import register_follower

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use "
    "`scheduler.step()` to step the scheduler. Where there is one, the closed form is used for the epoch given."
)
ORDER_WARNING = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. You should call them in the opposite order: "
    "`optimizer.step()` before `lr_scheduler.step()`. Failure to do this will result in skipping the first value of the "
    "learning rate schedule."
)


class MissingRateError(ArgumentError, KeyError):
    """A schedule is to be resumed on an optimizer that does not know where its rates started."""

    def __str__(self) -> str:
        return str(self.args[0])


class LRScheduler:
    """Base of all schedules; a subclass defines ``get_lr``, the rates of all groups at ``self.last_epoch``."""

    _get_lr_called_within_step = False
    _is_initial = False

    optimizer: Optimizer
    _last_lr: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(optimizer)
        register_follower(self)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", own(group["lr"]))
            elif "initial_lr" not in group:
                raise MissingRateError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    "last_epoch >= 0: load the optimizer's state_dict before making the scheduler, or leave last_epoch out"
                )
        self.base_lrs: list[Any] = rates(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the rates of the first epoch; not a step that the user made."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All attributes but the optimizer."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned.  Load the optimizer's state too: it holds the present rates."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The rates that were set last, one per group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The rates of all groups at ``last_epoch``; meant for ``step``, others want ``get_last_lr``."""
        self._warn_outside_step()
        groups = self.optimizer.param_groups
        return [self._next(number(group["lr"]), number(base)) for group, base in zip(groups, self.base_lrs)]

    def _next(self, lr: float, base: float) -> float:
        """The rate at ``last_epoch`` from the rate before and the rate at the start."""
        raise UnsupportedError(f"{type(self).__name__} must define get_lr()")

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch, or to the given one, and set the rates."""
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(ORDER_WARNING, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._stepping():
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", None)
                values = self.get_lr() if closed is None else closed()
        self._set(values)

    def _set(self, values: list[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, values):
            put(group, "lr", lr)
        self._last_lr = rates(self.optimizer, "lr")

    @contextmanager
    def _stepping(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )


class ClosedLRScheduler(LRScheduler):
    """A schedule whose rate at any epoch is known without the ones before."""

    def _closed(self, base: float) -> float:
        """The rate at ``last_epoch`` from the rate at the start."""
        raise UnsupportedError(f"{type(self).__name__} must define _closed(base)")

    def _get_closed_form_lr(self) -> list[float]:
        return [self._closed(number(base)) for base in self.base_lrs]


def check_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer itself; an error if it is none."""
    if not isinstance(optimizer, Optimizer):
        raise DtypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def own(value: Any) -> Any:
    """A rate that does not change when the group's Tensor does."""
    return wrap(np.array(value._a)) if isinstance(value, Variable) else value


def rates(optimizer: Optimizer, name: str) -> list[Any]:
    """One setting of all groups."""
    return [own(group[name]) for group in optimizer.param_groups]


def put(group: dict[str, Any], name: str, value: Any) -> None:
    """Set a number of a group; a Tensor stays the same Tensor."""
    present = group[name]
    if isinstance(present, Variable):
        present._a[...] = number(value)
        present._cell[0] += 1
    else:
        group[name] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for all groups, or a list with one for each."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [own(value) for _ in range(count)]
    if len(value) != count:
        raise ArgumentError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, param_groups "
            f"has {count}."
        )
    return [own(v) for v in value]


def callable_state(function: Any) -> dict[str, Any] | None:
    """What of a function is saved: the attributes of a callable object, nothing of a plain function."""
    return None if function is None or not hasattr(function, "__dict__") or _plain(function) else dict(vars(function))


def _plain(function: Any) -> bool:
    return isinstance(function, type(callable_state))
