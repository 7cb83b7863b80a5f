"""Averages of the weights along the way: SWA (Izmailov et al. 2018, https://arxiv.org/abs/1803.05407) and EMA (Polyak)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from allgrad.autograd.modes import no_grad
from allgrad.autograd.record import wrap
from allgrad.errors import ArgumentError
from allgrad.nn.modules.batchnorm import _BatchNorm
from allgrad.nn.modules.module import Module
from allgrad.optim.arguments import number
from allgrad.optim.lr_scheduler.base import LRScheduler, per_group
from allgrad.optim.optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Any, Any, Any], Any]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``decay * average + (1 - decay) * current``, for one Tensor."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Average:
    """The mean of all so far, for one Tensor."""

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Sequence[Any], Sequence[Any], Any], None]:
    """``average += (1 - decay) * (current - average)`` in place, for a list of Tensors."""
    _check_decay(decay)

    def ema_update(ema_param_list: Sequence[Any], current_param_list: Sequence[Any], num_averaged: Any) -> None:
        _move(ema_param_list, current_param_list, 1 - decay)

    return ema_update


def get_swa_multi_avg_fn() -> Callable[[Sequence[Any], Sequence[Any], Any], None]:
    """The mean of all so far in place, for a list of Tensors."""

    def swa_update(averaged_param_list: Sequence[Any], current_param_list: Sequence[Any], num_averaged: Any) -> None:
        _move(averaged_param_list, current_param_list, 1 / (number(num_averaged) + 1))

    return swa_update


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ArgumentError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _move(averages: Sequence[Any], current: Sequence[Any], share: float) -> None:
    for average, now in zip(averages, current):
        step = now._a - average._a
        step = step * share if step.dtype.kind in "iub" else np.multiply(step, share, dtype=step.dtype)
        np.add(average._a, step, out=average._a, casting="unsafe")
        average._cell[0] += 1


class AveragedModel(Module):
    """A copy of ``model`` whose parameters are the average over all calls of ``update_parameters(model)``.

    ``avg_fn(average, current, n)`` returns the next average of one Tensor, ``multi_avg_fn`` changes lists in place;
    without them all count the same.  Buffers are copied, or averaged too with ``use_buffers``.
    """

    def __init__(
        self, model: Module, device: Any = None, avg_fn: Average | None = None,
        multi_avg_fn: Callable[[Sequence[Any], Sequence[Any], Any], None] | None = None, use_buffers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", wrap(np.array(0, np.int64)))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged module's forward."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of ``model`` into the average."""
        inner: Module = self.module
        average, current = list(inner.parameters()), list(model.parameters())
        kept, now = list(inner.buffers()), list(model.buffers())
        if self.use_buffers:
            average, current, kept, now = average + kept, current + now, [], []
        count: Any = self.n_averaged
        if number(count) == 0:
            kept, now = kept + average, now + current
        else:
            self._average([p.detach() for p in average], [p.detach() for p in current], count)
        for own, given in zip(kept, now):
            np.copyto(own._a, given._a, casting="unsafe")
            own._cell[0] += 1
        count._a += 1
        count._cell[0] += 1

    def _average(self, average: list[Any], current: list[Any], count: Any) -> None:
        if self.avg_fn is not None:
            for own, given in zip(average, current):
                np.copyto(own._a, self.avg_fn(own, given, count)._a, casting="unsafe")
                own._cell[0] += 1
            return
        update = self.multi_avg_fn or get_swa_multi_avg_fn()
        for kind in {own._a.dtype for own in average}:
            alike = [i for i, own in enumerate(average) if own._a.dtype == kind]
            update([average[i] for i in alike], [current[i] for i in alike], count)


@no_grad()
def update_bn(loader: Iterable[Any], model: Any, device: Any = None) -> None:
    """Compute the running statistics of all BatchNorm layers anew, by one pass over ``loader``.

    Each batch is the input, or a list or tuple that begins with it.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    model.train()
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over the batches
        for batch in loader:
            model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """Goes from the present rate to ``swa_lr`` in ``anneal_epochs`` epochs, and stays there."""

    def __init__(
        self, optimizer: Optimizer, swa_lr: Any, anneal_epochs: int = 10, anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        for lr, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of ``swa_lr`` is in the rate after ``step`` steps."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        found = []
        for group in self.optimizer.param_groups:
            lr, goal = number(group["lr"]), number(group["swa_lr"])
            # The rate without its share of the goal; another schedule may have changed it meanwhile.
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            found.append(goal * now + start * (1 - now))
        return found
