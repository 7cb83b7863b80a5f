"""Learning rates for large batches: the rules, the warm-up, and the table of docs/distributed.md that says when."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad.comm import run_virtual
from allgrad.distributed.optim import ScaledLR, scaled_lr
from allgrad.errors import ArgumentError, DistributedError
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.optim.lr_scheduler import StepLR


def test_the_rules() -> None:
    assert scaled_lr(0.1, 8) == pytest.approx(0.8, rel=1e-15)
    assert scaled_lr(0.1, 9, "sqrt") == pytest.approx(0.3, rel=1e-15)
    for lr, factor, rule, words in (
        (1.0, 2, "cubic", "rule"),
        (1.0, 0, "linear", "factor"),
        (1.0, math.inf, "sqrt", "factor"),
    ):
        with pytest.raises(ArgumentError, match=words):
            scaled_lr(lr, factor, rule)


def optimizer() -> Any:
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in (0.1, 1.0)]
    return torch.optim.SGD(groups, lr=0.5)


def rates(schedules: list[Any], steps: int) -> list[list[float]]:
    found = []
    for _ in range(steps):
        found.append([g["lr"] for g in schedules[0].optimizer.param_groups])
        schedules[0].optimizer.step()
        for schedule in schedules:
            schedule.step()
    return found


def test_warm_up_is_a_straight_line_to_the_goal() -> None:
    found = np.array(rates([ScaledLR(optimizer(), 5, warmup_steps=4)], 7))
    np.testing.assert_allclose(found[:, 1], [1, 2, 3, 4, 5, 5, 5], rtol=1e-14)
    np.testing.assert_allclose(found[:, 0], found[:, 1] / 10, rtol=1e-14)
    np.testing.assert_allclose(rates([ScaledLR(optimizer(), 4, "sqrt")], 3), [[0.2, 2.0]] * 3, rtol=1e-15)


def test_it_multiplies_what_another_schedule_sets() -> None:
    made = optimizer()
    found = np.array(rates([ScaledLR(made, 5, warmup_steps=4), StepLR(made, 2, 0.5)], 6))
    np.testing.assert_allclose(found[:, 1], [1, 2, 1.5, 2, 1.25, 1.25], rtol=1e-14)


def test_a_resumed_schedule_goes_on() -> None:
    made = optimizer()
    first = ScaledLR(made, 5, warmup_steps=4)
    whole = rates([first], 2)
    again = ScaledLR(optimizer(), 5, warmup_steps=4)
    again.optimizer.load_state_dict(made.state_dict())
    again.load_state_dict(first.state_dict())
    np.testing.assert_allclose(np.array(whole + rates([again], 3))[:, 1], [1, 2, 3, 4, 5], rtol=1e-14)


def test_the_factor_is_the_number_of_ranks() -> None:
    def program() -> float:
        dist.init_process_group()
        return float(ScaledLR(optimizer()).optimizer.param_groups[1]["lr"])

    assert run_virtual(program, 3) == [3.0] * 3
    with pytest.raises(DistributedError, match="init_process_group"):
        ScaledLR(optimizer())
    with pytest.raises(ArgumentError, match="warmup_steps"):
        ScaledLR(optimizer(), 2, warmup_steps=-1)


@pytest.mark.parametrize(("kind", "mean_lr", "sum_lr"), [("SGD", 3.0, 1.0), ("Adam", math.sqrt(3), math.sqrt(3))])
def test_the_table_for_sum_and_mean_losses(kind: str, mean_lr: float, sum_lr: float) -> None:
    """One step from the same weights: with a mean loss SGD wants N times the rate, with the global sum (the sum of each
    rank's, times N) its gradient is N times larger already; Adam does not see the size of the gradient."""

    def program(total: bool) -> Any:
        dist.init_process_group()
        size = dist.get_world_size()
        model = torch.nn.Linear(2, 1, bias=False).double()
        torch.nn.init.ones_(model.weight)
        wrapped = DistributedDataParallel(model)
        lr = 0.1 * (sum_lr if total else mean_lr)
        made = getattr(torch.optim, kind)(model.parameters(), lr=lr, **({"eps": 0.0} if kind == "Adam" else {}))
        errors = wrapped(torch.arange(8.0, dtype=torch.float64).reshape(4, 2) + dist.get_rank()) ** 2
        loss = errors.sum() * size / 4 if total else errors.mean()  # the 4: the local batch, which is not scaled here
        loss.backward()
        made.step()
        return model.weight.detach().numpy()

    for a, b in zip(run_virtual(program, 3, True), run_virtual(program, 3, False)):
        np.testing.assert_allclose(a, b, rtol=1e-13)
