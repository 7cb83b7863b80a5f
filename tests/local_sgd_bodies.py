"""Local SGD in any world, and the same written out for one process that plays all ranks."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

import allgrad as torch
import allgrad.distributed as dist
from allgrad.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook
from allgrad.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from allgrad.distributed.algorithms.model_averaging.hierarchical_model_averager import HierarchicalModelAverager
from allgrad.distributed.optim import PostLocalSGDOptimizer
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import manual_seed
from ddp_bodies import batches, flat, group, mlp

STEPS, WARMUP, PERIOD = 8, 2, 3
KINDS = ("by hand", "all local", "pairs", "two levels")


def pair_of(rank: int, size: int) -> list[int]:
    """The ranks of this rank's half: the first and the second of two, one rank each where their number is odd."""
    return [rank] if size % 2 else [rank // 2 * 2, rank // 2 * 2 + 1]


def averager(kind: str, size: int) -> Any:
    if kind == "two levels":
        small = len(pair_of(0, size))
        return HierarchicalModelAverager(OrderedDict([(2, small), (4, size)]), warmup_steps=WARMUP)
    return PeriodicModelAverager(PERIOD, 0 if kind == "by hand" else WARMUP)


def train(kind: str, resume: bool = False) -> np.ndarray[Any, Any]:
    """SGD with momentum; the parameters after each step, as this rank has them."""
    with group() as (rank, size):
        manual_seed(0 if kind == "by hand" else rank)
        model = mlp()
        wrapped, state = model, None
        if kind != "by hand":
            wrapped = DistributedDataParallel(model, bucket_cap_mb=3e-4)
            small = dist.new_subgroups(len(pair_of(rank, size)))[0] if kind == "pairs" else None
            state = PostLocalSGDState(None, small, WARMUP, kind == "pairs")
            wrapped.register_comm_hook(state, post_localSGD_hook)

        def build() -> Any:
            inner = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            return PostLocalSGDOptimizer(inner, averager(kind, size))

        optimizer, found = build(), []
        for step, (inputs, targets) in enumerate(batches((6,), STEPS)):
            if resume and step == 4:
                saved = copy.deepcopy(optimizer.state_dict())
                optimizer = build()
                optimizer.load_state_dict(saved)
            optimizer.zero_grad()
            F.cross_entropy(wrapped(inputs[rank::size]), targets[rank::size]).backward()
            optimizer.step()
            found.append(flat(model))
        return np.stack(found)


def mean_within(rows: list[Any], parts: list[list[int]]) -> None:
    """Replace each rank's list of arrays by its mean over the part that the rank is in."""
    for part in parts:
        for arrays in zip(*(rows[r] for r in part)):
            mean = sum(a.astype(np.float64) for a in arrays) / len(part)
            for a in arrays:
                a[...] = mean


def reference(kind: str, size: int) -> list[np.ndarray[Any, Any]]:
    """All ranks in one process: gradients and parameters are averaged by NumPy."""
    models = []
    for _ in range(size):
        manual_seed(0)
        models.append(mlp())
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in models]
    every, pairs, alone = (
        [list(range(size))],
        [p for r, p in ((r, pair_of(r, size)) for r in range(size)) if r == p[0]],
        [[r] for r in range(size)],
    )
    found: list[list[Any]] = [[] for _ in range(size)]
    for step, (inputs, targets) in enumerate(batches((6,), STEPS)):
        for rank, (model, optimizer) in enumerate(zip(models, optimizers)):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[rank::size]), targets[rank::size]).backward()
        together = alone if kind == "by hand" else every if step < WARMUP else pairs if kind == "pairs" else alone
        mean_within([[p.grad.numpy() for p in m.parameters()] for m in models], together)
        for optimizer in optimizers:
            optimizer.step()
        values = [[p.detach().numpy() for p in m.parameters()] for m in models]
        if kind == "two levels":
            if step >= WARMUP and step % 2 == 0:
                mean_within(values, every if step % 4 == 0 else pairs)
        else:
            start = 0 if kind == "by hand" else WARMUP
            if step >= start and (step - start) % PERIOD == 0:
                mean_within(values, every)
        for rank, model in enumerate(models):
            found[rank].append(flat(model))
    return [np.stack(f) for f in found]


BODIES: dict[str, Callable[[], np.ndarray[Any, Any]]] = {kind: (lambda kind=kind: train(kind)) for kind in KINDS}
