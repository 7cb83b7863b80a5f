"""What a synchronized backward must survive: errors, idle ranks, several models, frozen layers, graphs of gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.autograd import Function
from allgrad.comm import run_virtual
from allgrad.errors import MismatchError, RankFailedError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import manual_seed
from ddp_bodies import batches, flat, group, mlp, sgd

SIZES = [1, 2, 3, 4]


class Fuse(Function):
    """Raises in backward if it is told to."""

    @staticmethod
    def forward(ctx: Any, x: Any, blows: bool) -> Any:
        ctx.blows = blows
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        if ctx.blows:
            raise ValueError("the fuse blew")
        return g, None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("cap_mb", [None, 1e-5])
def test_a_backward_that_raises_is_told_to_all_ranks(size: int, cap_mb: float | None, late: bool) -> None:
    def program(blowing: int | None, late: bool) -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        manual_seed(3)
        model = mlp()
        wrapped = DistributedDataParallel(model, bucket_cap_mb=cap_mb)
        told = ""
        for step, (inputs, targets) in enumerate(batches((6,), 3)):
            model.zero_grad()
            blows = step == 1 and rank == blowing
            try:
                loss = F.cross_entropy(wrapped(Fuse.apply(inputs[rank::size], False)), targets[rank::size])
                first = Fuse.apply(model[:2](inputs[rank::size]), blows and late)  # in the middle of backward
                loss = loss + 0 * first.sum()
                Fuse.apply(loss, blows and not late).backward()
            except (ValueError, RankFailedError) as error:
                told = f"{type(error).__name__}: {error}"
                assert all(p.grad is None for p in model.parameters())
            if not (step == 1 and blowing is None):
                sgd(model, 0.1)
        return flat(model), told

    found = run_virtual(program, size, size - 1, late)
    calm = run_virtual(program, size, None, late)  # the same, the second step left out
    for rank, (values, told) in enumerate(found):
        assert values.tobytes() == calm[0][0].tobytes()
        if rank == size - 1:
            assert told == "ValueError: the fuse blew"
        else:
            assert told.startswith("RankFailedError") and f"on rank {size - 1}: ValueError: the fuse blew" in told


class Switch(nn.Module):
    """Uses its layer, passes its input on, or returns a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Any, how: str) -> Any:
        return {"layer": lambda: self.layer(x), "input": lambda: x * 2, "constant": lambda: torch.ones(4, 1)}[how]()


