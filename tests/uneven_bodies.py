"""Loops of different lengths, without ``join()``; each returns its rank's parameters, optimizer state and rates, flat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import allgrad.distributed as dist
from allgrad import nn
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.optim import Adam
from allgrad.optim.lr_scheduler import StepLR
from allgrad.random import manual_seed
from ddp_bodies import batches, flat, mlp

Array = np.ndarray[Any, Any]
ENDS: dict[str, Callable[[], Any]] = {
    "barrier": dist.barrier,
    "destroy": dist.destroy_process_group,
    "object": lambda: dist.all_gather_object([None] * dist.get_world_size(), 1),
    "another model": lambda: DistributedDataParallel(nn.Linear(2, 1)),
    "another group": lambda: dist.new_group([0]),
}


def all_of(model: Any, optimizer: Any, schedule: Any) -> Array:
    state = [s[k].numpy().reshape(-1) for s in optimizer.state.values() for k in ("exp_avg", "exp_avg_sq", "step")]
    buffers = [b.numpy().reshape(-1).astype(np.float64) for b in model.buffers()]
    return np.concatenate([flat(model), *state, *buffers, [optimizer.param_groups[0]["lr"], schedule.last_epoch]])


def net(norm: bool) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double() if norm else mlp()


def uneven(
    counts: list[int], weights: bool = False, end: str = "barrier", epochs: int = 2, norm: bool = False
) -> Array:
    """Rank r has ``counts[r]`` batches in each epoch, and takes the same rows of each as it would in an even loop."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    manual_seed(0)
    model = net(norm)
    wrapped = DistributedDataParallel(model, bucket_cap_mb=3e-4)
    optimizer = Adam(model.parameters(), lr=0.01)
    schedule = StepLR(optimizer, 2, 0.5)
    for epoch in range(epochs):
        for inputs, targets in batches((6,), max(counts))[: counts[rank]]:
            optimizer.zero_grad()
            rows, labels = inputs[rank::size], targets[rank::size]
            with wrapped.sync(weight=len(labels) if weights else None):
                F.cross_entropy(wrapped(rows), labels).backward()
            optimizer.step()
            schedule.step()
        if epoch + 1 < epochs:
            dist.barrier()
    ENDS[end]()
    return all_of(model, optimizer, schedule)


def expected(counts: list[int], epochs: int = 2) -> Array:
    """One process that takes the same rows."""
    manual_seed(0)
    model = net(False)
    optimizer = Adam(model.parameters(), lr=0.01)
    schedule = StepLR(optimizer, 2, 0.5)
    for _ in range(epochs):
        for step, (inputs, targets) in enumerate(batches((6,), max(counts))):
            optimizer.zero_grad()
            active = [r for r, c in enumerate(counts) if step < c]
            for r in active:
                (F.cross_entropy(model(inputs[r :: len(counts)]), targets[r :: len(counts)]) / len(active)).backward()
            optimizer.step()
            schedule.step()
    return all_of(model, optimizer, schedule)
