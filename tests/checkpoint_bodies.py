"""Training programs with checkpoints that run in any world; each returns the log of its rank: losses, samples, parameters."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.checkpoint import CheckpointManager
from allgrad.distributed.optim import ShardedOptimizer, ZeroRedundancyOptimizer
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.utils.data import DataLoader, DistributedSampler

SAMPLES, STEPS_PER_EPOCH = 48, 4


class Numbered:
    """Samples that say which they are."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, i: int) -> Any:
        return i, torch.tensor(np.random.default_rng(i).standard_normal(6).astype(np.float32)), i % 3


def build(sharded: Any = False, seed: int = 3) -> dict[str, Any]:
    """What a training run consists of; every kind of state that can be forgotten is in it."""
    torch.manual_seed(seed)
    model = DistributedDataParallel(
        nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    )
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(100 + rank)  # dropout differs between ranks
    if sharded == "elements":
        optimizer: Any = ShardedOptimizer(model, torch.optim.AdamW, lr=0.02)
    elif sharded:
        optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.AdamW, lr=0.02)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.7)
    data = Numbered()
    loader = DataLoader(data, batch_size=SAMPLES // STEPS_PER_EPOCH // size, sampler=DistributedSampler(data, seed=9))
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler, "loader": loader}


def train(
    folder: str, epochs: int = 2, stop: int = 0, sharded: Any = False, override: Any = (), **options: Any
) -> dict[str, Any]:
    """Train with a checkpoint every third step; ``stop``: end after that step, as a killed job would."""
    dist.init_process_group()
    parts = build(sharded)
    manager = CheckpointManager(folder, every=3, **options).track(**parts)
    manager.resume("auto", override=override)
    values = manager.values
    log = values.setdefault("log", [])
    fresh = {"steps": manager.steps}
    for epoch in range(values.get("epoch", 0), epochs):
        values["epoch"] = epoch
        for which, inputs, targets in parts["loader"]:
            parts["optimizer"].zero_grad()
            loss = F.cross_entropy(parts["model"](inputs), targets)
            loss.backward()
            parts["optimizer"].step()
            parts["scheduler"].step()
            log.append([loss.item(), which.tolist(), random.random(), float(np.random.random())])
            manager.step(loss=loss.item())
            if manager.steps == stop:
                manager.close()
                dist.destroy_process_group()
                return {"log": list(log), **fresh}
    manager.close()
    flat = np.concatenate([p.detach().numpy().reshape(-1) for p in parts["model"].parameters()])
    buffers = np.concatenate([b.numpy().reshape(-1).astype(np.float64) for b in parts["model"].buffers()])
    last = {"flat": flat, "buffers": buffers, "steps": manager.steps, "resumed": fresh["steps"]}
    dist.destroy_process_group()
    return {"log": list(log), **last}


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two runs gave the same bits."""
    same = a["log"] == b["log"] and a["steps"] == b["steps"]
    return same and all(a[k].tobytes() == b[k].tobytes() for k in ("flat", "buffers"))


class Noisy:
    """Samples with noise from the default generator of whoever fetches them."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> Any:
        return i, torch.rand(1)


def noisy_batches(folder: str, stop: int = 0, **settings: Any) -> list[Any]:
    """The batches of two passes, in a run that may end after ``stop`` of them."""
    torch.manual_seed(4)
    loader = DataLoader(Noisy(), batch_size=3, shuffle=True, **settings)
    manager = CheckpointManager(folder, signals=False).track(loader=loader)
    manager.resume()
    log = manager.values.setdefault("log", [])
    while manager.steps < 16:
        for i, noise in loader:
            log.append([i.tolist(), noise.reshape(-1).tolist()])
            manager.step()
            if manager.steps == stop:
                manager.save()
                return log
    return log


def sharded(folder: str, stop: int = 0, sharded_optimizer: bool = False) -> Any:
    """Twelve steps over four logical shards, with dropout and running statistics; the parameters and buffers at the end."""
    dist.init_process_group()
    torch.manual_seed(3)
    layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    model = DistributedDataParallel(layers, shards=4)
    if sharded_optimizer:
        optimizer: Any = ZeroRedundancyOptimizer(model.parameters(), torch.optim.AdamW, lr=0.02)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    data = Numbered()
    loader = DataLoader(data, batch_sampler=dist.ShardBatchSampler(data, 2, shards=4, seed=5))
    manager = CheckpointManager(folder, signals=False)
    manager.track(model=model, optimizer=optimizer, loader=loader).resume()
    while manager.steps < 12:
        for step in model.steps(loader):
            optimizer.zero_grad()
            for _, inputs, targets in step:
                F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            manager.step()
            if manager.steps == stop:
                manager.save()
                dist.destroy_process_group()
                return None
    dist.destroy_process_group()
    return b"".join(t._a.tobytes() for t in (*model.parameters(), *model.buffers()))
