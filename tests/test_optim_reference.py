"""Optimizers and schedules against numbers stored from PyTorch, so that they are checked where PyTorch is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn, optim
from optim_cases import CASES, SCHEDULES, SHAPES, Case, follow, run, start, title

STORED = np.load(Path(__file__).parent / "data" / "optim_reference.npz")
KEPT = (3, 19)


def give(p: Any, g: Any) -> None:
    p.grad = None if g is None else allgrad.tensor(g)


@pytest.mark.parametrize("case", CASES, ids=title)
def test_trajectory(case: Case) -> None:
    name, settings = case
    params = [nn.Parameter(allgrad.tensor(start(shape, i))) for i, shape in enumerate(SHAPES)]
    optimizer = getattr(optim, name)(params, **settings)
    seen = run(optimizer, params, lambda p: p.detach().numpy(), give)
    for row, step in enumerate(KEPT):
        # Numbers kept per parameter (step, eta, mu_product) are float32 there and here.
        np.testing.assert_allclose(seen[step], STORED[title(case)][row], rtol=2e-9, atol=1e-11, err_msg=f"step {step}")


@pytest.mark.parametrize("index", range(len(SCHEDULES)), ids=lambda i: f"{SCHEDULES[i][0]}-{i}")
def test_schedule(index: int) -> None:
    name, settings = SCHEDULES[index]
    groups = [{"params": [nn.Parameter(allgrad.zeros(1))], "lr": lr} for lr in (0.1, 0.02)]
    optimizer = optim.SGD(groups, momentum=0.9)
    scheduler = getattr(optim.lr_scheduler, name)(optimizer, **settings)
    np.testing.assert_allclose(follow(optimizer, scheduler), STORED[f"schedule {index}"], rtol=1e-9, atol=1e-15)
    assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