@pytest.mark.parametrize("idle", ["input", "constant"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_loss_that_uses_no_parameter(size: int, idle: str) -> None:
    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        manual_seed(0)
        wrapped = DistributedDataParallel(Switch())
        x = torch.ones(4, 3, requires_grad=idle == "input")
        wrapped(x, "layer" if rank == 0 else idle).sum().backward()
        return wrapped.module.layer.weight.grad.tolist()

    for grad in run_virtual(program, size):
        np.testing.assert_allclose(grad, [[4 / size] * 3], rtol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_two_models_whose_gradients_come_in_another_order_on_each_rank(size: int) -> None:
    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        manual_seed(0)
        a = DistributedDataParallel(mlp(), bucket_cap_mb=1e-5)
        b = DistributedDataParallel(mlp(), bucket_cap_mb=1e-5)
        inputs, targets = batches((6,), 1)[0]
        order = (a, b) if rank % 2 else (b, a)
        rows = slice(rank, None, dist.get_world_size())
        losses = [F.cross_entropy(m(inputs[rows]), targets[rows]) for m in order]
        (losses[0] + losses[1]).backward()
        return np.concatenate([p.grad.numpy().reshape(-1) for m in (a, b) for p in m.module.parameters()])

    found = run_virtual(program, size)
    alone = run_virtual(program, 1)[0]
    for mine in found:
        assert mine.tobytes() == found[0].tobytes()
        np.testing.assert_allclose(mine, alone, rtol=0, atol=1e-14)


class Tied(nn.Module):
    """One weight at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.last = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.last(self.second(torch.tanh(self.first(x))))


def train(build: Any, size: int, rank: int, wrap: bool, between: Any = None) -> Any:
    manual_seed(4)
    model = build().double()
    call = DistributedDataParallel(model) if wrap else model
    for step, (inputs, targets) in enumerate(batches((6,), 4)):
        if between is not None:
            between(model, step)
        model.zero_grad()
        half = len(inputs) // 2
        total = 0
        for part in (slice(0, half), slice(half, None)):  # two forwards, one backward
            total = total + F.cross_entropy(call(inputs[part][rank::size]), targets[part][rank::size]) / 2
        total.backward()
        sgd(model, 0.1)
    return flat(model)


def freeze_and_thaw(model: Any, step: int) -> None:
    model.first.requires_grad_(step != 0)
    model.last.requires_grad_(step != 2)


@pytest.mark.parametrize("between", [None, freeze_and_thaw])
@pytest.mark.parametrize("size", SIZES)
def test_shared_frozen_and_thawed_parameters(size: int, between: Any) -> None:
    def program() -> Any:
        dist.init_process_group()
        return train(Tied, size, dist.get_rank(), True, between)

    expected = train(Tied, 1, 0, False, between)
    found = run_virtual(program, size)
    for mine in found:
        assert mine.tobytes() == found[0].tobytes()
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-12)


def test_a_layer_frozen_on_one_rank_only_is_an_error_on_all() -> None:
    def program() -> str:
        dist.init_process_group()
        model = Tied()
        wrapped = DistributedDataParallel(model)
        wrapped(torch.ones(2, 6)).sum().backward()
        model.last.requires_grad_(dist.get_rank() != 1)
        try:
            wrapped(torch.ones(2, 6)).sum().backward()
        except MismatchError as error:
            return str(error)
        return "no error"

    for text in run_virtual(program, 3):
        assert "no error" not in text and "rank 1" in text


@pytest.mark.parametrize("size", SIZES)
def test_the_global_gradient_is_a_graph(size: int) -> None:
    """Gradient penalty on the *global* gradient: the value of one process on the whole batch, and its gradient."""

    def penalized(model: Any, call: Any, rows: Any, labels: Any, ranks: Any) -> Any:
        F.cross_entropy(call(rows), labels).backward(create_graph=True)
        grads = [p.grad for p in model.parameters()]
        for p in model.parameters():
            p.grad = None
        # Each rank has a penalty of its own.
        return sum((g * g).sum() + torch.sin(g * (1 + r)).sum() for g in grads for r in ranks) / len(ranks)

    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        manual_seed(6)
        model = mlp()
        wrapped = DistributedDataParallel(model, bucket_cap_mb=3e-4)
        inputs, targets = batches((6,), 1)[0]
        value = penalized(model, wrapped, inputs[rank::size], targets[rank::size], [rank])
        value.backward()
        return value.item(), np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()])

    manual_seed(6)
    model = mlp()
    value = penalized(model, model, *batches((6,), 1)[0], range(size))
    value.backward()
    expected = np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()])
    found = run_virtual(program, size)
    assert abs(sum(mine for mine, _ in found) / size - value.item()) < 1e-12
    for _, grads in found:
        np.testing.assert_allclose(grads, expected, rtol=0, atol=1e-12)


def test_no_grad_and_eval_send_nothing() -> None:
    def program() -> int:
        dist.init_process_group()
        model = DistributedDataParallel(nn.Linear(2, 1))
        comm = model.process_group.comm
        before = comm.sequence
        with torch.no_grad():
            model(torch.ones(3, 2))
        model.eval()
        model(torch.ones(3, 2))
        return int(comm.sequence - before)

    assert run_virtual(program, 2) == [0, 0]


def test_a_gradient_kept_on_one_rank_is_not_lost() -> None:
    """Accumulated under no_sync on rank 0 only, and unused in the synchronized backward."""

    def program() -> Any:
        dist.init_process_group()
        wrapped = DistributedDataParallel(Switch())
        x = torch.ones(4, 3, requires_grad=True)
        with wrapped.no_sync():
            wrapped(x, "layer" if dist.get_rank() == 0 else "input").sum().backward()
        wrapped(x, "input").sum().backward()
        return wrapped.module.layer.weight.grad.tolist()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run_virtual(program, 2) == [[[2.0] * 3]] * 2


def set_by_hand() -> tuple[int, np.ndarray[Any, Any]]:
    """The attribute in place of no_sync(), as many programs have it: one synchronization for three micro-batches."""
    with group() as (rank, size):
        manual_seed(0)
        model = mlp()
        wrapped = DistributedDataParallel(model)
        (inputs, targets) = batches((6,), 1)[0]
        for k in range(3):
            wrapped.require_backward_grad_sync = k == 2
            part = slice(8 * k, 8 * k + 8)
            (F.cross_entropy(wrapped(inputs[part][rank::size]), targets[part][rank::size]) / 3).backward()
        gradients = np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()])
        return wrapped.traffic[0] // sum(b.flat.nbytes for b in wrapped.reducer.buckets), gradients


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_flag_of_no_sync_may_be_set_by_hand(size: int) -> None:
    reference = run_virtual(set_by_hand, 1)[0][1]
    for synchronized, gradients in run_virtual(set_by_hand, size):
        assert synchronized == 1
        np.testing.assert_allclose(gradients, reference, rtol=1e-12, atol=1e-15)
