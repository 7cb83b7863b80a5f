"""Models that are wrapped again, share layers with another wrapped model, are copied or pickled; names to ignore."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.errors import DistributedError
from allgrad.nn.parallel import DistributedDataParallel
from ddp_bodies import batches, flat, group, mlp, sgd
from mpirun import mpirun, within

SIZES = (1, 2, 3)


def loss_of(outputs: Any, labels: Any) -> Any:
    return nn.functional.cross_entropy(outputs, labels)


def step(model: Any, module: nn.Module, rank: int, size: int) -> None:
    for rows, labels in batches((6,), 2):
        module.zero_grad()
        loss_of(model(rows[rank::size]), labels[rank::size]).backward()
        sgd(module, 0.1)


def wrapped_again(bias_first: bool) -> Any:
    """Half frozen, wrapped, trained; unfrozen, wrapped anew, trained; small buckets, so that messages overlap."""
    with group() as (rank, size):
        torch.manual_seed(0)
        module = mlp()
        module[0].requires_grad_(bias_first)
        model = DistributedDataParallel(module, bucket_cap_mb=1e-5)
        step(model, module, rank, size)
        module[0].requires_grad_(True)
        model = DistributedDataParallel(module, bucket_cap_mb=1e-5)
        step(model, module, rank, size)
        return flat(module)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("all_of_it", [False, True])
def test_a_module_that_is_wrapped_again_is_averaged_once(all_of_it: bool, size: int) -> None:
    found = run_virtual(wrapped_again, size, all_of_it)
    for mine in found:
        np.testing.assert_allclose(mine, run_virtual(wrapped_again, 1, all_of_it)[0], rtol=0, atol=1e-12)
        assert mine.tobytes() == found[0].tobytes()


def two_heads() -> Any:
    """Two wrapped models with one encoder: a backward through either, then one through both."""
    with group() as (rank, size):
        torch.manual_seed(0)
        encoder, first, second = nn.Linear(6, 5).double(), nn.Linear(5, 3).double(), nn.Linear(5, 3).double()
        models = [
            DistributedDataParallel(nn.Sequential(encoder, nn.Tanh(), head), bucket_cap_mb=1e-5)
            for head in (first, second)
        ]
        everything = nn.ModuleList([encoder, first, second])
        for k, (rows, labels) in enumerate(batches((6,), 6)):
            everything.zero_grad()
            mine, wanted = rows[rank::size], labels[rank::size]
            for model in models[k % 2 : k % 2 + 1] if k < 4 else models:
                loss_of(model(mine), wanted).backward()
            if k == 5:
                (loss_of(models[0](mine), wanted) + loss_of(models[1](mine), wanted)).backward()
            sgd(everything, 0.1)
        return flat(everything)


@pytest.mark.filterwarnings("ignore:.*took no part in the loss")
@pytest.mark.parametrize("size", [2, 3])
def test_two_wrapped_models_may_share_layers(size: int) -> None:
    found = run_virtual(two_heads, size)
    for mine in found:
        np.testing.assert_allclose(mine, run_virtual(two_heads, 1)[0], rtol=0, atol=1e-12)


def copied(how: str) -> Any:
    with group() as (rank, size):
        torch.manual_seed(0)
        model = DistributedDataParallel(mlp(), bucket_cap_mb=1e-5)
        step(model, model.module, rank, size)
        original = flat(model.module)
        if rank == size - 1:  # alone: a copy that does not train says nothing to the others
            alone = copy.deepcopy(model).eval()
            with torch.no_grad():
                assert torch.equal(alone(batches((6,), 1)[0][0]), model.module(batches((6,), 1)[0][0]))
        twin = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
        step(twin, twin.module, rank, size)
        assert flat(model.module).tobytes() == original.tobytes()
        step(model, model.module, rank, size)
        return flat(model.module), flat(twin.module)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_trains_as_the_original(how: str, size: int) -> None:
    for original, twin in run_virtual(copied, size, how):
        assert original.tobytes() == twin.tobytes()


def averaged_weights() -> Any:
    with group() as (rank, size):
        torch.manual_seed(0)
        model = DistributedDataParallel(mlp())
        average = torch.optim.swa_utils.AveragedModel(model)
        for _ in range(2):
            step(model, model.module, rank, size)
            average.update_parameters(model)
        with torch.no_grad():
            average.eval()(batches((6,), 1)[0][0])
        return flat(average)


def test_averaged_model_of_a_wrapped_one() -> None:
    for mine in run_virtual(averaged_weights, 2):
        np.testing.assert_allclose(mine, run_virtual(averaged_weights, 1)[0], rtol=0, atol=1e-12)


def copied_over_a_part() -> str:
    with group():
        model = DistributedDataParallel(mlp(), process_group=dist.new_group([0, 1]))
        try:
            copy.deepcopy(model)
        except DistributedError as error:
            return str(error)
        return "no error"


def test_a_model_over_another_group_is_not_copied() -> None:
    assert all("default process group" in text for text in run_virtual(copied_over_a_part, 2))


def ignoring() -> Any:
    with group() as (rank, size):
        torch.manual_seed(rank)
        module = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
        own = flat(module[0])[-4:]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, ["0.bias", "1.running_mean"])
        model = DistributedDataParallel(module)
        assert flat(module[0])[-4:].tobytes() == own.tobytes()  # not even at the start
        rows = batches((6,), 1)[0][0] * (rank + 1)
        for _ in range(2):
            model(rows[rank::size]).pow(2).sum().backward()
        return (
            module[0].bias.grad.numpy().copy(),
            module[0].weight.grad.numpy().copy(),
            module[1].running_mean.numpy().copy(),
        )


def test_ignored_parameters_and_buffers_stay_each_rank_s_own() -> None:
    (bias, weight, mean), (bias1, weight1, mean1) = run_virtual(ignoring, 2)
    assert weight.tobytes() == weight1.tobytes()
    assert bias.tobytes() != bias1.tobytes() and mean.tobytes() != mean1.tobytes()


def worlds() -> Any:
    before = dist.group.WORLD, dist.GroupMember.WORLD
    with group() as (rank, size):
        world = dist.group.WORLD
        assert world is dist.GroupMember.WORLD and world.size() == size and world.rank() == rank
        t = torch.ones(2)
        dist.all_reduce(t, group=dist.group.WORLD)
        return before, t.tolist()


def test_group_world_is_the_default_group() -> None:
    for before, total in run_virtual(worlds, 2):
        assert before == (None, None) and total == [2.0, 2.0]


def test_windows_of_several_groups_are_freed_in_one_order() -> None:
    program = str(Path(__file__).parent / "mpi" / "run_crossed_windows.py")
    job = mpirun(3, program, timeout_s=within(20), env={"ALLGRAD_TIMEOUT": "15"})
    assert job.code == 0 and job.out.count("done") == 3, job.out + job.err


def test_again_over_mpi() -> None:
    """The bodies above, with real messages under way."""
    job = mpirun(3, str(Path(__file__).parent / "mpi" / "run_again.py"), timeout_s=within(30))
    assert job.code == 0 and job.out.count("as in the virtual world") == 3, job.out + job.err
