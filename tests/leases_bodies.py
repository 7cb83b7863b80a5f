"""Wrapped models that are thrown away; each body returns what its rank then still had of the group."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.distributed.group import default_group
from allgrad.distributed.leases import leases_of
from allgrad.distributed.sharded_step import ShardedOptimizer
from allgrad.errors import DistributedError
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.optim import SGD, Adam

MODELS = 6


def step(model: Any, optimizer: Any = None) -> None:
    """One step on this rank's own row."""
    model(torch.ones(1, 4) * (1 + dist.get_rank())).sum().backward()
    if optimizer is not None:
        optimizer.step()


def windows() -> int:
    """Shared windows that this process has mapped for wrapped models: 0 in worlds without MPI."""
    reducer = getattr(default_group().comm, "_reducer", None)
    leases = leases_of(default_group().comm)
    streams = {id(s): s for s in [*leases.free, *(lease.stream for lease in leases.held)]}
    return 0 if reducer is None else sum(len(s._reducer._buffers) for s in streams.values())  # type: ignore[attr-defined]


def counts() -> tuple[int, int, int, int]:
    """Streams, models that have one, memory to be freed, windows."""
    leases = leases_of(default_group().comm)
    return len(leases.free) + len(leases.held), len(leases.held), len(leases.left), windows()


def _plain(model: Any) -> Any:
    return SGD(model.parameters(), lr=0.1)


def _in_backward(model: Any) -> Any:
    optimizer = SGD(model.parameters(), lr=0.1)
    model.step_in_backward(optimizer)
    return None  # the step is part of backward


def _sharded(model: Any) -> Any:
    return ShardedOptimizer(model, Adam, lr=0.1)


def _timed(model: Any) -> Any:
    model.measure_lateness()
    return SGD(model.parameters(), lr=0.1)


KINDS = {"plain": _plain, "in backward": _in_backward, "sharded": _sharded, "timed": _timed}


def one_after_the_other(kind: str = "plain", models: int = MODELS) -> list[tuple[int, int, int, int]]:
    """Each model takes the place of the one before; what there was after each."""
    dist.init_process_group()
    seen = []
    for _ in range(models):
        limit = None if kind == "in backward" else 10
        model = DistributedDataParallel(nn.Linear(4, 3), nonfinite_limit=limit)
        optimizer = KINDS[kind](model)
        step(model, optimizer)
        seen.append(counts())
    del model, optimizer
    dist.destroy_process_group()
    return seen


def shards() -> list[tuple[int, int, int, int]]:
    """Models in a cycle with what they are made of."""
    dist.init_process_group()
    seen = []
    for _ in range(MODELS):
        model = DistributedDataParallel(nn.Linear(4, 3), shards=dist.get_world_size())
        gc.collect()
        seen.append(counts())
    del model
    dist.destroy_process_group()
    return seen


