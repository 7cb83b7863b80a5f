"""The sharded step is the plain optimizer, bit for bit, with 1/N of its work and state on each rank."""

from __future__ import annotations

import hashlib
import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn, optim
from allgrad.comm import run_virtual
from allgrad.distributed.optim import ShardedOptimizer
from allgrad.errors import ArgumentError, DistributedError, GradientError, MismatchError, UnsupportedError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.nn.utils import clip_grad_norm_
from ddp_bodies import batches
from mpirun import mpirun, within
from sharded_step_bodies import CASES, KINDS, groups, make, train, wrapped_model

Array = np.ndarray[Any, Any]


@cache
def virtual(how: str, name: str, size: int) -> list[Array]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_virtual(train, size, how, **CASES[name])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_plain_optimizer(name: str, size: int) -> None:
    (expected, *_) = virtual("plain", name, size)
    assert all(found.tobytes() == expected.tobytes() for found in virtual("sharded", name, size))


@given(st.sampled_from(list(KINDS)), st.integers(1, 4), st.floats(1e-5, 2e-3))
@settings(max_examples=12, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore")
def test_under_any_bucket_size(kind: str, size: int, cap: float) -> None:
    plain, found = (run_virtual(train, size, how, kind, cap) for how in ("plain", "sharded"))
    assert all(f.tobytes() == plain[0].tobytes() for f in found)


# Through shared memory, and by messages as between nodes.
@pytest.mark.parametrize(("size", "way"), [(2, "auto"), (4, "auto"), (3, "ordered")])
def test_mpi_is_virtual_bit_for_bit(size: int, way: str) -> None:
    program = str(Path(__file__).parent / "mpi" / "run_sharded_step.py")
    job = mpirun(size, program, way, "sharded", timeout_s=within(60))
    assert job.code == 0, job.out + job.err
    found = json.loads(job.out[job.out.index("{") :])
    for name in CASES:
        assert (
            found[f"sharded: {name}"] == [hashlib.sha256(virtual("plain", name, size)[0].tobytes()).hexdigest()] * size
        )


def numbers(state: Any) -> Any:
    """A state dict as comparable values."""
    if isinstance(state, dict):
        return {str(k): numbers(v) for k, v in state.items()}
    if isinstance(state, (list, tuple)):
        return [numbers(v) for v in state]
    return (state.dtype, state.tolist()) if isinstance(state, torch.Tensor) else state


def some_steps(optimizer: Any, wrapped: Any, first: int, last: int) -> None:
    rank, size = dist.get_rank(), dist.get_world_size()
    for inputs, targets in batches((6,), last)[first:]:
        optimizer.zero_grad()
        F.cross_entropy(wrapped(inputs[rank::size].float(), True), targets[rank::size]).backward()
        optimizer.step()


def saved_by(how: str, kind: str, state: Any = None) -> Any:
    """Three steps: (parameters, whole state, elements of state held here); or from that at step 3 on to step 5."""
    dist.init_process_group()
    model, wrapped = wrapped_model(4e-4)
    optimizer = make(how, kind, model, wrapped)
    if state is not None:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
    some_steps(optimizer, wrapped, *((0, 3) if state is None else (3, 5)))
    held = sum(
        v.numel() for e in (optimizer.optim if how == "sharded" else optimizer).state.values() for v in e.values()
    )
    whole = None
    if how == "sharded":
        optimizer.consolidate_state_dict(to=dist.get_world_size() - 1)
    if how == "plain" or dist.get_rank() == dist.get_world_size() - 1:
        whole = optimizer.state_dict()
    return {k: v.clone() for k, v in model.state_dict().items()}, whole, held


@pytest.mark.parametrize("kind", ["AdamW", "NAdam"])
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2), (4, 4)])
@pytest.mark.filterwarnings("ignore")
def test_the_state_has_the_plain_layout_and_loads_at_any_number_of_ranks(before: int, after: int, kind: str) -> None:
    plain, found = (run_virtual(saved_by, before, how, kind) for how in ("plain", "sharded"))
    expected = numbers(plain[0][1])
    got = numbers(found[-1][1])
    frozen = plain[0][1]["param_groups"][1]["params"][-2:]
    expected["param_groups"][1]["params"] = [i for i in expected["param_groups"][1]["params"] if i not in frozen]
    assert got == expected
    assert (
        max(f[2] for f in found) < plain[0][2] / before + 200
    )  # a piece has its own step number; spans end on cache lines
    on = run_virtual(saved_by, after, "sharded", kind, found[-1][:2])
    back = run_virtual(saved_by, after, "plain", kind, plain[0][:2])
    for k, v in back[0][0].items():
        assert all(torch.equal(v, f[0][k]) for f in on), k


