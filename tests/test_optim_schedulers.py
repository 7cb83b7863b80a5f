"""Schedules against PyTorch: rates over 50 epochs, resumed, combined, jumping to an epoch; warnings and refusals."""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn, optim
from allgrad.optim import lr_scheduler as mine
from optim_cases import SCHEDULES, follow, rates_of

torch = pytest.importorskip("torch")
theirs = torch.optim.lr_scheduler

Libraries = [(optim, lambda: nn.Parameter(allgrad.zeros(1))), (torch.optim, lambda: torch.nn.Parameter(torch.zeros(1)))]


def optimizers(kind: str = "SGD", **settings: Any) -> tuple[Any, Any]:
    """The same optimizer with two groups in both libraries."""
    found = []
    for library, parameter in Libraries:
        groups = [{"params": [parameter()], "lr": lr} for lr in (0.1, 0.02)]
        found.append(getattr(library, kind)(groups, **settings))
    return found[0], found[1]


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-16)


FUNCTIONS: list[tuple[str, dict[str, Any]]] = [
    ("LambdaLR", {"lr_lambda": lambda e: 0.9**e}),
    ("LambdaLR", {"lr_lambda": [lambda e: 1 / (1 + e), lambda e: 1.0]}),
    ("MultiplicativeLR", {"lr_lambda": lambda e: 0.95}),
]
ALL = SCHEDULES + FUNCTIONS
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(ALL)]


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.parametrize(("name", "settings"), ALL, ids=IDS)
def test_rates_and_momentum(name: str, settings: dict[str, Any], kind: str) -> None:
    a, b = optimizers(kind, **({"momentum": 0.9} if kind == "SGD" else {}))
    one, two = getattr(mine, name)(a, **settings), getattr(theirs, name)(b, **settings)
    close(follow(a, one), follow(b, two))
    close(one.get_last_lr(), two.get_last_lr())
    assert set(one.state_dict()) == set(two.state_dict())
    assert set(a.param_groups[0]) == set(b.param_groups[0])


@pytest.mark.parametrize(("name", "settings"), ALL, ids=IDS)
def test_resumed_from_either_library(name: str, settings: dict[str, Any]) -> None:
    a, b = optimizers(momentum=0.9)
    one, two = getattr(mine, name)(a, **settings), getattr(theirs, name)(b, **settings)
    follow(a, one, 13)
    follow(b, two, 13)
    for source, from_optimizer in ((one, a), (two, b)):
        fresh, _ = optimizers(momentum=0.9)
        scheduler = getattr(mine, name)(fresh, **settings)
        scheduler.load_state_dict(copy.deepcopy(source.state_dict()))
        fresh.load_state_dict(from_optimizer.state_dict())
        assert scheduler.last_epoch == 13
        close(follow(fresh, scheduler, 20), follow(from_optimizer, source, 20))