def dropped_on_one_rank() -> list[int]:
    """A model that one rank still has is kept on all, and works; how many were held at each point."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    held: list[int] = []
    model = DistributedDataParallel(nn.Linear(4, 1, bias=False))
    inner = model.module
    keep = model if rank == size - 1 else None
    del model
    others = [DistributedDataParallel(nn.Linear(2, 1)) for _ in range(2)]
    held.append(counts()[1])
    # hooks are still there: all ranks take part in the mean
    (keep or inner)(torch.full((1, 4), float(rank))).sum().backward()
    assert inner.weight.grad.tolist() == [[(size - 1) / 2] * 4]
    del keep
    others.append(DistributedDataParallel(nn.Linear(2, 1)))
    held.append(counts()[1])
    return held


def gradients_outlive_the_model() -> list[float]:
    """Gradients that somebody kept are readable for good, and the memory goes when they do."""
    dist.init_process_group()
    size = dist.get_world_size()
    kept = []
    mean = (size + 1) / 2
    for _ in range(3):
        model = DistributedDataParallel(nn.Linear(4, 1, bias=False))
        step(model)
        kept.append(model.module.weight.grad)
        arrays = model.module.weight.grad.numpy()
        kept.append(torch.from_numpy(arrays))
    inner = model.module
    del model
    left = counts()[2]
    last = DistributedDataParallel(nn.Linear(4, 1, bias=False))
    assert [g[0, 0].item() for g in kept] == [mean] * 6
    del kept, arrays
    assert inner.weight.grad.tolist() == [[mean] * 4]
    inner.weight.grad = None
    last = DistributedDataParallel(nn.Linear(4, 1, bias=False))
    step(last)
    assert last.module.weight.grad.tolist() == [[mean] * 4]
    return [float(left > 0), float(counts()[2])]


def wrapped_again() -> list[float]:
    """The same module in a new wrapper: hooks of the one thrown away are gone."""
    dist.init_process_group()
    inner = nn.Linear(4, 1, bias=False)
    model = DistributedDataParallel(inner)
    step(model)
    del model
    model = DistributedDataParallel(inner)
    inner.zero_grad()
    step(model)
    assert inner.weight.grad.tolist() == [[(dist.get_world_size() + 1) / 2] * 4]
    return [float(len(inner.weight._post_hooks))]


def frozen_with_a_gradient_kept() -> list[float]:
    """New buckets after a layer was frozen: an old gradient stays readable."""
    dist.init_process_group()
    model = DistributedDataParallel(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1)))
    step(model)
    kept = model.module[0].weight.grad
    values = kept.tolist()
    for on in (False, True) * 3:
        model.module[0].weight.requires_grad_(on)
        model.zero_grad()
        step(model)
    assert kept.tolist() == values
    del kept
    other = DistributedDataParallel(nn.Linear(2, 1))
    step_count = counts()[2]
    del other
    return [float(step_count)]


def groups_and_worlds() -> list[tuple[int, int, int, int]]:
    """Groups that end, and the world joined again and again, keep nothing."""
    seen = []
    for _ in range(4):
        dist.init_process_group()
        group = dist.new_group(range(dist.get_world_size()))
        models = [DistributedDataParallel(nn.Linear(4, 3), process_group=group) for _ in range(3)]
        models.append(DistributedDataParallel(nn.Linear(4, 3)))
        for model in models:
            step(model)
        del models, model
        dist.destroy_process_group(group)
        assert group.comm.leases.free == [] and group.comm.leases.left == [], group.comm.leases.left
        seen.append(counts())
        dist.destroy_process_group()
    return seen


def after_an_error() -> list[int]:
    """A stream on which ranks were torn apart is not lent again."""
    dist.init_process_group()
    rank = dist.get_rank()
    first = DistributedDataParallel(nn.Linear(4, 1))  # has the group's own stream
    model = DistributedDataParallel(nn.Linear(4, 1))
    stream = model.reducer.comm
    assert stream is not default_group().comm
    caught = 0
    try:
        stream.all_reduce(np.zeros(1 + rank))
        caught -= 1
    except DistributedError:
        caught += 1
    if rank == 0:
        stream.sequence += 1  # rank 0 would make a call that nobody else makes
    del model
    model = DistributedDataParallel(nn.Linear(4, 1))
    assert model.reducer.comm is not stream and first.reducer.comm is not stream
    step(model)
    return [caught]


BODIES: dict[str, Callable[[], Any]] = {
    **{f"one after the other, {kind}": partial(one_after_the_other, kind) for kind in KINDS},
    "shards": shards,
    "dropped on one rank": dropped_on_one_rank,
    "gradients outlive the model": gradients_outlive_the_model,
    "wrapped again": wrapped_again,
    "frozen with a gradient kept": frozen_with_a_gradient_kept,
    "groups and worlds": groups_and_worlds,
    "after an error": after_an_error,
}


def all_bodies() -> dict[str, Any]:
    """What each body returned on this rank, one after the other in one program."""
    found = {}
    for name, body in BODIES.items():
        found[name] = body()
        if dist.is_initialized():
            dist.destroy_process_group()
        gc.collect()
    return found