@pytest.mark.parametrize("norm_type", [1.0, 2.0, float("inf")])
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.filterwarnings("ignore")
def test_clipping(size: int, norm_type: float) -> None:
    def program(how: str) -> Any:
        dist.init_process_group()
        model, wrapped = wrapped_model(4e-4, torch.float64)
        optimizer = make(how, "SGD", model, wrapped)
        norms = []
        for inputs, targets in batches((6,), 3):
            optimizer.zero_grad()
            F.cross_entropy(wrapped(inputs, True), targets).backward()
            clip = optimizer.clip_grad_norm_ if how == "sharded" else lambda *a: clip_grad_norm_(model.parameters(), *a)
            norms.append(float(clip(0.3, norm_type)))
            optimizer.step()
        return norms, np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])

    plain, found = run_virtual(program, size, "plain"), run_virtual(program, size, "sharded")
    np.testing.assert_allclose(found[0][0], plain[0][0], rtol=1e-12)
    assert all(f[1].tobytes() == found[0][1].tobytes() for f in found)
    np.testing.assert_allclose(found[0][1], plain[0][1], rtol=1e-12, atol=1e-14)


@pytest.mark.filterwarnings("ignore")
def test_a_step_that_is_not_finite_changes_nothing() -> None:
    def program() -> bool:
        dist.init_process_group()
        model, wrapped = wrapped_model(4e-4)
        optimizer = make("sharded", "AdamW", model, wrapped)
        some_steps(optimizer, wrapped, 0, 2)
        before = [p.detach().numpy().copy() for p in model.parameters()]
        optimizer.zero_grad()
        factor = float("nan") if dist.get_rank() == 1 else 1.0
        (wrapped(batches((6,), 1)[0][0].float(), True).sum() * factor).backward()
        optimizer.step()
        return all(np.array_equal(a, p.detach().numpy()) for a, p in zip(before, model.parameters()))

    assert run_virtual(program, 3) == [True] * 3


@pytest.mark.filterwarnings("ignore")
def test_a_rank_that_is_out_steps_too() -> None:
    def program(how: str, counts: list[int]) -> Array:
        dist.init_process_group()
        rank, size = dist.get_rank(), dist.get_world_size()
        model, wrapped = wrapped_model(4e-4)
        optimizer = make(how, "AdamW", model, wrapped)
        with wrapped.join(optimizer=optimizer):
            for inputs, targets in batches((6,), max(counts))[: counts[rank]]:
                optimizer.zero_grad()
                F.cross_entropy(wrapped(inputs[rank::size].float(), True), targets[rank::size]).backward()
                optimizer.step()
        return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])

    plain, found = run_virtual(program, 3, "plain", [1, 3, 2]), run_virtual(program, 3, "sharded", [1, 3, 2])
    assert all(f.tobytes() == plain[0].tobytes() for f in found)


