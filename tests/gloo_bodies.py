"""Data-parallel programs for PyTorch over gloo and for allgrad: the same text, ``T`` is one or the other.

Each returns what its rank holds after ten steps, flat, float64.  Run as a program this file is the PyTorch side:
``gloo_bodies.py FOLDER SIZE ...`` writes ``FOLDER/SIZE-RANK.npz`` with the results of all bodies.

PowerSGD is not among them: PyTorch 2.13's hook does not return over gloo with these models.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STEPS, BATCH = 10, 12


def room(T: Any, name: str) -> Any:
    return importlib.import_module(f"{T.__name__}.{name}")


def filled(model: Any) -> Any:
    """Weights that do not depend on anybody's random numbers."""
    source = np.random.default_rng(1)
    for p in model.parameters():
        p.data.copy_(sys.modules[type(p).__module__.split(".")[0]].tensor(source.standard_normal(tuple(p.shape)) * 0.4))
    return model


def mlp(T: Any) -> Any:
    nn = T.nn
    return filled(nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5), nn.ReLU(), nn.Linear(5, 3)).double())


def batches(T: Any, steps: int = STEPS) -> list[tuple[Any, Any]]:
    source = np.random.default_rng(5)
    return [
        (T.tensor(source.standard_normal((BATCH, 6))), T.tensor(source.integers(0, 3, BATCH))) for _ in range(steps)
    ]


def wrap(T: Any, model: Any, **settings: Any) -> Any:
    return T.nn.parallel.DistributedDataParallel(model, bucket_cap_mb=0.0003, **settings)


def sgd(T: Any, model: Any) -> Any:
    return T.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def flat(model: Any, buffers: bool = False) -> np.ndarray[Any, Any]:
    tensors = [*model.parameters(), *(model.buffers() if buffers else ())]
    return np.concatenate([t.detach().numpy().reshape(-1).astype(np.float64) for t in tensors])


def train(
    T: Any, rank: int, size: int, model: Any, wrapped: Any, optimizer: Any, steps: int = STEPS, **inputs: Any
) -> Any:
    for rows, labels in batches(T, steps):
        optimizer.zero_grad()
        T.nn.functional.cross_entropy(wrapped(rows[rank::size], **inputs), labels[rank::size]).backward()
        optimizer.step()
    return flat(model)


def plain(T: Any, rank: int, size: int) -> Any:
    model = mlp(T)
    return train(T, rank, size, model, wrap(T, model), sgd(T, model))


def accumulated(T: Any, rank: int, size: int) -> Any:
    model = mlp(T)
    wrapped, optimizer = wrap(T, model), sgd(T, model)
    for rows, labels in batches(T):
        optimizer.zero_grad()
        mine, wanted = rows[rank::size], labels[rank::size]
        for k in range(2):
            with wrapped.no_sync() if k == 0 else contextlib.nullcontext():
                (T.nn.functional.cross_entropy(wrapped(mine[k::2]), wanted[k::2]) / 2).backward()
        optimizer.step()
    return flat(model)


def running_statistics(T: Any, rank: int, size: int) -> Any:
    nn = T.nn
    model = filled(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double())
    train(T, rank, size, model, wrap(T, model, broadcast_buffers=True), sgd(T, model))
    return flat(model, buffers=True)


