"""Local SGD: steps of each rank's own between averages, against the same written out in one process."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState, post_localSGD_hook
from allgrad.distributed.algorithms.model_averaging import utils
from allgrad.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from allgrad.distributed.algorithms.model_averaging.hierarchical_model_averager import HierarchicalModelAverager
from allgrad.distributed.optim import PostLocalSGDOptimizer
from allgrad.errors import ArgumentError, MismatchError, UnsupportedError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import manual_seed
from ddp_bodies import batches, flat, mlp
from local_sgd_bodies import BODIES, KINDS, PERIOD, WARMUP, reference, train


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_one_process_computes(kind: str, size: int) -> None:
    found = run_virtual(BODIES[kind], size)
    for mine, expected in zip(found, reference(kind, size)):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-12)
    if kind != "two levels":
        for step in range(WARMUP if kind != "by hand" else 0, len(found[0]), PERIOD):
            assert all(f[step].tobytes() == found[0][step].tobytes() for f in found)


@pytest.mark.parametrize("kind", ["by hand", "two levels"])
def test_a_resumed_optimizer_averages_when_it_would_have(kind: str) -> None:
    whole, resumed = run_virtual(train, 2, kind), run_virtual(train, 2, kind, True)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, resumed))


def test_replicas_really_go_their_own_way_between_averages() -> None:
    a, b = run_virtual(BODIES["all local"], 2)
    assert a[WARMUP - 1].tobytes() == b[WARMUP - 1].tobytes() and np.abs(a[WARMUP + 1] - b[WARMUP + 1]).max() > 1e-4


def in_group(program: Any, size: int) -> list[Any]:
    def whole() -> Any:
        dist.init_process_group()
        return program(dist.get_rank())

    return run_virtual(whole, size)


def test_a_gradient_on_one_rank_is_enough_and_frozen_parameters_stay() -> None:
    def program(rank: int) -> Any:
        used, idle, frozen = (torch.nn.Parameter(torch.full((2,), float(rank + 1))) for _ in range(3))
        frozen.requires_grad_(False)
        if rank == 1:
            used.grad = torch.ones(2)
        utils.average_parameters_or_parameter_groups([used, idle, frozen], None)
        first = [p.tolist() for p in (used, idle, frozen)]
        used.grad = None  # a step that all ranks skipped: they meet all the same
        utils.average_parameters_or_parameter_groups([{"params": [used, idle, frozen]}], None)
        return first, [p.tolist() for p in (used, idle, frozen)]

    for rank, (first, second) in enumerate(in_group(program, 2)):
        own = [rank + 1.0] * 2
        assert first == [[1.5, 1.5], own, own] and second == [[1.5, 1.5], [1.5, 1.5], own]


def test_parameters_of_several_dtypes_keep_theirs() -> None:
    pytest.importorskip("ml_dtypes", reason="bfloat16 needs it")

    def program(rank: int) -> Any:
        params = [torch.full((2,), rank + 0.5, dtype=d) for d in (torch.float64, torch.float16, torch.bfloat16)]
        utils.average_parameters(iter(params), dist.GroupMember.WORLD)
        return [(str(p.dtype), p.tolist()) for p in params]

    names = [f"torch.{n}" for n in ("float64", "float16", "bfloat16")]
    for found in in_group(program, 3):
        assert [v for _, v in found] == [[1.5, 1.5]] * 3
        assert [d.split(".")[-1] for d, _ in found] == [n.split(".")[-1] for n in names]


def test_different_lists_are_an_error_on_every_rank() -> None:
    def program(rank: int) -> str:
        params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2 if rank else 3)]
        with pytest.raises(MismatchError, match="3 parameters on rank 0, 2 parameters on rank 1"):
            utils.average_parameters_or_parameter_groups(params, None)
        return "told"

    assert in_group(program, 2) == ["told", "told"]


def test_a_rank_outside_the_group_does_nothing() -> None:
    def program(rank: int) -> Any:
        part = dist.new_group([0, 1])
        p = torch.full((1,), float(rank))
        utils.average_parameters([p], part)
        return p.item()

    assert in_group(program, 3) == [0.5, 0.5, 2.0]


def test_local_steps_send_nothing() -> None:
    def program(rank: int) -> Any:
        model = DistributedDataParallel(nn.Linear(4, 4, bias=False))
        model.register_comm_hook(PostLocalSGDState(None, None, 1, False), post_localSGD_hook)
        sent = []
        for _ in range(3):
            model(torch.ones(2, 4)).sum().backward()
            sent.append(model.traffic[0])
        return sent

    assert in_group(program, 2) == [[64, 64, 64]] * 2


def test_a_schedule_acts_on_the_inner_optimizer() -> None:
    def program(rank: int) -> Any:
        inner = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        optimizer = PostLocalSGDOptimizer(inner, PeriodicModelAverager(2))
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        optimizer.step()
        schedule.step()
        optimizer.load_state_dict(optimizer.state_dict())
        optimizer.step()
        schedule.step()
        return inner.param_groups[0]["lr"], optimizer.averager.step, repr(optimizer)[:3]

    assert in_group(program, 2) == [(0.25, 2, "SGD")] * 2


def test_a_plain_state_dict_loads_with_a_warning() -> None:
    dist.init_process_group()
    try:
        inner = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        optimizer = PostLocalSGDOptimizer(inner, PeriodicModelAverager(2))
        optimizer.averager.step = 7
        with pytest.warns(UserWarning, match="does not contain a step counter"):
            optimizer.load_state_dict(inner.state_dict())
        assert optimizer.averager.step == 0
    finally:
        dist.destroy_process_group()


def test_wrong_settings_say_so() -> None:
    dist.init_process_group()
    try:
        with pytest.raises(ArgumentError, match="non-negative"):
            PeriodicModelAverager(2, -1)
        with pytest.raises(ArgumentError, match="positive"):
            PeriodicModelAverager(0)
        with pytest.warns(UserWarning, match="period of 1"):
            PeriodicModelAverager(1)
        for periods, words in (({}, "empty"), ({0: 1}, "minimum period"), ({2: 3}, "equal to the size")):
            with pytest.raises(ArgumentError, match=words):
                HierarchicalModelAverager(periods)
        with pytest.raises(UnsupportedError, match="str"):
            utils.get_params_to_average(["weight"])
        with pytest.raises(ArgumentError, match="start_localSGD_iter"):
            PostLocalSGDState(None, None, -1)
    finally:
        dist.destroy_process_group()


def test_subgroups() -> None:
    def program(rank: int) -> Any:
        mine, groups = dist.new_subgroups(2)
        own, listed = dist.new_subgroups_by_enumeration([[3, 1], [0]])
        node, _ = dist.new_subgroups()
        levels = HierarchicalModelAverager(OrderedDict([(2, 2), (4, 4)])).period_process_group_dict
        for size, words in ((3, "divisible"), (8, "must not exceed"), (0, "positive")):
            with pytest.raises(ArgumentError, match=words):
                dist.new_subgroups(size)
        with pytest.raises(ArgumentError, match="more than one"):
            dist.new_subgroups_by_enumeration([[0, 1], [1]])
        t = torch.tensor([float(rank)])
        dist.all_reduce(t, group=mine)
        return (
            dist.get_process_group_ranks(mine),
            [g is mine for g in groups],
            None if own is None else (own.rank(), own.size()),
            len(listed),
            node.size(),
            [g.size() for g in levels.values()],
            t.item(),
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = in_group(program, 4)
    assert [f[0] for f in found] == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert found[0][1] == [True, False] and found[3][1] == [False, True]
    assert [f[2] for f in found] == [(0, 1), (1, 2), None, (0, 2)]
    assert all(f[3:6] == (2, 4, [2, 4]) for f in found) and [f[6] for f in found] == [1.0, 1.0, 5.0, 5.0]


def test_a_weighted_local_step_and_an_average_are_the_weighted_mean() -> None:
    """Rank r holds r + 1 samples: one local step of SGD, then the mean of the parameters, is the step of plain DDP."""

    def program(local: bool) -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        manual_seed(0)
        model = mlp()
        wrapped = DistributedDataParallel(model)
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.1)
        if local:
            wrapped.register_comm_hook(PostLocalSGDState(None, None, 0, False), post_localSGD_hook)
            optimizer = PostLocalSGDOptimizer(optimizer, PeriodicModelAverager(2))
        rows, labels = (t[rank * (rank + 1) // 2 :][: rank + 1] for t in batches((6,), 1)[0])
        with wrapped.sync(weight=rank + 1):
            F.cross_entropy(wrapped(rows), labels).backward()
        optimizer.step()
        return flat(model)

    for mine, expected in zip(run_virtual(program, 4, True), run_virtual(program, 4, False)):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-14)