def test_what_cannot_work_is_refused() -> None:
    dist.init_process_group()
    try:
        model, wrapped = wrapped_model(None)
        for kind in (optim.LBFGS, optim.Adafactor):
            with pytest.raises(UnsupportedError, match=f"{kind.__name__} cannot, because it looks at whole parameters"):
                ShardedOptimizer(wrapped, kind)
        with pytest.raises(ArgumentError, match="found Net"):
            ShardedOptimizer(model, optim.SGD, lr=0.1)
        with pytest.raises(ArgumentError, match="'scale' is missing"):
            ShardedOptimizer(wrapped, optim.SGD, list(model.last.parameters()), lr=0.1)
        with pytest.raises(ArgumentError, match="does not belong to the model"):
            ShardedOptimizer(wrapped, optim.SGD, [*model.parameters(), *nn.Linear(2, 2).parameters()], lr=0.1)
        with pytest.raises(UnsupportedError, match="shards=V"):
            ShardedOptimizer(DistributedDataParallel(nn.Linear(2, 2), shards=2), optim.SGD, lr=0.1)
        optimizer = ShardedOptimizer(wrapped, optim.SGD, lr=0.1)
        with pytest.raises(ArgumentError, match="another optimizer"):
            ShardedOptimizer(wrapped, optim.SGD, lr=0.1)
        with pytest.raises(UnsupportedError, match="ShardedOptimizer"):
            wrapped.register_comm_hook(None, print)
        with pytest.raises(UnsupportedError, match="when it is made"):
            optimizer.add_param_group({"params": list(nn.Linear(2, 2).parameters())})
        with pytest.raises(DistributedError, match="consolidate_state_dict"):
            optimizer.state_dict()
    finally:
        dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_nothing_reads_a_gradient_that_is_dealt_out() -> None:
    dist.init_process_group()
    try:
        model, wrapped = wrapped_model(None)
        optimizer = ShardedOptimizer(wrapped, optim.SGD, lr=0.1)
        rows = batches((6,), 1)[0][0].float()
        wrapped(rows, True).sum().backward()
        for read in (
            lambda: clip_grad_norm_(model.parameters(), 1.0),
            lambda: model.first.weight.grad.norm(),
            lambda: optim.SGD(model.parameters(), lr=0.1).step(),
            lambda: wrapped(rows, True).sum().backward(),
        ):
            with pytest.raises(GradientError, match="is dealt out over the ranks by ShardedOptimizer"):
                read()
        optimizer.step()
        for again in (optimizer.step, lambda: optimizer.clip_grad_norm_(1.0)):
            with pytest.raises(GradientError, match="used up by the last step"):
                again()
        model.zero_grad()
        with wrapped.no_sync():
            wrapped(rows, True).sum().backward()
        with pytest.raises(GradientError, match="did not come from a synchronized backward"):
            optimizer.step()
        optimizer.zero_grad()
        with pytest.raises(GradientError, match="create_graph"):
            wrapped(rows, True).sum().backward(create_graph=True)
        model.last.requires_grad_(False)
        wrapped(rows, True).sum().backward()
        with pytest.raises(DistributedError, match="frozen or unfrozen"):
            optimizer.step()
    finally:
        dist.destroy_process_group()


def test_one_group_of_all_trained_parameters_is_the_default() -> None:
    dist.init_process_group()
    try:
        model, wrapped = wrapped_model(None)
        found = ShardedOptimizer(wrapped, optim.AdamW, lr=0.5)
        assert [p for g in found.param_groups for p in g["params"]] == [
            p for p in model.parameters() if p.requires_grad
        ]
        assert found.param_groups[0]["lr"] == 0.5 and found.param_groups[0]["betas"] == (0.9, 0.999)
        assert len(groups(model)) == 2
    finally:
        dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_an_uneven_plain_loop_is_an_error_that_comes_at_once() -> None:
    """A rank that has left its loop does not step its elements: only join() can do that."""

    def program() -> None:
        dist.init_process_group()
        rank, size = dist.get_rank(), dist.get_world_size()
        model, wrapped = wrapped_model(4e-4)
        optimizer = make("sharded", "AdamW", model, wrapped)
        for inputs, targets in batches((6,), 3)[: [1, 3][rank]]:
            optimizer.zero_grad()
            F.cross_entropy(wrapped(inputs[rank::size].float(), True), targets[rank::size]).backward()
            optimizer.step()
        dist.barrier()

    with pytest.raises(MismatchError, match="parameters of bucket 0"):
        run_virtual(program, 2)
