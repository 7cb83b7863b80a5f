"""Averages of weights: closed forms, PyTorch's numbers, BatchNorm statistics, and the schedule that goes with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn, optim
from allgrad.optim import swa_utils
from optim_cases import follow


def set_to(model: Any, value: float) -> None:
    for p in model.parameters():
        p._a[...] = value


@pytest.mark.parametrize(
    "given", [{}, {"avg_fn": swa_utils.get_swa_avg_fn()}, {"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}]
)
def test_swa_is_the_mean(given: dict[str, Any]) -> None:
    model = nn.Linear(3, 2)
    averaged = swa_utils.AveragedModel(model, **given)
    for value in (1.0, 2.0, 6.0):
        set_to(model, value)
        averaged.update_parameters(model)
    assert averaged.n_averaged.item() == 3
    for p in averaged.parameters():
        np.testing.assert_allclose(p._a, 3.0, rtol=1e-6)
    np.testing.assert_allclose(averaged(allgrad.ones(1, 3)).detach().numpy(), 12.0, rtol=1e-6)
    assert list(averaged.state_dict()) == ["n_averaged", "module.weight", "module.bias"]


@pytest.mark.parametrize(
    "given", [{"avg_fn": swa_utils.get_ema_avg_fn(0.75)}, {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.75)}]
)
def test_ema(given: dict[str, Any]) -> None:
    model = nn.Linear(3, 2)
    averaged = swa_utils.AveragedModel(model, **given)
    for value in (1.0, 2.0, 6.0):
        set_to(model, value)
        averaged.update_parameters(model)
    for p in averaged.parameters():
        np.testing.assert_allclose(p._a, 0.75 * (0.75 * 1 + 0.25 * 2) + 0.25 * 6, rtol=1e-6)


@pytest.mark.parametrize("use_buffers", [False, True])
def test_buffers_are_copied_or_averaged(use_buffers: bool) -> None:
    model = nn.BatchNorm1d(2)
    averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers)
    for value in (2.0, 4.0):
        model.running_mean.fill_(value)
        model.num_batches_tracked.fill_(int(value))
        averaged.update_parameters(model)
    expected = 3.0 if use_buffers else 4.0
    assert averaged.module.running_mean.tolist() == [expected, expected]
    assert averaged.module.num_batches_tracked.item() == expected


def test_refused() -> None:
    with pytest.raises(ValueError, match=r"Invalid decay value 1.5 provided"):
        swa_utils.get_ema_avg_fn(1.5)
    both = {"avg_fn": swa_utils.get_swa_avg_fn(), "multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}
    with pytest.raises(ValueError, match="Only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(nn.Linear(1, 1), **both)
    optimizer = optim.SGD(nn.Linear(1, 1).parameters())
    with pytest.raises(ValueError, match="anneal_strategy"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="steps")
    with pytest.raises(ValueError, match="anneal_epochs"):
        swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)


def test_update_bn_gives_the_statistics_of_the_data() -> None:
    data = np.random.default_rng(0).standard_normal((8, 5, 3)).astype(np.float32) * 2 + 1
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    model(allgrad.tensor(100 * data[0]))  # statistics from before are forgotten
    model.eval()
    swa_utils.update_bn(((allgrad.tensor(batch), 0) for batch in data), model)
    layer = model[0]
    np.testing.assert_allclose(layer.running_mean.numpy(), data.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), data.var(1, ddof=1).mean(0), rtol=1e-5)
    assert layer.momentum == 0.1 and not model.training and layer.num_batches_tracked.item() == 8


@pytest.mark.parametrize(("epochs", "strategy"), [(10, "cos"), (7, "linear"), (0, "cos")])
def test_swalr_as_torch(epochs: int, strategy: str) -> None:
    torch = pytest.importorskip("torch")
    optimizers = []
    for library, parameter in (
        (optim, nn.Parameter(allgrad.zeros(1))),
        (torch.optim, torch.nn.Parameter(torch.zeros(1))),
    ):
        optimizers.append(library.SGD([parameter], lr=0.5))
    settings: dict[str, Any] = {"swa_lr": 0.05, "anneal_epochs": epochs, "anneal_strategy": strategy}
    found = [
        follow(optimizer, module.SWALR(optimizer, **settings), 20)
        for optimizer, module in zip(optimizers, (swa_utils, torch.optim.swa_utils))
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)
    assert found[0][-1][0] == pytest.approx(0.05)
