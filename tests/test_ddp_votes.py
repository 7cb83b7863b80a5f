"""Uneven ranks: weights that make the mean exact, and steps that all ranks skip together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import allgrad as torch
import allgrad.distributed as dist
from allgrad.comm import run_virtual
from allgrad.errors import ArgumentError, MismatchError, NonFiniteError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.optim import AdamW
from allgrad.random import manual_seed
from ddp_bodies import batches, flat, mlp, sgd

TOKENS = 24


def whole(steps: int, masks: Any) -> Any:
    """One process: the mean over all tokens that count."""
    manual_seed(0)
    model = mlp()
    values = []
    for (inputs, targets), mask in zip(batches((6,), steps), masks):
        model.zero_grad()
        rows = torch.tensor(np.flatnonzero(mask))
        loss = F.cross_entropy(model(inputs[rows]), targets[rows])
        loss.backward()
        values.append(loss.item())
        sgd(model, 0.3)
    return flat(model), values


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31 - 1), st.sampled_from([None, 1e-5, 3e-4]))
def test_weights_make_the_mean_exact(size: int, micro: int, seed: int, cap_mb: float | None) -> None:
    """Masked tokens dealt out unevenly over ranks and micro-batches, some of them empty: one process on the whole batch."""
    draw = np.random.default_rng(seed)
    steps = 3
    masks = draw.random((steps, TOKENS)) < 0.7
    masks[:, 0] = True
    homes = draw.integers(0, size * micro, (steps, TOKENS))

    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        manual_seed(0)
        model = mlp()
        wrapped = DistributedDataParallel(model, bucket_cap_mb=cap_mb)
        values = []
        for (inputs, targets), mask, home in zip(batches((6,), steps), masks, homes):
            model.zero_grad()
            value = torch.zeros(1, dtype=torch.float64)
            for k in range(micro):
                rows = np.flatnonzero(home == rank * micro + k)
                labels = torch.tensor(np.where(mask[rows], targets.numpy()[rows], -100))
                count = int(mask[rows].sum())
                with wrapped.sync(when=k == micro - 1, weight=count):
                    loss = F.cross_entropy(wrapped(inputs[torch.tensor(rows)]), labels)  # nan where nothing counts
                    loss.backward()
                value += loss.item() * count if count else 0
            dist.all_reduce(value)
            values.append(value.item() / mask.sum())
            sgd(model, 0.3)
        return flat(model), values

    expected, losses = whole(steps, masks)
    found = run_virtual(program, size)
    for mine, values in found:
        assert mine.tobytes() == found[0][0].tobytes()
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(values, losses, rtol=0, atol=1e-12)


def test_no_samples_anywhere_is_no_step() -> None:
    def program() -> Any:
        dist.init_process_group()
        model = mlp()
        wrapped = DistributedDataParallel(model)
        with wrapped.sync(weight=0):
            wrapped(torch.ones(2, 6, dtype=torch.float64)).sum().backward()
        return [p.grad is None for p in model.parameters()]

    assert all(all(r) for r in run_virtual(program, 2))


def test_a_weight_on_one_rank_only_is_an_error_on_all() -> None:
    def program() -> bool:
        dist.init_process_group()
        wrapped = DistributedDataParallel(mlp())
        try:
            with wrapped.sync(weight=3 if dist.get_rank() == 0 else None):
                wrapped(torch.ones(2, 6, dtype=torch.float64)).sum().backward()
        except MismatchError:
            return True
        return False

    assert run_virtual(program, 2) == [True, True]


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_a_weight_is_a_number_of_samples(weight: float) -> None:
    dist.init_process_group()
    try:
        with pytest.raises(ArgumentError, match="at least 0"), DistributedDataParallel(mlp()).sync(weight=weight):
            pass
    finally:
        dist.destroy_process_group()


def steps_with(bad: dict[tuple[int, int], float], steps: int, limit: int | None = 10, leave_out: bool = False) -> Any:
    """Train with AdamW; the input of (rank, step) in ``bad`` is poisoned, or the step left out on all ranks."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    manual_seed(0)
    model = mlp()
    wrapped = DistributedDataParallel(model, bucket_cap_mb=1e-5, nonfinite_limit=limit)
    optimizer = AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    for step, (inputs, targets) in enumerate(batches((6,), steps)):
        if leave_out and any(s == step for _, s in bad):
            continue
        rows = inputs[rank::size].clone()
        if (rank, step) in bad:
            rows[0, 0] = bad[rank, step]
        optimizer.zero_grad()
        F.cross_entropy(wrapped(rows), targets[rank::size]).backward()
        optimizer.step()
    moments = [s[k].numpy().reshape(-1) for s in optimizer.state.values() for k in ("exp_avg", "exp_avg_sq", "step")]
    return np.concatenate([flat(model), *moments]), wrapped.skipped_steps


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_one_bad_rank_and_all_skip_the_step(size: int, poison: float) -> None:
    """Parameters, moments and step counts are bit for bit those of a run without that step."""
    bad = {(size - 1, 1): poison}
    with pytest.warns(UserWarning, match=rf"'0\.weight' on rank {size - 1}.*skip"):
        found = run_virtual(steps_with, size, bad, 4)
    expected = run_virtual(steps_with, size, bad, 4, leave_out=True)[0][0]
    for values, skipped in found:
        assert values.tobytes() == expected.tobytes() and skipped == 1


def test_after_some_in_a_row_it_is_an_error_on_every_rank() -> None:
    def program() -> str:
        try:
            steps_with({(1, 0): np.nan, (2, 2): np.inf, (1, 3): np.nan, (1, 4): np.nan}, 5, limit=3)
        except NonFiniteError as error:
            return str(error)
        return "no error"

    with pytest.warns(UserWarning, match="skip"):
        for text in run_virtual(program, 3):
            assert "'0.weight' on rank 1" in text and "3th" not in text and "3 such steps in a row" in text


def test_no_vote_no_skip() -> None:
    with np.errstate(all="ignore"):
        assert np.isnan(run_virtual(steps_with, 2, {(0, 0): np.nan}, 1, None)[1][0]).any()


def test_large_finite_gradients_are_not_taken_for_infinite() -> None:
    """Their sum overflows; they do not."""

    def program() -> Any:
        dist.init_process_group()
        model = torch.nn.Linear(4, 4, bias=False)
        wrapped = DistributedDataParallel(model)
        (wrapped(torch.ones(1, 4)) * 3e38).sum().backward()
        return model.weight.grad.tolist()

    with np.errstate(all="ignore"):
        assert np.isfinite(run_virtual(program, 1)[0]).all()
