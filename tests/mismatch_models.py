"""Models, settings, hooks and steps that differ between the ranks; see ``mismatch_cases``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from allgrad.distributed.optim import ZeroRedundancyOptimizer
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.random import manual_seed
from mismatch_cases import case, ones


def mlp(*widths: int, dtype: Any = torch.float32, bias: bool = True) -> nn.Module:
    manual_seed(0)
    return nn.Sequential(*[nn.Linear(a, b, bias) for a, b in itertools.pairwise(widths)]).to(dtype)


def step(model: Any, width: int = 4, dtype: Any = torch.float32) -> None:
    model(ones(2, width, dtype=dtype)).sum().backward()


WRAPPED: dict[str, tuple[Callable[[bool], nn.Module], tuple[str, ...]]] = {
    "width of a layer": (lambda odd: mlp(4, 6 if odd else 5, 3), ("'0.weight'", "[6, 4]", "expected [5, 4]")),
    "one layer more": (lambda odd: mlp(4, 4, 4, *([4] if odd else [])), ("'2.weight'", "extra")),
    "one layer less": (lambda odd: mlp(4, 4, *([] if odd else [4])), ("missing",)),
    "dtype": (lambda odd: mlp(4, 3, dtype=torch.float64 if odd else torch.float32), ("'0.weight'", "float64", "float32")),
    "no bias": (lambda odd: mlp(4, 3, bias=not odd), ("'0.bias'", "missing")),
    "names": (lambda odd: nn.ModuleDict({"b" if odd else "a": nn.Linear(4, 3)}), ("'b.weight'", "'a.weight'")),
    "buffers": (lambda odd: nn.Sequential(nn.BatchNorm1d(4, track_running_stats=not odd)), ("buffer", "running_mean")),
    "frozen layers": (lambda odd: _frozen(odd), ("trained parameter", "'1.weight'", "'0.weight'")),
}  # fmt: skip


def _frozen(odd: bool) -> nn.Module:
    model = mlp(4, 4, 4)
    if odd:
        model[0].requires_grad_(False)
    return model


for _name, (_build, _words) in WRAPPED.items():
    case(f"model: {_name}", "rank {odd}", *_words)(lambda odd, build=_build: DistributedDataParallel(build(odd)))

SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bucket_cap_mb": ({"bucket_cap_mb": 1.0}, {"bucket_cap_mb": 2.0}),
    "broadcast_buffers": ({}, {"broadcast_buffers": False}),
    "nonfinite_limit": ({}, {"nonfinite_limit": None}),
}
for _name, (_usual_settings, _odd_settings) in SETTINGS.items():
    case(f"model: setting {_name}", "rank {odd}", _name, "expected")(
        lambda odd, a=_usual_settings, b=_odd_settings: DistributedDataParallel(mlp(4, 4, 4), **(b if odd else a))
    )


@case("model: wrapped on all ranks but one", "rank {odd}", "barrier()", "parameter digest")
def not_wrapped(odd: bool) -> None:
    if not odd:
        DistributedDataParallel(mlp(4, 3))


@case("model: two models in another order", "rank {odd}", "'0.weight'", "[5, 4]", "[3, 4]")
def two_models(odd: bool) -> None:
    widths = [(4, 3), (4, 5)]
    for pair in reversed(widths) if odd else widths:
        DistributedDataParallel(mlp(*pair))


@case("model: frozen later on one rank", "rank {odd}", "trained parameter digest", "step word")
def frozen_later(odd: bool) -> None:
    model = DistributedDataParallel(mlp(4, 4, 4))
    step(model)
    model.module[0].requires_grad_(not odd)
    step(model)


@case("model: another hook", "rank {odd} is in", "bucket 0", "expected")
def other_hook(odd: bool) -> None:
    model = DistributedDataParallel(mlp(4, 4, 4))
    model.register_comm_hook(None, default_hooks.fp16_compress_hook if odd else default_hooks.allreduce_hook)
    step(model)


@case("model: a hook on one rank", "rank {odd} is in", "bucket 0", "expected")
def one_hook(odd: bool) -> None:
    model = DistributedDataParallel(mlp(4, 4, 4))
    if odd:
        model.register_comm_hook(None, default_hooks.fp16_compress_hook)
    step(model)


@case("model: PowerSGD of another rank", "rank {odd} is in", "bucket 0", "expected")
def other_power(odd: bool) -> None:
    model = DistributedDataParallel(mlp(16, 16, 16))
    state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=2 if odd else 1, start_powerSGD_iter=2)
    model.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    for _ in range(4):
        step(model, 16)


@case("model: a weight on one rank", "rank {odd}", "weight")
def one_weight(odd: bool) -> None:
    model = DistributedDataParallel(mlp(4, 4, 4))
    if odd:
        with model.sync(weight=3):
            step(model)
    else:
        step(model)


@case("model: backward against a collective", "rank {odd}", "all_reduce at mismatch_models.py", "barrier at")
def backward_against_collective(odd: bool) -> None:
    model = DistributedDataParallel(mlp(4, 4, 4))
    if odd:
        dist.all_reduce(ones(3))
    else:
        step(model)


@case(
    "model: a collective between forward and backward",
    "rank {odd}",
    "broadcast at mismatch_models.py",
    "no more batches",
)
def collective_inside(odd: bool) -> None:
    model = DistributedDataParallel(mlp(4, 4, 4))
    loss = model(ones(2, 4)).sum()
    if odd:
        dist.broadcast(ones(3), 0)
    loss.backward()
    if not odd:
        dist.broadcast(ones(3), 0)


@case(
    "model: one step less, in a loop with a collective", "rank {odd}", "all_reduce at", "barrier at", "no more batches"
)
def one_step_less(odd: bool) -> None:
    model = DistributedDataParallel(mlp(4, 4, 4))
    for _ in range(2 if odd else 3):
        step(model)
        dist.all_reduce(ones(3))


@case(
    "model: a forward on one rank against a step",
    "rank {odd}",
    "step model 0 (Sequential)",
    "run the forward of model 0",
)
def forward_on_one(odd: bool) -> None:
    model = DistributedDataParallel(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    loss = model(ones(2, 4)).sum()
    if odd:
        model(ones(2, 4))
    loss.backward()


@case("model: sharded optimizer of another model", "rank {odd}", "expected")
def other_optimizer(odd: bool) -> None:
    model = mlp(4, 4, 4)
    shown = list(model.parameters())[: 2 if odd else 4]
    optimizer = ZeroRedundancyOptimizer(shown, torch.optim.SGD, lr=0.1)
    model(ones(2, 4)).sum().backward()
    optimizer.step()
