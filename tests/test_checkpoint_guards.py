"""Spikes of the gradient norm are reported; a rank that computes wrongly is named by its neighbours."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.checkpoint import GradientNormGuard, GradientSpikeWarning, ReplayCheck
from allgrad.comm import run_virtual
from allgrad.errors import ArgumentError, ReplicaError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel


def test_limit_is_median_and_deviation() -> None:
    norms = np.random.default_rng(0).uniform(1, 2, 50)
    guard = GradientNormGuard(window=30, factor=8)
    assert not any(guard(n) for n in norms)
    last = norms[-30:]
    middle = np.median(last)
    assert guard.limit() == pytest.approx(middle + 8 * 1.4826 * np.median(np.abs(last - middle)), rel=1e-12)


def test_spikes_are_reported_and_do_not_move_the_limit_much() -> None:
    guard = GradientNormGuard()
    for k in range(40):
        assert not guard(1 + 0.1 * math.sin(k))
    before = guard.limit()
    with pytest.warns(GradientSpikeWarning, match="step 41: the norm of the gradients is 50, usually 1"):
        assert guard(torch.tensor(50.0))
    with pytest.warns(GradientSpikeWarning, match="is nan"):
        assert guard(math.nan)
    assert guard.spikes == 2 and abs(guard.limit() - before) < 0.1 * before
    other = GradientNormGuard()
    other.load_state_dict(guard.state_dict())
    assert other.limit() == guard.limit() and other.steps == guard.steps
    with pytest.raises(ArgumentError, match="window >= warmup"):
        GradientNormGuard(window=1)


def replayed(wrong: int | None, once: bool = False) -> Any:
    """Five steps with a check in each second one; rank ``wrong`` computes one bit of a gradient differently."""
    dist.init_process_group()
    rank = dist.get_rank()
    torch.manual_seed(3)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)))
    torch.manual_seed(rank)
    calls = []

    def loss(module: Any, x: Any, y: Any) -> Any:
        value = F.cross_entropy(module(x), y)
        calls.append(1)
        if rank == wrong and (not once or len(calls) == 1):
            value = value * (1 + 1e-6)
        return value

    check = ReplayCheck(model, loss, every=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    log = []
    try:
        for _ in range(5):
            x, y = torch.randn(6, 4), torch.randint(0, 2, (6,))
            if wrong is not None or once:
                check(x, y)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            log.append(float(torch.rand(1)))
    except ReplicaError as error:
        return str(error)
    return [log, [p.detach().numpy().tobytes() for p in model.parameters()], [b.tolist() for b in model.buffers()]]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_checks_change_nothing(size: int) -> None:
    assert run_virtual(replayed, size, -1) == run_virtual(replayed, size, None)


@pytest.mark.parametrize(("size", "wrong"), [(3, 0), (3, 1), (3, 2), (4, 3)])
@pytest.mark.parametrize("once", [False, True])
def test_the_wrong_rank_is_named_on_all(size: int, wrong: int, once: bool) -> None:
    texts = run_virtual(replayed, size, wrong, once)
    assert len(set(texts)) == 1
    assert f"rank {wrong} on virtual computes wrongly" in texts[0] and "0.weight" in texts[0]


def test_of_two_ranks_both_are_named_unless_one_contradicts_itself() -> None:
    assert "rank 0 on virtual or rank 1 on virtual" in run_virtual(replayed, 2, 1)[0]
    assert "; rank 1 on virtual computes wrongly" in run_virtual(replayed, 2, 1, True)[0]


def test_the_guard_is_quiet_on_other_ranks() -> None:
    def body() -> bool:
        dist.init_process_group()
        guard = GradientNormGuard(warmup=2)
        spikes = [guard(n) for n in (1.0, 1.0, 9.0)]
        dist.destroy_process_group()
        return spikes[2]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run_virtual(body, 3) == [True] * 3
    assert len(caught) == 1