@pytest.mark.parametrize(("name", "settings"), SCHEDULES, ids=IDS[: len(SCHEDULES)])
def test_a_given_epoch(name: str, settings: dict[str, Any]) -> None:
    a, b = optimizers(momentum=0.9)
    one, two = getattr(mine, name)(a, **settings), getattr(theirs, name)(b, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in (3, 20, 7, 0, 40):
            one.step(epoch)
            two.step(epoch)
            close(rates_of(a), rates_of(b))


def test_warm_restarts_take_fractions_of_epochs() -> None:
    a, b = optimizers()
    one, two = (s.CosineAnnealingWarmRestarts(o, 3, 2) for s, o in ((mine, a), (theirs, b)))
    for i in range(200):
        one.step(i / 7)
        two.step(i / 7)
        close(rates_of(a), rates_of(b))


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")  # a chain in a sequence, in both libraries
@pytest.mark.parametrize("kind", ["SequentialLR", "ChainedScheduler", "nested", "changed by hand"])
def test_combined(kind: str) -> None:
    def make(library: Any, optimizer: Any) -> Any:
        warm = library.LinearLR(optimizer, 0.1, total_iters=5)
        if kind == "SequentialLR":
            rest = [library.CosineAnnealingLR(optimizer, 20), library.CosineAnnealingWarmRestarts(optimizer, 6)]
            return library.SequentialLR(optimizer, [warm, *rest], [5, 25])
        if kind == "nested":
            both = library.ChainedScheduler([warm, library.ExponentialLR(optimizer, 0.97)])
            return library.SequentialLR(optimizer, [both, library.StepLR(optimizer, 4, 0.5)], [17])
        if kind == "ChainedScheduler":
            return library.ChainedScheduler([warm, library.ExponentialLR(optimizer, 0.9)], optimizer=optimizer)
        return library.CosineAnnealingLR(optimizer, 15)

    a, b = optimizers()
    one, two = make(mine, a), make(theirs, b)
    close(follow(a, one, 9), follow(b, two, 9))
    close(one.get_last_lr(), two.get_last_lr())
    if kind == "changed by hand":
        for optimizer in (a, b):
            optimizer.param_groups[0]["lr"] *= 3
    fresh, _ = optimizers()
    resumed = make(mine, fresh)
    resumed.load_state_dict(copy.deepcopy(one.state_dict()))
    fresh.load_state_dict(a.state_dict())
    rest = follow(b, two, 41)
    close(follow(a, one, 41), rest)
    close(follow(fresh, resumed, 41), rest)


@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_plateau(mode: str, threshold_mode: str) -> None:
    settings: dict[str, Any] = {
        "mode": mode, "factor": 0.5, "patience": 2, "threshold": 0.05, "threshold_mode": threshold_mode, "cooldown": 1,
        "min_lr": [0.004, 0.001],
    }  # fmt: skip
    a, b = optimizers()
    one, two = mine.ReduceLROnPlateau(a, **settings), theirs.ReduceLROnPlateau(b, **settings)
    for i in range(50):
        measure = np.sin(0.3 * i) + 2 - 0.02 * i
        one.step(allgrad.tensor(measure) if i % 2 else measure)
        two.step(float(np.float32(measure)) if i % 2 else measure)
        close(rates_of(a), rates_of(b))
        assert (one.num_bad_epochs, one.cooldown_counter) == (two.num_bad_epochs, two.cooldown_counter)
        if i == 25:
            one.load_state_dict(copy.deepcopy(two.state_dict()))
    assert set(one.state_dict()) == set(two.state_dict())
    assert rates_of(a)[0] == 0.004


def test_a_rate_that_is_a_tensor_stays_that_tensor() -> None:
    lr = allgrad.tensor(0.5)
    optimizer = optim.SGD([nn.Parameter(allgrad.zeros(1))], lr=lr)
    scheduler = mine.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr and lr.item() == 0.25
    assert scheduler.get_last_lr()[0].item() == 0.25 and scheduler.base_lrs[0].item() == 0.5


def test_a_schedule_of_the_user() -> None:
    class Halves(mine.LRScheduler):
        def get_lr(self) -> Any:
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    a, _ = optimizers()
    close(follow(a, Halves(a), 3)[:, 0], [0.1, 0.05, 0.025, 0.0125])
    with pytest.raises(NotImplementedError, match="must define get_lr"):
        mine.LRScheduler(a)


def test_the_wrong_order_is_warned_about_once() -> None:
    a, _ = optimizers()
    scheduler = mine.StepLR(a, 3)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    scheduler.step()
    b, _ = optimizers()
    scheduler = mine.StepLR(b, 3)
    b.step()
    scheduler.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(4)


@pytest.mark.parametrize("name", [n for n in mine.__all__ if n != "LRScheduler"])
def test_signature(name: str) -> None:
    one, two = (inspect.signature(getattr(m, name).__init__).parameters for m in (mine, theirs))
    assert [(p.name, p.kind, p.default) for p in one.values()] == [(p.name, p.kind, p.default) for p in two.values()]
    assert set(theirs.__all__) == set(mine.__all__)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("LambdaLR", {"lr_lambda": [lambda e: 1.0]}),
    ("ConstantLR", {"factor": 1.5}),
    ("LinearLR", {"start_factor": 0.0}),
    ("LinearLR", {"end_factor": 1.5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2.5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 0}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": [1, 2, 3]}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1, "mode": "round"}),
    ("OneCycleLR", {"max_lr": 0.1}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": -2}),
    ("OneCycleLR", {"max_lr": 0.1, "epochs": 2, "steps_per_epoch": 1.5}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "pct_start": 2.0}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "anneal_strategy": "square"}),
    ("ReduceLROnPlateau", {"factor": 1.0}),
    ("ReduceLROnPlateau", {"mode": "mid"}),
    ("ReduceLROnPlateau", {"threshold_mode": "mid"}),
    ("ReduceLROnPlateau", {"min_lr": [0.1]}),
    ("StepLR", {"step_size": 3, "last_epoch": 4}),
    ("SequentialLR", {"schedulers": [], "milestones": []}),
]


@pytest.mark.parametrize(("name", "settings"), BAD, ids=[f"{name}-{i}" for i, (name, _) in enumerate(BAD)])
def test_impossible_settings_are_refused(name: str, settings: dict[str, Any]) -> None:
    a, b = optimizers(momentum=0.9)
    with pytest.raises((ValueError, TypeError, KeyError)) as expected:
        getattr(theirs, name)(b, **settings)
    with pytest.raises(type(expected.value)):
        getattr(mine, name)(a, **settings)


def test_refused_combinations() -> None:
    a, other = optimizers()[0], optimizers()[0]
    step = mine.StepLR(a, 2)
    with pytest.raises(TypeError, match="list is not an Optimizer"):
        mine.StepLR([1], 2)
    with pytest.raises(ValueError, match="number of schedulers 1 and the number of milestones to be equal to 1"):
        mine.SequentialLR(a, [step], [3])
    with pytest.raises(ValueError, match="all schedulers to belong to the same optimizer"):
        mine.SequentialLR(other, [step], [])
    with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`"):
        mine.ChainedScheduler([step, mine.ReduceLROnPlateau(a)])
    with pytest.raises(ValueError, match="cycle_momentum=False"):
        mine.CyclicLR(optim.Adagrad([nn.Parameter(allgrad.zeros(1))]), 0.1, 0.2)
    with pytest.raises(ValueError, match=r"Tried to step 5 times\. The specified number of total steps is 4"):
        follow(a, mine.OneCycleLR(a, 0.1, total_steps=4, cycle_momentum=False), 5)
