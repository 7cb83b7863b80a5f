"""Data-parallel programs that run in any world; each returns the trained parameters of its rank, flat, float64.

The data are whole batches, of which every rank takes the rows ``rank::size``; the batch divides by 1, 2, 3 and 4.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import manual_seed

BATCH = 24


@contextlib.contextmanager
def group() -> Iterator[tuple[int, int]]:
    """Join the world, leave it at the end."""
    dist.init_process_group()
    yield dist.get_rank(), dist.get_world_size()
    dist.destroy_process_group()


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 11), nn.Tanh(), nn.Linear(11, 7), nn.ReLU(), nn.Linear(7, 3)).double()


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    ).double()


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {"mlp": (mlp, (6,)), "cnn": (cnn, (1, 8, 8))}


def batches(shape: tuple[int, ...], steps: int) -> list[tuple[Any, Any]]:
    """The same global batches on every rank."""
    source = np.random.default_rng(5)
    return [
        (torch.tensor(source.standard_normal((BATCH, *shape))), torch.tensor(source.integers(0, 3, BATCH)))
        for _ in range(steps)
    ]


def sgd(model: nn.Module, lr: float) -> None:
    """One plain step, written out: the optimizer is not what is tested here."""
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p.sub_(p.grad * lr)


def flat(model: nn.Module) -> np.ndarray[Any, Any]:
    return np.concatenate([p.detach().numpy().reshape(-1).astype(np.float64) for p in model.parameters()])


def train(name: str, cap_mb: float | None = None, steps: int = 4, accumulate: int = 1) -> np.ndarray[Any, Any]:
    """``steps`` steps of DDP; under ``accumulate`` each rank takes its rows in that many micro-batches."""
    build, shape = MODELS[name]
    with group() as (rank, size):
        manual_seed(rank)  # different on purpose: rank 0's weights must win
        model = build()
        wrapped = DistributedDataParallel(model, bucket_cap_mb=cap_mb)
        for inputs, targets in batches(shape, steps):
            model.zero_grad()
            rows, labels = inputs[rank::size], targets[rank::size]
            share = len(rows) // accumulate
            for k in range(accumulate):
                part = slice(k * share, (k + 1) * share)
                with wrapped.sync(when=k == accumulate - 1):
                    loss = F.cross_entropy(wrapped(rows[part]), labels[part]) / accumulate
                    loss.backward()
            sgd(model, 0.1)
        return flat(model)


def reference(name: str, steps: int = 4) -> np.ndarray[Any, Any]:
    """One process, whole batches, no DDP."""
    build, shape = MODELS[name]
    manual_seed(0)
    model = build()
    for inputs, targets in batches(shape, steps):
        model.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        sgd(model, 0.1)
    return flat(model)


class Branches(nn.Module):
    """A parameter that only even ranks use, one that no rank uses, one frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(6, 3)
        self.even = nn.Linear(3, 3)
        self.idle = nn.Linear(2, 2)
        self.frozen = nn.Linear(3, 3)
        self.frozen.requires_grad_(False)

    def forward(self, x: Any, even: bool) -> Any:
        y = self.frozen(self.shared(x))
        return self.even(y) if even else y


def branches() -> np.ndarray[Any, Any]:
    """Unused parameters: right without a flag."""
    with group() as (rank, size):
        manual_seed(1)
        model = Branches().double()
        wrapped = DistributedDataParallel(model)
        for inputs, targets in batches((6,), 3):
            model.zero_grad()
            F.cross_entropy(wrapped(inputs[rank::size], rank % 2 == 0), targets[rank::size]).backward()
            assert model.idle.weight.grad is None and model.frozen.weight.grad is None
            assert model.even.weight.grad is not None
            sgd(model, 0.1)
        return flat(model)


def running_statistics() -> np.ndarray[Any, Any]:
    """Buffers come from rank 0 before each forward."""
    with group() as (rank, size):
        manual_seed(2)
        model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
        wrapped = DistributedDataParallel(model)
        for inputs, targets in batches((6,), 3):
            model.zero_grad()
            F.cross_entropy(wrapped(inputs[rank::size]), targets[rank::size]).backward()
            sgd(model, 0.1)
        wrapped(batches((6,), 1)[0][0])  # the same batch everywhere, after the buffers of rank 0 came
        return np.concatenate([flat(model), *[b.numpy().reshape(-1).astype(np.float64) for b in model.buffers()]])


def weighted() -> np.ndarray[Any, Any]:
    """Rank r holds r + 1 rows of each batch, or none; the mean is exact."""
    with group() as (rank, size):
        manual_seed(3)
        model = mlp()
        wrapped = DistributedDataParallel(model, bucket_cap_mb=3e-4)
        for step, (inputs, targets) in enumerate(batches((6,), 3)):
            model.zero_grad()
            start = rank * (rank + 1) // 2
            rows = slice(start, start + (0 if rank == step and size > 1 else rank + 1))
            with wrapped.sync(weight=len(targets[rows])):
                F.cross_entropy(wrapped(inputs[rows]), targets[rows]).backward()
            sgd(model, 0.1)
        return flat(model)


def skipped() -> np.ndarray[Any, Any]:
    """The last rank's second batch is poisoned: all skip it."""
    with group() as (rank, size):
        manual_seed(3)
        model = mlp()
        wrapped = DistributedDataParallel(model)
        for step, (inputs, targets) in enumerate(batches((6,), 3)):
            model.zero_grad()
            rows = inputs[rank::size] * (float("nan") if step == 1 and rank == size - 1 else 1.0)
            F.cross_entropy(wrapped(rows), targets[rank::size]).backward()
            sgd(model, 0.1)
        return flat(model)


def two_models_and_a_graph() -> np.ndarray[Any, Any]:
    """Two models in one loss; a penalty on the global gradient of the first; one of its layers is frozen later."""
    with group() as (rank, size):
        manual_seed(3)
        models = [mlp(), mlp()]
        a, b = (DistributedDataParallel(m, bucket_cap_mb=3e-4) for m in models)
        for step, (inputs, targets) in enumerate(batches((6,), 3)):
            models[0][0].requires_grad_(step != 1)
            rows, labels = inputs[rank::size], targets[rank::size]
            F.cross_entropy(a(rows), labels).backward(create_graph=True)
            grads = [p.grad for p in models[0].parameters() if p.grad is not None]
            models[0].zero_grad()
            models[1].zero_grad()
            (sum((g * g).sum() for g in grads) + F.cross_entropy(b(rows), labels)).backward()
            for m in models:
                sgd(m, 0.1)
        return np.concatenate([flat(m) for m in models])


BODIES: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
    "mlp": lambda: train("mlp"),
    "cnn": lambda: train("cnn"),
    "cnn, small buckets": lambda: train("cnn", cap_mb=0.0005),
    "mlp, tiny buckets": lambda: train("mlp", cap_mb=1e-5),
    "mlp, two micro-batches": lambda: train("mlp", accumulate=2),
    "unused parameters": branches,
    "running statistics": running_statistics,
    "weights": weighted,
    "a step skipped by all": skipped,
    "two models, a graph of gradients": two_models_and_a_graph,
}
