"""``exact_mean=True``: losses carry their weight; the mean over all ranks is that of one process, to 1e-12."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.errors import ArgumentError, GradientError, RankFailedError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from ddp_bodies import mlp

VALID = [3, 0, 7, 1]  # tokens that count, by rank
CLASS_WEIGHTS = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)


def rows(rank: int, valid: int) -> tuple[Any, Any]:
    """Eight tokens of a rank; all but ``valid`` are masked."""
    source = np.random.default_rng(rank)
    labels = source.integers(0, 3, 8)
    labels[valid:] = -100
    return torch.tensor(source.standard_normal((8, 6))), torch.tensor(labels)


LOSSES: dict[str, Any] = {
    "tokens": lambda y, t: F.cross_entropy(y, t),
    "class weights": lambda y, t: F.cross_entropy(y, t, weight=CLASS_WEIGHTS),
    "nll": lambda y, t: F.nll_loss(F.log_softmax(y, 1), t, weight=CLASS_WEIGHTS),
    "scaled": lambda y, t: F.cross_entropy(y, t) / 4 * 3,
    "two of one weight": lambda y, t: F.cross_entropy(y, t) + 2 * F.nll_loss(F.log_softmax(y * 2, 1), t),
}  # fmt: skip


def grads(model: Any) -> Any:
    return np.concatenate([p.grad.numpy().reshape(-1) for p in model.parameters()])


@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_masked_tokens_over_ranks_are_one_process(size: int, name: str, penalty: bool) -> None:
    def whole(model: Any, y: Any, t: Any) -> Any:
        loss = LOSSES[name](y, t)
        return loss + 0.1 * sum((p * p).sum() for p in model.parameters()) if penalty else loss

    def program() -> Any:
        dist.init_process_group()
        torch.manual_seed(0)
        model = mlp()
        wrapped = DistributedDataParallel(model, bucket_cap_mb=3e-4, exact_mean=True)
        x, t = rows(dist.get_rank(), VALID[dist.get_rank()])
        whole(model, wrapped(x), t).backward()
        return grads(model)

    torch.manual_seed(0)
    model = mlp()
    parts = [rows(r, VALID[r]) for r in range(size)]
    whole(model, model(torch.cat([x for x, _ in parts])), torch.cat([t for _, t in parts])).backward()
    found = run_virtual(program, size)
    for mine in found:
        assert mine.tobytes() == found[0].tobytes()
        np.testing.assert_allclose(mine, grads(model), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3])
def test_micro_batches_of_different_weight(size: int) -> None:
    """Under no_sync too, also one without tokens; a rank that has left its loop counts for nothing."""
    parts = [[rows(10 * r + k, n) for k, n in enumerate(counts)] for r, counts in enumerate([(2, 5), (0, 4), (6, 0)])]

    def program() -> Any:
        dist.init_process_group()
        torch.manual_seed(0)
        model = mlp()
        wrapped = DistributedDataParallel(model, exact_mean=True)
        mine = parts[dist.get_rank()] if dist.get_rank() < 2 else []
        for k, (x, t) in enumerate(mine):
            with wrapped.sync(when=k == len(mine) - 1):
                F.cross_entropy(wrapped(x), t).backward()
        dist.barrier()
        return grads(model)

    torch.manual_seed(0)
    model = mlp()
    used = [part for mine in parts[:2] for part in mine]
    F.cross_entropy(model(torch.cat([x for x, _ in used])), torch.cat([t for _, t in used])).backward()
    for mine in run_virtual(program, size):
        np.testing.assert_allclose(mine, grads(model), rtol=0, atol=1e-12)


def test_elementwise_losses_count_elements() -> None:
    def program() -> Any:
        dist.init_process_group()
        torch.manual_seed(0)
        layer = nn.Linear(3, 2).double()
        wrapped = DistributedDataParallel(layer, exact_mean=True)
        n = 1 + 4 * dist.get_rank()
        F.mse_loss(
            wrapped(torch.ones(n, 3, dtype=torch.float64) * n), torch.zeros(n, 2, dtype=torch.float64)
        ).backward()
        return grads(layer)

    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double()
    x = torch.cat([torch.ones(n, 3, dtype=torch.float64) * n for n in (1, 5)])
    F.mse_loss(layer(x), torch.zeros(6, 2, dtype=torch.float64)).backward()
    for mine in run_virtual(program, 2):
        np.testing.assert_allclose(mine, grads(layer), rtol=0, atol=1e-12)


WITHOUT: dict[str, tuple[Any, str]] = {
    "no loss function": (lambda y, t: y.mean(), "without a loss of nn.functional"),
    "a sum": (lambda y, t: F.cross_entropy(y, t, reduction="sum"), "without a loss of nn.functional"),
    "one part by hand": (lambda y, t: F.cross_entropy(y, t) + y.mean(), "without a loss of nn.functional"),
    "two weights": (lambda y, t: F.cross_entropy(y, t) + F.mse_loss(y, y.detach() * 2), "means of different numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT)
def test_where_the_weight_is_not_defined_it_is_an_error_on_all_ranks(name: str) -> None:
    def program() -> str:
        dist.init_process_group()
        wrapped = DistributedDataParallel(mlp(), exact_mean=True)
        x, t = rows(0, 5)
        try:
            (WITHOUT[name][0] if dist.get_rank() else LOSSES["tokens"])(wrapped(x), t).backward()
        except (GradientError, RankFailedError) as error:
            return f"{type(error).__name__}: {error}"
        return "no error"

    found = run_virtual(program, 2)
    assert found[0].startswith("RankFailedError") and found[1].startswith("GradientError")
    assert all(WITHOUT[name][1] in text and "sync(weight=n)" in text for text in found)


def test_a_weight_by_hand_as_well_is_refused() -> None:
    dist.init_process_group()
    try:
        wrapped = DistributedDataParallel(mlp(), exact_mean=True)
        with pytest.raises(ArgumentError, match="exact_mean"), wrapped.sync(weight=3):
            wrapped(rows(0, 5)[0])
    finally:
        dist.destroy_process_group()
