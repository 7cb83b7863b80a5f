"""Every optimizer with every option, and one run that both libraries can make: the same numbers, no random ones."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Case = tuple[str, dict[str, Any]]

SHAPES = ((3, 4), (5,), (), (2, 3, 2), (3,))
STEPS = 20


def options(name: str, **choices: tuple[Any, ...]) -> list[Case]:
    """All combinations of the choices."""
    return [(name, dict(zip(choices, values))) for values in itertools.product(*choices.values())]


DECAY, MAXIMIZE = (0, 0.1), (False, True)

ELEMENTWISE: list[Case] = [
    *options("SGD", lr=(0.05,), weight_decay=DECAY, maximize=MAXIMIZE),
    *options("SGD", lr=(0.05,), momentum=(0.9,), dampening=(0, 0.3), weight_decay=DECAY, maximize=MAXIMIZE),
    *options("SGD", lr=(0.05,), momentum=(0.9,), nesterov=(True,), weight_decay=DECAY, maximize=MAXIMIZE),
    *options("Adam", lr=(0.05,), amsgrad=(False, True), weight_decay=DECAY, maximize=MAXIMIZE),
    *options("Adam", betas=((0.5, 0.9),), eps=(1e-3,), weight_decay=(0.1,), decoupled_weight_decay=(True,)),
    *options("AdamW", lr=(0.05,), amsgrad=(False, True), weight_decay=DECAY, maximize=MAXIMIZE),
    *options("NAdam", lr=(0.05,), weight_decay=DECAY, decoupled_weight_decay=(False, True), maximize=MAXIMIZE),
    *options("NAdam", momentum_decay=(0.1,), betas=((0.8, 0.95),)),
    *options("RAdam", lr=(0.05,), weight_decay=DECAY, decoupled_weight_decay=(False, True), maximize=MAXIMIZE),
    *options("RAdam", lr=(0.05,), betas=((0.9, 0.7), (0.9, 0.9))),
    *options("Adamax", lr=(0.05,), weight_decay=DECAY, maximize=MAXIMIZE),
    *options("Adagrad", lr=(0.1,), lr_decay=(0, 0.1), weight_decay=DECAY, maximize=MAXIMIZE),
    *options("Adagrad", initial_accumulator_value=(0.5,), eps=(1e-3,)),
    *options("Adadelta", lr=(1.0,), rho=(0.9, 0.5), weight_decay=DECAY, maximize=MAXIMIZE),
    *options(
        "RMSprop", lr=(0.01,), momentum=(0, 0.9), centered=(False, True), eps=(1e-2,), weight_decay=DECAY,
        maximize=MAXIMIZE,
    ),
    *options("RMSprop", alpha=(0.5,)),
    *options("Rprop", lr=(0.05,), maximize=MAXIMIZE),
    *options("Rprop", etas=((0.4, 1.3),), step_sizes=((1e-3, 0.1),)),
    *options("ASGD", lr=(0.05,), weight_decay=DECAY, maximize=MAXIMIZE),
    *options("ASGD", lr=(0.05,), lambd=(0.01,), alpha=(0.5,), t0=(0, 5)),
]  # fmt: skip

WHOLE: list[Case] = [
    *options("Adafactor", weight_decay=DECAY, maximize=MAXIMIZE),
    *options("Adafactor", lr=(0.3,), beta2_decay=(-0.5,), eps=((1e-3, 1e-2),), d=(2.0,)),
]

CASES = ELEMENTWISE + WHOLE


def title(case: Case) -> str:
    """A name for a case: ``SGD-lr=0.05,momentum=0.9``."""
    name, settings = case
    return name + "-" + ",".join(f"{k}={v}" for k, v in settings.items()).replace(" ", "")


def start(shape: tuple[int, ...], index: int) -> Array:
    """First values of parameter ``index``: (shape) of float64, between -1 and 1."""
    count = int(np.prod(shape))
    return np.sin(1.7 * np.arange(count) + 0.9 * index + 0.3).reshape(shape)


def slope(p: Array, index: int, step: int) -> Array | None:
    """The gradient at a step: pulls to zero, disturbed; sometimes exactly zero, for some parameters now and then none."""
    if (index == 1 and step < 3) or (index == 3 and step == 10):
        return None
    wave = np.sin(0.7 * np.arange(p.size).reshape(p.shape) * (step + 1) + index)
    g = 0.8 * p + 0.5 * wave
    return np.where(wave > 0.95, 0.0, g)


def run(optimizer: Any, params: list[Any], values: Any, give: Any, steps: int = STEPS, first: int = 0) -> list[Array]:
    """Step ``optimizer``; ``values(p)`` reads a parameter, ``give(p, g)`` sets its gradient.  All values after each step."""
    seen = []
    for step in range(first, first + steps):
        for i, p in enumerate(params):
            g = slope(values(p).astype(np.float64), i, step)
            give(p, None if g is None else np.asarray(g, values(p).dtype))
        optimizer.step()
        seen.append(np.concatenate([values(p).ravel() for p in params]))
    return seen


# Schedules: (name, settings) for two groups with rates 0.1 and 0.02; "after" is what follows in Sequential and Chained.
SCHEDULES: list[Case] = [
    ("StepLR", {"step_size": 7, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [5, 12, 12, 30], "gamma": 0.3}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 6}),
    ("LinearLR", {"start_factor": 0.2, "end_factor": 0.9, "total_iters": 11}),
    ("ExponentialLR", {"gamma": 0.93}),
    ("PolynomialLR", {"total_iters": 17, "power": 1.7}),
    ("CosineAnnealingLR", {"T_max": 9, "eta_min": 0.001}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 2, "eta_min": 0.002}),
    ("CosineAnnealingWarmRestarts", {"T_0": 6}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": [0.3, 0.2], "step_size_up": 4, "step_size_down": 7}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5, "mode": "triangular2", "cycle_momentum": False}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5, "mode": "exp_range", "gamma": 0.97}),
    ("OneCycleLR", {"max_lr": [0.5, 0.1], "total_steps": 60}),
    ("OneCycleLR", {"max_lr": 0.5, "epochs": 5, "steps_per_epoch": 11, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 60, "three_phase": True, "cycle_momentum": False}),
]
EPOCHS = 50


def rates_of(optimizer: Any) -> list[float]:
    """Rate and momentum of every group."""
    found = []
    for group in optimizer.param_groups:
        found += [float(group["lr"]), float(group["betas"][0] if "betas" in group else group.get("momentum", 0.0))]
    return found


def follow(optimizer: Any, scheduler: Any, epochs: int = EPOCHS) -> Array:
    """Rates before the first step and after each: (epochs + 1, 2 * groups)."""
    seen = [rates_of(optimizer)]
    for _ in range(epochs):
        optimizer.step()
        scheduler.step()
        seen.append(rates_of(optimizer))
    return np.array(seen)