def branches(T: Any) -> Any:
    class Branches(T.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.first, self.idle = (T.nn.Linear(a, b) for a, b in ((6, 3), (3, 3), (2, 2)))
            self.frozen = T.nn.Linear(3, 3)
            self.frozen.requires_grad_(False)

        def forward(self, x: Any, first: bool) -> Any:
            y = self.frozen(self.shared(x))
            return self.first(y) if first else y

    return filled(Branches().double())


def unused_and_frozen(T: Any, rank: int, size: int) -> Any:
    model = branches(T)
    wrapped = wrap(T, model, find_unused_parameters=True)
    return train(T, rank, size, model, wrapped, sgd(T, model), first=rank == 0)


def joined(T: Any, rank: int, size: int) -> Any:
    """Rank r has 10 - 3 r batches; its momentum is its own, so plain SGD."""
    model = mlp(T)
    wrapped = wrap(T, model)
    optimizer = T.optim.SGD(model.parameters(), lr=0.1)
    with wrapped.join():
        train(T, rank, size, model, wrapped, optimizer, STEPS - 3 * rank)
    return flat(model)


def joined_by_those_that_are_left(T: Any, rank: int, size: int) -> Any:
    model = mlp(T)
    wrapped = wrap(T, model)
    optimizer = T.optim.SGD(model.parameters(), lr=0.1)
    with wrapped.join(divide_by_initial_world_size=False):
        train(T, rank, size, model, wrapped, optimizer, STEPS - 3 * rank)
    return flat(model)


def sharded(T: Any, rank: int, size: int) -> Any:
    model = mlp(T)
    make = room(T, "distributed.optim").ZeroRedundancyOptimizer
    return train(T, rank, size, model, wrap(T, model), make(model.parameters(), T.optim.Adam, lr=0.01))


def local(T: Any, rank: int, size: int) -> Any:
    """Three steps together, then alone, averaged every second step; the ranks end apart."""
    hooks = room(T, "distributed.algorithms.ddp_comm_hooks.post_localSGD_hook")
    averagers = room(T, "distributed.algorithms.model_averaging.averagers")
    model = mlp(T)
    wrapped = wrap(T, model)
    wrapped.register_comm_hook(hooks.PostLocalSGDState(None, None, 3, False), hooks.post_localSGD_hook)
    averager = averagers.PeriodicModelAverager(period=2, warmup_steps=3)
    optimizer = room(T, "distributed.optim").PostLocalSGDOptimizer(sgd(T, model), averager)
    return train(T, rank, size, model, wrapped, optimizer)


def half(T: Any, rank: int, size: int) -> Any:
    model = mlp(T)
    wrapped = wrap(T, model)
    wrapped.register_comm_hook(None, room(T, "distributed.algorithms.ddp_comm_hooks.default_hooks").fp16_compress_hook)
    return train(T, rank, size, model, wrapped, sgd(T, model))


def a_graph_through_collectives(T: Any, rank: int, size: int) -> Any:
    F = room(T, "distributed.nn.functional")
    source = np.random.default_rng(rank)
    x = T.tensor(source.standard_normal((2 * size, 3)), requires_grad=True)
    parts = list(x.split(2))
    new = lambda: T.zeros(2, 3, dtype=T.float64)
    outputs = [
        F.all_reduce(x.clone()), T.stack(F.all_gather(x)), F.broadcast(x.clone(), 1), T.stack(F.gather(x, 0)),
        F.scatter(parts, 1), T.stack(F.all_to_all([new() for _ in parts], [p.clone() for p in parts])),
    ]  # fmt: skip
    sum((y.sin() * (rank + 1)).sum() for y in outputs).backward()
    return np.concatenate([t.detach().numpy().reshape(-1) for t in (*outputs, x.grad)])


Body = Callable[[Any, int, int], Any]
BODIES: dict[str, tuple[Body, float]] = {  # and how far the results may lie apart
    "plain": (plain, 1e-9),
    "accumulation under no_sync": (accumulated, 1e-9),
    "running statistics": (running_statistics, 1e-9),
    "unused and frozen parameters": (unused_and_frozen, 1e-9),
    "uneven batches under join": (joined, 1e-9),
    "uneven batches, mean of those left": (joined_by_those_that_are_left, 1e-9),
    "ZeroRedundancyOptimizer": (sharded, 1e-9),
    "PostLocalSGDOptimizer": (local, 1e-9),
    "float16 hook": (half, 5e-3),  # PyTorch adds in float16, allgrad in float32
    "a graph through collectives": (a_graph_through_collectives, 1e-9),
}


def one_rank(rank: int, size: int, folder: str) -> None:
    import torch
    import torch.distributed

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet-{size}", rank=rank, world_size=size)
    found = {name: np.asarray(body(torch, rank, size)) for name, (body, _) in BODIES.items()}
    np.savez(f"{folder}/{size}-{rank}.npz", **found)
    torch.distributed.destroy_process_group()


def main(folder: str, sizes: list[int]) -> None:
    import torch.distributed.nn.functional
    import torch.distributed.optim  # noqa: F401 - before the fork: PyTorch is imported once

    fork = multiprocessing.get_context("fork")
    for size in sizes:
        ranks = [fork.Process(target=one_rank, args=(rank, size, folder)) for rank in range(size)]
        for process in ranks:
            process.start()
        while any(process.is_alive() for process in ranks):
            if any(process.exitcode for process in ranks):  # the others would wait for it
                for process in ranks:
                    process.terminate()
            ranks[0].join(0.05)
        if any(process.exitcode for process in ranks):
            sys.exit(f"exit codes of {size} ranks: {[process.exitcode for process in ranks]}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(str(Path(sys.argv[1])), [int(size) for size in sys.argv[2:]])
