"""Uneven numbers of batches, and a rank that skips one: no deadlock, equal replicas, the right mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.distributed.algorithms.join import Join
from allgrad.errors import DistributedError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.optim import Adam
from allgrad.random import manual_seed
from ddp_bodies import batches, flat, mlp


def state(optimizer: Any) -> Any:
    return np.concatenate([s[k].numpy().reshape(-1) for s in optimizer.state.values() for k in ("exp_avg", "step")])


def uneven(counts: list[int], how: str) -> Any:
    """Rank r has ``counts[r]`` batches; ``how``: "all" and "weights" count a rank that is out as zeros or as no sample."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    manual_seed(0)
    model = mlp()
    wrapped = DistributedDataParallel(model, bucket_cap_mb=3e-4)
    optimizer = Adam(model.parameters(), lr=0.01)
    with wrapped.join(divide_by_initial_world_size=how != "active", optimizer=optimizer):
        for inputs, targets in batches((6,), max(counts))[: counts[rank]]:
            optimizer.zero_grad()
            rows, labels = inputs[rank::size], targets[rank::size]
            with wrapped.sync(weight=len(labels) if how == "weights" else None):
                F.cross_entropy(wrapped(rows), labels).backward()
            optimizer.step()
    return np.concatenate([flat(model), state(optimizer)])


def expected(counts: list[int], how: str) -> Any:
    """One process that takes the same rows."""
    manual_seed(0)
    model = mlp()
    optimizer = Adam(model.parameters(), lr=0.01)
    for step, (inputs, targets) in enumerate(batches((6,), max(counts))):
        optimizer.zero_grad()
        active = [r for r, c in enumerate(counts) if step < c]
        for r in active:
            loss = F.cross_entropy(model(inputs[r :: len(counts)]), targets[r :: len(counts)])
            (loss / (len(counts) if how == "all" else len(active))).backward()
        optimizer.step()
    return np.concatenate([flat(model), state(optimizer)])


@pytest.mark.parametrize("how", ["all", "active", "weights"])
@pytest.mark.parametrize("counts", [[3], [1, 3], [3, 1], [0, 2, 4], [2, 2, 2], [1, 4, 2, 3]])
def test_uneven_numbers_of_batches(counts: list[int], how: str) -> None:
    found = run_virtual(uneven, len(counts), counts, how)
    for mine in found:
        assert mine.tobytes() == found[0].tobytes()
        np.testing.assert_allclose(mine, expected(counts, how), rtol=0, atol=1e-12)


def test_without_the_optimizer_the_final_model_is_copied_and_buffers_come_from_who_has_data() -> None:
    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        manual_seed(rank)
        model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)).double()
        wrapped = DistributedDataParallel(model)
        optimizer = Adam(model.parameters(), lr=0.1)
        with Join([wrapped]):
            for inputs, _ in batches((6,), 3)[: 1 + rank]:
                optimizer.zero_grad()
                wrapped(inputs).sin().sum().backward()
                optimizer.step()
        return flat(model), model[1].num_batches_tracked.item(), model[1].running_mean.tolist()

    found = run_virtual(program, 3)
    for values, count, mean in found:
        assert values.tobytes() == found[0][0].tobytes()
        assert count == 3 and mean == found[0][2]


def test_early_termination_is_an_error_on_all_ranks() -> None:
    def program() -> str:
        dist.init_process_group()
        wrapped = DistributedDataParallel(mlp())
        try:
            with wrapped.join(throw_on_early_termination=True):
                for inputs, _ in batches((6,), 1 + (dist.get_rank() != 1)):
                    wrapped(inputs).sum().backward()
        except DistributedError as error:
            return str(error)
        return "no error"

    for text in run_virtual(program, 3):
        assert "ranks [1] of 3" in text


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_rank_skips_a_bad_batch(size: int, weighted: bool) -> None:
    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()
        wrapped = DistributedDataParallel(model, bucket_cap_mb=1e-5)
        inputs, targets = batches((6,), 1)[0]
        if rank == 1:
            wrapped.skip(weighted=weighted)
        else:
            with wrapped.sync(weight=len(targets[rank::size]) if weighted else None):
                F.cross_entropy(wrapped(inputs[rank::size]), targets[rank::size]).backward()
        return np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()])

    manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    inputs, targets = batches((6,), 1)[0]
    for rank in set(range(size)) - {1}:
        loss = F.cross_entropy(model(inputs[rank::size]), targets[rank::size])
        (loss / (size - 1 if weighted else size)).backward()
    right = np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()])
    found = run_virtual(program, size)
    for mine in found:
        assert mine.tobytes() == found[0].tobytes()
        np.testing.assert_allclose(mine, right, rtol=0, atol=1e-14)
