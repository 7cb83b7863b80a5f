"""A step within backward, bucket by bucket, gives the bits of a step after it; what comes too late is refused."""

from __future__ import annotations

import hashlib
import json
import warnings
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
from allgrad.distributed.bucket_step import BucketStep
from allgrad.errors import ArgumentError, DistributedError, GradientError, RankFailedError, UnsupportedError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.nn.utils import clip_grad_norm_
from ddp_bodies import batches
from mpirun import mpirun, within
from sharded_step_bodies import CASES, KINDS, make, train, wrapped_model
from test_sharded_step import numbers, virtual


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("name", CASES)
def test_it_is_the_step_after_backward(name: str, size: int) -> None:
    (expected, *_) = virtual("plain", name, size)
    assert all(found.tobytes() == expected.tobytes() for found in virtual("in backward", name, size))


@given(st.sampled_from(list(KINDS)), st.integers(1, 4), st.floats(1e-5, 2e-3))
@settings(max_examples=12, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore")
def test_under_any_bucket_size(kind: str, size: int, cap: float) -> None:
    plain, found = (run_virtual(train, size, how, kind, cap) for how in ("plain", "in backward"))
    assert all(f.tobytes() == plain[0].tobytes() for f in found)


@pytest.mark.parametrize("size", [3])
def test_mpi_is_virtual_bit_for_bit(size: int) -> None:
    program = str(Path(__file__).parent / "mpi" / "run_sharded_step.py")
    job = mpirun(size, program, "auto", "in backward", timeout_s=within(60))
    assert job.code == 0, job.out + job.err
    found = json.loads(job.out[job.out.index("{") :])
    for name in CASES:
        digest = hashlib.sha256(virtual("plain", name, size)[0].tobytes()).hexdigest()
        assert found[f"in backward: {name}"] == [digest] * size, name


def one_backward(wrapped: Any, scale: float = 1.0) -> None:
    inputs, targets = batches((6,), 1)[0]
    (F.cross_entropy(wrapped(inputs.float(), True), targets) * scale).backward()


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.filterwarnings("ignore")
def test_buckets_are_stepped_while_backward_runs(size: int) -> None:
    """When the first layer's gradient comes, the last layer has its new values."""

    def program() -> Any:
        dist.init_process_group()
        manual = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
        wrapped = DistributedDataParallel(manual, bucket_cap_mb=1e-5, nonfinite_limit=None)
        wrapped.step_in_backward(optim.SGD(manual.parameters(), lr=0.1))
        before, seen = manual[2].weight.detach().clone(), []
        manual[0].weight.register_hook(lambda g: seen.append(not torch.equal(before, manual[2].weight)))
        inputs, targets = batches((6,), 1)[0]
        F.cross_entropy(wrapped(inputs.float()), targets).backward()
        return seen

    found = run_virtual(program, size)
    assert [True] in found  # on a rank that was not the first to come


@pytest.mark.filterwarnings("ignore")
def test_the_state_stays_in_the_optimizer() -> None:
    def program(how: str, saved: Any = None) -> Any:
        dist.init_process_group()
        model, wrapped = wrapped_model(4e-4, nonfinite_limit=None)
        optimizer = make(how, "AdamW", model, wrapped)
        if saved is not None:
            model.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
        for _ in range(3):
            optimizer.zero_grad()
            one_backward(wrapped)
            if how == "plain":
                optimizer.step()
        return {k: v.clone() for k, v in model.state_dict().items()}, optimizer.state_dict()

    plain, found = run_virtual(program, 2, "plain"), run_virtual(program, 2, "in backward")
    assert numbers(found[0][1]) == numbers(plain[0][1])
    on, expected = run_virtual(program, 3, "in backward", found[0]), run_virtual(program, 3, "plain", plain[0])
    assert all(torch.equal(v, on[1][0][k]) for k, v in expected[0][0].items())


@pytest.mark.filterwarnings("ignore")
def test_no_rank_has_a_sample_and_nothing_is_stepped() -> None:
    def program() -> bool:
        dist.init_process_group()
        model, wrapped = wrapped_model(1e-5, nonfinite_limit=None)
        make("in backward", "SGD", model, wrapped)
        before = [p.detach().numpy().copy() for p in model.parameters()]
        with wrapped.sync(weight=0):
            one_backward(wrapped)
        return all(np.array_equal(a, p.detach().numpy()) for a, p in zip(before, model.parameters()))

    assert run_virtual(program, 2) == [True, True]


@pytest.mark.filterwarnings("ignore")
def test_a_backward_that_fails_on_one_rank_leaves_no_rank_in_doubt() -> None:
    """Parameters may be stepped in part: every rank says so, refuses to go on, and goes on after a state is loaded."""

    def program() -> list[str]:
        dist.init_process_group()
        model, wrapped = wrapped_model(1e-5, nonfinite_limit=None)
        optimizer = make("in backward", "SGD", model, wrapped)
        good = {k: v.clone() for k, v in model.state_dict().items()}, optimizer.state_dict()
        texts = []
        for attempt in range(3):
            handle = (
                model.first.weight.register_hook(lambda g: g.sum().item() / 0)
                if attempt == 0 and dist.get_rank() == 1
                else None
            )
            if attempt == 2:
                model.load_state_dict(good[0])
                optimizer.load_state_dict(good[1])
            optimizer.zero_grad()
            try:
                one_backward(wrapped)
                texts.append("fine")
            except Exception as error:
                texts.append(f"{type(error).__name__}: {error}")
            if handle is not None:
                handle.remove()
        return texts

    for rank, (first, second, third) in enumerate(run_virtual(program, 3)):
        assert first.startswith("ZeroDivisionError" if rank == 1 else RankFailedError.__name__)
        assert rank == 1 or "load the last checkpoint" in first
        assert "Load the last checkpoint" in second and third == "fine"


def test_what_comes_too_late_is_refused() -> None:
    dist.init_process_group()
    try:
        model, wrapped = wrapped_model(None)
        with pytest.raises(ArgumentError, match="nonfinite_limit=None"):
            wrapped.step_in_backward(optim.SGD(model.parameters(), lr=0.1))
        model, wrapped = wrapped_model(None, nonfinite_limit=None)
        with pytest.raises(UnsupportedError, match="LBFGS cannot"):
            wrapped.step_in_backward(optim.LBFGS(model.parameters()))
        with pytest.raises(ArgumentError, match="is missing"):
            wrapped.step_in_backward(optim.SGD(model.last.parameters(), lr=0.1))
        with pytest.raises(UnsupportedError, match="shards=V"):
            small = nn.Linear(2, 2)
            sharded = DistributedDataParallel(small, shards=2, nonfinite_limit=None)
            sharded.step_in_backward(optim.SGD(small.parameters(), lr=0.1))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        wrapped.step_in_backward(optimizer)
        with pytest.raises(ArgumentError, match="another optimizer"):
            wrapped.step_in_backward(optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one_backward(wrapped)
        for late in (
            optimizer.step,
            lambda: clip_grad_norm_(model.parameters(), 1.0),
            lambda: one_backward(wrapped),
        ):
            with pytest.raises(GradientError, match="was used by step_in_backward"):
                late()
        optimizer.zero_grad()
        with pytest.raises(GradientError, match="create_graph"):
            wrapped(batches((6,), 1)[0][0].float(), True).sum().backward(create_graph=True)
        assert issubclass(RankFailedError, DistributedError)
    finally:
        dist.destroy_process_group()


def stepped_twice(patch: pytest.MonkeyPatch) -> None:
    """The end of backward steps all buckets again."""
    real = BucketStep.take

    def take(self: Any, valid: bool) -> None:
        self._next = 0
        for span in [s for b in self._reducer.buckets for s in b.plan.spans]:
            p = self._reducer.params[span.param]
            if p._grad is not None:
                p._grad = torch.ones_like(p)
        real(self, valid)

    patch.setattr(BucketStep, "take", take)


def before_the_mean(patch: pytest.MonkeyPatch) -> None:
    """Stepped when a bucket is started, not when it is averaged."""

    def poll(self: Any) -> None:
        while self._next < self._reducer.next:
            self._step()

    patch.setattr(BucketStep, "poll", poll)


def schedule_ignored(patch: pytest.MonkeyPatch) -> None:
    """The settings of the construction stay."""
    real = BucketStep._step

    def step(self: Any) -> None:
        kept = [dict(g) for g in self.optimizer.param_groups]
        for g in self.optimizer.param_groups:
            g["lr"] = g.get("initial_lr", g["lr"])
        real(self)
        for g, before in zip(self.optimizer.param_groups, kept):
            g["lr"] = before["lr"]

    patch.setattr(BucketStep, "_step", step)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("plant", [stepped_twice, before_the_mean, schedule_ignored])
def test_planted_bugs_are_caught(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    virtual.cache_clear()
    plant(monkeypatch)
    try:
        with pytest.raises((Exception, pytest.fail.Exception)):
            test_it_is_the_step_after_backward("all parameters used", 3)
    finally:
        virtual.cache_clear()


@pytest.mark.filterwarnings("ignore")
def test_a_rank_that_is_out_steps_too() -> None:
    def program(how: str, counts: list[int]) -> Any:
        dist.init_process_group()
        rank, size = dist.get_rank(), dist.get_world_size()
        model, wrapped = wrapped_model(4e-4, nonfinite_limit=None)
        optimizer = make(how, "AdamW", model, wrapped)
        with wrapped.join(**({"optimizer": optimizer} if how == "plain" else {})):
            for inputs, targets in batches((6,), max(counts))[: counts[rank]]:
                optimizer.zero_grad()
                F.cross_entropy(wrapped(inputs[rank::size].float(), True), targets[rank::size]).backward()
                if how == "plain":
                    optimizer.step()
        return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])

    plain, found = (run_virtual(program, 3, how, [1, 3, 2]) for how in ("plain", "in backward"))
    assert all(f.tobytes() == plain[0].tobytes() for f in found)


@pytest.mark.filterwarnings("ignore")
def test_a_loss_scaler_is_refused() -> None:
    dist.init_process_group()
    try:
        model, wrapped = wrapped_model(None, nonfinite_limit=None)
        optimizer = make("in backward", "SGD", model, wrapped)
        scaler = torch.amp.GradScaler("cpu")
        inputs, targets = batches((6,), 1)[0]
        scaler.scale(F.cross_entropy(wrapped(inputs.float(), True), targets)).backward()
        with pytest.raises(GradientError, match="loss scaling"):
            scaler.step(optimizer)
    finally:
        dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_an_uneven_plain_loop() -> None:
    """Ranks that have left their loop stand in, and step too."""

    def program(how: str) -> Any:
        dist.init_process_group()
        rank, size = dist.get_rank(), dist.get_world_size()
        model, wrapped = wrapped_model(4e-4, nonfinite_limit=None)
        optimizer = make(how, "AdamW", model, wrapped)
        for inputs, targets in batches((6,), 3)[: [1, 3][rank]]:
            optimizer.zero_grad()
            F.cross_entropy(wrapped(inputs[rank::size].float(), True), targets[rank::size]).backward()
            if how == "plain":
                optimizer.step()
        dist.barrier()
        return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])

    plain, found = (run_virtual(program, 2, how) for how in ("plain", "in backward"))
    assert all(f.tobytes() == plain[0].tobytes() for f in found)
