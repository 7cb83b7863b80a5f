"""Programs in which the plain step and the sharded one, or the one within backward, must give the same bits."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn, optim
from allgrad.distributed.optim import ShardedOptimizer
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.optim.lr_scheduler import StepLR
from allgrad.random import manual_seed
from ddp_bodies import batches

Array = np.ndarray[Any, Any]

KINDS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "SGD": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "AdamW": (optim.AdamW, {"lr": 0.01, "amsgrad": True}),
    "NAdam": (optim.NAdam, {"lr": 0.01}),
    "RMSprop": (optim.RMSprop, {"lr": 0.01, "centered": True, "momentum": 0.5}),
    "Adagrad": (optim.Adagrad, {"lr": 0.05, "initial_accumulator_value": 0.1}),
    "Rprop": (optim.Rprop, {"lr": 0.01}),
}


class Net(nn.Module):
    """A parameter of one number, one that only some batches use, one never used, one frozen."""

    def __init__(self, width: int = 37) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, width), nn.Linear(width, 3)
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.some, self.idle, self.frozen = nn.Linear(3, 3), nn.Linear(2, 2), nn.Linear(3, 3)
        self.frozen.requires_grad_(False)

    def forward(self, x: Any, some: bool) -> Any:
        y = self.frozen(self.last(torch.tanh(self.first(x)) * self.scale))
        return self.some(y) if some else y


def wrapped_model(
    cap: float | None, dtype: Any = None, width: int = 37, all_used: bool = False, **given: Any
) -> tuple[Net, Any]:
    manual_seed(dist.get_rank())
    model = Net(width) if dtype is None else Net(width).to(dtype)
    for layer in (model.some, model.idle):
        layer.requires_grad_(not all_used)
    return model, DistributedDataParallel(model, bucket_cap_mb=cap, **given)


def groups(model: Net) -> list[dict[str, Any]]:
    """Two groups, and a frozen parameter in one of them."""
    rest = [p for n, p in model.named_parameters() if not n.startswith("first")]
    return [{"params": list(model.first.parameters()), "lr": 0.02}, {"params": rest}]


def make(how: str, kind: str, model: Net, wrapped: Any) -> Any:
    """The optimizer: "plain", "sharded" or "in backward"."""
    build, settings = KINDS[kind]
    if how == "sharded":
        rows = groups(model)
        rows[1]["params"] = [p for p in rows[1]["params"] if p.requires_grad]
        return ShardedOptimizer(wrapped, build, rows, **settings)
    made = build(groups(model), **settings)
    if how == "in backward":
        wrapped.step_in_backward(made)
    return made


def train(
    how: str, kind: str, cap: float | None = None, dtype: Any = None, accumulate: bool = False, weighted: bool = False,
    width: int = 37, all_used: bool = False,
) -> Array:  # fmt: skip
    """Six steps under a schedule; which layer is used depends on step and rank."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    model, wrapped = wrapped_model(
        cap, dtype, width, all_used, **({"nonfinite_limit": None} if how == "in backward" else {})
    )
    optimizer = make(how, kind, model, wrapped)
    schedule = StepLR(optimizer, 2)
    for step, (inputs, targets) in enumerate(batches((6,), 6)):
        inputs = inputs.to(model.scale.dtype)
        optimizer.zero_grad()
        parts = (
            [slice(rank, None, 2 * size), slice(rank + size, None, 2 * size)]
            if accumulate
            else [slice(rank, None, size)]
        )
        for k, part in enumerate(parts):
            rows = inputs[part][: (rank + 1 if weighted else None)]
            sync = wrapped.sync(when=k == len(parts) - 1, **({"weight": len(rows)} if weighted else {}))
            with sync if accumulate or weighted else contextlib.nullcontext():
                out = wrapped(rows, (step + rank) % 3 == 0)
                F.cross_entropy(out.float() if dtype is not None else out, targets[part][: len(rows)]).backward()
        if how != "in backward":
            optimizer.step()
        schedule.step()
    dist.destroy_process_group()
    return np.concatenate([p.detach().float().numpy().reshape(-1).astype(np.float64) for p in model.parameters()])


CASES: dict[str, dict[str, Any]] = {
    "one bucket": {"kind": "AdamW"},
    "tiny buckets": {"kind": "AdamW", "cap": 1e-5},
    "a few buckets": {"kind": "SGD", "cap": 4e-4},
    "all parameters used": {"kind": "AdamW", "cap": 1e-4, "all_used": True},
    "accumulation": {"kind": "RMSprop", "cap": 4e-4, "accumulate": True},
    "weights": {"kind": "AdamW", "cap": 4e-4, "weighted": True},
    "float16": {"kind": "SGD", "cap": 4e-4, "dtype": torch.float16},
    "buckets too large for one message": {"kind": "AdamW", "width": 9000, "cap": 0.3},
    "NAdam": {"kind": "NAdam"},
    "Adagrad": {"kind": "Adagrad"},
    "Rprop": {"kind": "Rprop", "dtype": torch.float64},
}
