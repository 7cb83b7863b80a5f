"""N ranks on N shards are one rank on the whole batch; replicas are bitwise equal; virtual ranks are real ranks."""

from __future__ import annotations

import hashlib
import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.errors import DistributedError, MismatchError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import manual_seed
from ddp_bodies import BODIES, Branches, batches, flat, reference, sgd, train
from mpirun import mpirun

Array = np.ndarray[Any, Any]


@cache
def virtual(name: str, size: int) -> list[Array]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_virtual(BODIES[name], size)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("name", BODIES)
def test_replicas_are_bitwise_equal(name: str, size: int) -> None:
    results = virtual(name, size)
    assert all(r.tobytes() == results[0].tobytes() for r in results)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["mlp", "cnn", "cnn, small buckets", "mlp, tiny buckets", "mlp, two micro-batches"])
def test_shards_together_are_the_whole_batch(name: str, size: int) -> None:
    expected = reference(name[:3])
    np.testing.assert_allclose(virtual(name, size)[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cap_mb", [None, 1e-5, 3e-4, 1e-3, 25.0])
def test_bucket_size_does_not_change_a_bit(cap_mb: float | None) -> None:
    found = run_virtual(train, 3, "cnn", cap_mb)
    assert found[0].tobytes() == virtual("cnn", 3)[0].tobytes()


def test_no_process_group_world_of_one() -> None:
    np.testing.assert_allclose(train("mlp"), reference("mlp"), rtol=0, atol=1e-15)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_mpi_is_virtual_bit_for_bit(size: int) -> None:
    job = mpirun(size, str(Path(__file__).parent / "mpi" / "run_ddp.py"), timeout_s=90)
    assert job.code == 0, job.out + job.err
    found = json.loads(job.out[job.out.index("{") :])
    for name in BODIES:
        digests = [hashlib.sha256(v).hexdigest() for v in virtual(name, size)]
        assert found[name]["digests"] == digests, name


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_unused_parameters_are_right(size: int) -> None:
    """One process takes the rows as the ranks would: even ranks' rows through the branch, odd ranks' past it."""
    manual_seed(1)
    model = Branches().double()
    for inputs, targets in batches((6,), 3):
        model.zero_grad()
        for rank in range(size):
            rows, labels = inputs[rank::size], targets[rank::size]
            (F.cross_entropy(model(rows, rank % 2 == 0), labels) / size).backward()
        sgd(model, 0.1)
    np.testing.assert_allclose(virtual("unused parameters", size)[0], flat(model), rtol=0, atol=1e-12)


def test_a_parameter_that_no_rank_uses_is_named_once() -> None:
    with pytest.warns(UserWarning, match=r"2 parameters .*idle\.weight, idle\.bias"):
        run_virtual(BODIES["unused parameters"], 2)


def build(rank: int, odd: Any) -> None:
    dist.init_process_group()
    model = nn.Linear(4, 3)
    if rank == 2:
        model = odd()
    DistributedDataParallel(model)


def wrong_shape() -> nn.Module:
    return nn.Linear(5, 3)


def wrong_dtype() -> nn.Module:
    return nn.Linear(4, 3).double()


def wrong_name() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3))


def missing() -> nn.Module:
    return nn.Linear(4, 3, bias=False)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (wrong_shape, "parameter 'weight' has shape [3, 5], expected [3, 4] as on rank 0"),
        (wrong_dtype, "parameter 'weight' has dtype float64, expected float32 as on rank 0"),
        (wrong_name, "parameter number 0 is '0.weight', expected 'weight' as on rank 0"),
        (missing, "parameter 'bias' is missing; 1 in all, expected 2 as on rank 0"),
    ],
)
def test_different_models_are_an_error_on_every_rank(odd: Any, words: str) -> None:
    def program() -> str:
        from allgrad.context import ctx

        try:
            build(ctx.launched.rank, odd)
        except MismatchError as error:
            return str(error)
        return "no error"

    for text in run_virtual(program, 4):
        assert words in text and "rank 2" in text


def test_several_forwards_before_one_backward() -> None:
    dist.init_process_group()
    try:
        model = DistributedDataParallel(nn.Linear(2, 1))
        y = model(torch.ones(3, 2)).sum() + model(torch.ones(3, 2)).sum()
        y.backward()
        assert model.module.bias.grad.item() == 6
    finally:
        dist.destroy_process_group()


def test_a_replaced_gradient_is_noticed() -> None:
    """Someone who puts another Tensor in .grad is served correctly: its values count."""

    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        model = nn.Linear(2, 1, bias=False)
        wrapped = DistributedDataParallel(model)
        model.weight.grad = torch.full((1, 2), 10.0 * rank)
        wrapped(torch.ones(1, 2)).sum().backward()
        return model.weight.grad.tolist()

    # (0 + 1, 10 + 1) / 2
    assert run_virtual(program, 2) == [[[6.0, 6.0]]] * 2


def test_state_dict_has_no_prefix_and_loads_with_one() -> None:
    dist.init_process_group()
    try:
        model = DistributedDataParallel(nn.Linear(2, 1))
        state = model.state_dict()
        assert list(state) == ["weight", "bias"]
        model.load_state_dict({"module." + k: v * 0 for k, v in state.items()})
        assert model.module.weight.tolist() == [[0.0, 0.0]]
        model.load_state_dict({k: v + 1 for k, v in state.items()})
        assert model.module.bias.item() == 1
    finally:
        dist.destroy_process_group()


def test_no_group_is_an_error_that_says_so() -> None:
    with pytest.raises(DistributedError, match="init_process_group"):
        DistributedDataParallel(nn.Linear(2, 1))


def test_no_sync_sends_nothing() -> None:
    def program() -> list[int]:
        dist.init_process_group()
        model = DistributedDataParallel(nn.Linear(2, 1))
        comm = model.process_group.comm
        sent = []
        for quiet in (True, True, False):
            before = comm.sequence
            with model.sync(when=not quiet):
                model(torch.ones(3, 2)).sum().backward()
            sent.append(comm.sequence - before)
        return sent

    for first, second, last in run_virtual(program, 2):
        assert first == second == 0 and last > 0
