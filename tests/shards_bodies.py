"""Programs with ``shards=V``; each returns all values of the trained model's state, flat, float64."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.distributed import ShardBatchSampler
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.nn.utils import clip_grad_norm_
from allgrad.optim import AdamW
from allgrad.random import manual_seed
from allgrad.utils.data import DataLoader, TensorDataset

Array = np.ndarray[Any, Any]
SHARDS = 8


class Net(nn.Module):
    """Dropout, running statistics, a layer that only some batches use, a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 33), nn.BatchNorm1d(33), nn.Linear(33, 3)
        self.some, self.frozen = nn.Linear(3, 3), nn.Linear(3, 3)
        self.frozen.requires_grad_(False)
        self.register_buffer("kept", torch.full((2,), 0.1))

    def forward(self, x: Any) -> Any:
        y = self.last(F.dropout(torch.tanh(self.norm(self.first(x))), 0.3, self.training))
        return self.frozen(self.some(y)) if float(x[0, 0]) > 0.8 else y


class Noisy(TensorDataset):
    """Draws from the default generator with every sample, as augmentation does."""

    def __getitem__(self, index: Any) -> Any:
        x, y = super().__getitem__(index)
        return x + 0.1 * torch.randn(6), y


def values(model: nn.Module) -> Array:
    return np.concatenate([t.detach().numpy().reshape(-1).astype(np.float64) for t in model.state_dict().values()])


def data(samples: int = 110) -> tuple[Any, Any]:
    source = np.random.default_rng(3)
    rows = torch.tensor(source.standard_normal((samples, 6)).astype(np.float32))
    return rows, torch.tensor(source.integers(0, 3, samples))


def with_loader(cap: float | None = None, shards: int = SHARDS, double: bool = False, saved: Any = None) -> Array:
    """Two epochs; ``saved`` (a list): stop after 7 steps and leave the state there, or go on from it."""
    dist.init_process_group()
    manual_seed(dist.get_rank())  # different on purpose: rank 0's seed must win
    model = Net().double() if double else Net()
    wrapped = DistributedDataParallel(model, bucket_cap_mb=cap, shards=shards)
    rows, labels = data()
    dataset = Noisy(rows, labels)
    loader = DataLoader(dataset, batch_sampler=ShardBatchSampler(dataset, 3, shards=shards))
    optimizer = AdamW(model.parameters(), lr=0.01)
    stops = saved is not None and not saved
    if saved:
        model.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
        loader.load_state_dict(saved[2])
        wrapped.sharding.load_state_dict(saved[3])
        manual_seed(77)  # a resumed process has drawn other numbers
    for epoch in range(1 if saved else 0, 2):
        for step in wrapped.steps(loader):
            optimizer.zero_grad()
            for inputs, targets in step:
                F.cross_entropy(wrapped(inputs.double() if double else inputs), targets).backward()
            clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if stops and epoch == 1 and wrapped.sharding.step == 7:
                if dist.get_rank() == 0:
                    saved += [
                        model.state_dict(),
                        optimizer.state_dict(),
                        loader.state_dict(),
                        wrapped.sharding.state_dict(),
                    ]
                dist.destroy_process_group()
                return values(model)
    dist.destroy_process_group()
    return values(model)


def weighted(poisoned: bool = False) -> Array:
    """Shards of different size, by hand; one holds no sample, and then whatever it computes counts for nothing."""
    dist.init_process_group()
    manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    wrapped = DistributedDataParallel(model, bucket_cap_mb=1e-4, shards=SHARDS)
    rows, labels = data(36)
    for _ in range(3):
        model.zero_grad()
        for k in wrapped.sharding.run:
            n = k if k != 3 else 0
            start = k * (k - 1) // 2
            with wrapped.shard(k, weight=n):
                part, targets = rows.double()[start : start + max(n, 1)], labels[start : start + max(n, 1)]
                scale = float("nan") if poisoned and n == 0 else 1.0
                (F.cross_entropy(wrapped(part), targets) * scale).backward()
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(p.grad * 0.1)
    dist.destroy_process_group()
    return values(model)


def quiet(body: Callable[[], Array]) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return body()


BODIES: dict[str, Callable[[], Array]] = {
    "loader": with_loader,
    "tiny buckets": lambda: with_loader(1e-5),
    "several buckets": lambda: with_loader(5e-4),
    "13 shards, float64": lambda: with_loader(5e-4, 13, True),
    "weights": weighted,
    "weights, a poisoned shard of weight 0": lambda: weighted(True),
}
