"""Programs in which one replica is damaged, or lawfully different; each returns this rank's ReplicaError as text, or ""."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.distributed.optim import ZeroRedundancyOptimizer
from allgrad.errors import ReplicaError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import manual_seed
from ddp_bodies import batches, group

STEPS = 6
ODD_STEP = 4  # at the start of this step (counted from 1) the damage is done


class Net(nn.Module):
    """Parameters of both kinds (one larger than a digest's row), running statistics, and a buffer that never changes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 200)
        self.norm = nn.BatchNorm1d(200)
        self.last = nn.Linear(200, 3)
        self.register_buffer("scale", torch.ones(3))
        self.last.bias.requires_grad_(False)

    def forward(self, x: Any) -> Any:
        return self.last(F.relu(self.norm(self.first(x)))) * self.scale


def flip(t: Any) -> None:
    """One bit of one number, the lowest."""
    a = t._a
    word = a.reshape(-1)[-1:].view(np.uint8)
    word[0] ^= 1


def run(
    damage: Callable[[nn.Module, Any, Any], None] | None = None,
    *,
    optimizer_class: Callable[..., Any] = torch.optim.Adam,
    odd: Callable[[int], int] = lambda size: size - 1,
    loop: Callable[[Any, nn.Module, Any, int, int], None] | None = None,
    **settings: Any,
) -> str:
    """Train; before step ``ODD_STEP`` rank ``odd(size)`` does ``damage(model, optimizer, scheduler)``."""
    settings = {"replica_check": 1, **settings}
    with group() as (rank, size), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        manual_seed(3)
        model = Net().double()
        wrapped = DistributedDataParallel(model, **settings)
        optimizer = optimizer_class(model.parameters(), lr=0.01)
        try:
            if loop is not None:
                loop(wrapped, model, optimizer, rank, size)
                return ""
            for step, (inputs, targets) in enumerate(batches((6,), STEPS), 1):
                if step == ODD_STEP and rank == odd(size) and damage is not None:
                    damage(model, optimizer, None)
                one_step(wrapped, optimizer, inputs[rank::size], targets[rank::size])
        except ReplicaError as error:
            return str(error)
        return ""


def one_step(model: Any, optimizer: Any, inputs: Any, targets: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(inputs), targets).backward()
    optimizer.step()


def _parameter(model: Any, optimizer: Any, _: Any) -> None:
    flip(model.first.weight)


def _frozen(model: Any, optimizer: Any, _: Any) -> None:
    flip(model.last.bias)


def _buffer(model: Any, optimizer: Any, _: Any) -> None:
    flip(model.scale)


def _moment(model: Any, optimizer: Any, _: Any) -> None:
    flip(optimizer.state[model.first.weight]["exp_avg_sq"])


def _rate(model: Any, optimizer: Any, _: Any) -> None:
    optimizer.param_groups[0]["lr"] = 0.02


def _lost(model: Any, optimizer: Any, _: Any) -> None:
    del optimizer.state[model.last.weight]


def _step_by_hand(model: Any, optimizer: Any, _: Any) -> None:
    with torch.no_grad():
        model.last.weight.add_(1.0)


# -- lawful differences -----------------------------------------------------------------------------------------------


def _join(optimizer_too: bool) -> Callable[[Any, nn.Module, Any, int, int], None]:
    def loop(wrapped: Any, model: nn.Module, optimizer: Any, rank: int, size: int) -> None:
        data = batches((6,), STEPS)
        with wrapped.join(optimizer=optimizer if optimizer_too else None):
            for inputs, targets in data[: STEPS - rank]:
                one_step(wrapped, optimizer, inputs[rank::size], targets[rank::size])
        for inputs, targets in data[:3]:
            one_step(wrapped, optimizer, inputs[rank::size], targets[rank::size])

    return loop


def _accumulate(wrapped: Any, model: nn.Module, optimizer: Any, rank: int, size: int) -> None:
    for inputs, targets in batches((6,), STEPS):
        optimizer.zero_grad()
        for k in range(2):
            with wrapped.sync(when=k == 1):
                F.cross_entropy(wrapped(inputs[rank::size]), targets[rank::size]).backward()
        optimizer.step()


def _local_steps(wrapped: Any, model: nn.Module, optimizer: Any, rank: int, size: int) -> None:
    """Steps of each rank's own, then synchronized ones on what became different."""
    for k, (inputs, targets) in enumerate(batches((6,), STEPS)):
        with wrapped.sync(when=k not in (2, 3)):
            one_step(wrapped, optimizer, inputs[rank::size], targets[rank::size])


def _averaged_then_damaged(wrapped: Any, model: nn.Module, optimizer: Any, rank: int, size: int) -> None:
    """After local steps the parameters are averaged: from then on a damage is seen again."""
    data = batches((6,), STEPS)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for k in range(4):
        if k == 2:
            for p in model.parameters():
                dist.all_reduce(p.data, op=dist.ReduceOp.AVG)
        with wrapped.sync(when=k != 1):
            one_step(wrapped, optimizer, data[k][0][rank::size], data[k][1][rank::size])
    if rank == size - 1:
        flip(model.first.weight)
    one_step(wrapped, optimizer, data[4][0][rank::size], data[4][1][rank::size])


def _skips(wrapped: Any, model: nn.Module, optimizer: Any, rank: int, size: int) -> None:
    for k, (inputs, targets) in enumerate(batches((6,), STEPS)):
        rows = inputs[rank::size] * (float("nan") if k == 2 and rank == 0 else 1.0)
        optimizer.zero_grad()
        if k == 4 and rank == size - 1 and size > 1:
            wrapped.skip()
        else:
            F.cross_entropy(wrapped(rows), targets[rank::size]).backward()
        optimizer.step()


def _sharded(params: Any, lr: float) -> Any:
    return ZeroRedundancyOptimizer(params, torch.optim.Adam, lr=lr)


def _lbfgs(wrapped: Any, model: nn.Module, optimizer: Any, rank: int, size: int) -> None:
    second_order = torch.optim.LBFGS([p for p in model.parameters() if p.requires_grad], lr=0.1, max_iter=3)
    for inputs, targets in batches((6,), 3):

        def closure(inputs: Any = inputs, targets: Any = targets) -> Any:
            second_order.zero_grad()
            loss = F.cross_entropy(wrapped(inputs[rank::size]), targets[rank::size])
            loss.backward()
            return loss

        second_order.step(closure)


DAMAGED: dict[str, Callable[[], str]] = {
    "parameter": lambda: run(_parameter),
    "parameter of rank 0": lambda: run(_parameter, odd=lambda size: 0),
    "frozen parameter": lambda: run(_frozen),
    "buffer": lambda: run(_buffer),
    "buffer of rank 0": lambda: run(_buffer, odd=lambda size: 0),
    "moment": lambda: run(_moment),
    "learning rate": lambda: run(_rate),
    "state lost": lambda: run(_lost),
    "changed by hand": lambda: run(_step_by_hand, optimizer_class=torch.optim.SGD),
    "parameter, sharded state": lambda: run(_parameter, optimizer_class=_sharded),
    "averaged, then damaged": lambda: run(loop=_averaged_then_damaged),
    "state of a joined rank": lambda: run(loop=_join(False)),
}
LAWFUL: dict[str, Callable[[], str]] = {
    "nothing": lambda: run(),
    "sgd with momentum": lambda: run(optimizer_class=lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)),
    "local buffers": lambda: run(_buffer, broadcast_buffers=False),
    "sharded state": lambda: run(optimizer_class=_sharded),
    "accumulation": lambda: run(loop=_accumulate),
    "local steps": lambda: run(loop=_local_steps),
    "skipped steps": lambda: run(loop=_skips),
    "join": lambda: run(loop=_join(True)),
    "join without the optimizer": lambda: run(loop=_join(False), optimizer_class=torch.optim.SGD),
    "lbfgs on the rank's own loss": lambda: run(loop=_lbfgs),
    "turned off": lambda: run(_parameter, replica_check=None),
    "not looked at yet": lambda: run(_parameter, replica_check=50),
}
