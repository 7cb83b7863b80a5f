"""The sharded optimizer is the plain one, bit for bit, with a part of its state on each rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad.distributed as dist
from allgrad.comm import run_virtual
from allgrad.distributed.algorithms.join import Join
from allgrad.distributed.optim import ZeroRedundancyOptimizer
from allgrad.errors import DistributedError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.optim import SGD, Adam, AdamW
from allgrad.optim.lr_scheduler import StepLR
from allgrad.random import manual_seed
from ddp_bodies import batches, flat, mlp

KINDS: dict[str, Any] = {
    "SGD": (SGD, {"lr": 0.1, "momentum": 0.9}),
    "AdamW": (AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    "Adam, amsgrad": (Adam, {"lr": 0.01, "amsgrad": True}),
}


def train(kind: str, sharded: bool, resume: bool = False) -> Any:
    """Five steps, a schedule, a second group added later: parameters, whole state on rank 0, bytes of state held here."""
    dist.init_process_group()
    rank, size = dist.get_rank(), dist.get_world_size()
    manual_seed(0)
    model = mlp()
    wrapped = DistributedDataParallel(model)
    make, settings = KINDS[kind]

    def build(sharded: bool) -> Any:
        first = list(model[:4].parameters())
        made = ZeroRedundancyOptimizer(first, make, **settings) if sharded else make(first, **settings)
        made.add_param_group({"params": list(model[4:].parameters()), "lr": 0.02})
        return made

    optimizer = build(sharded)
    schedule = StepLR(optimizer, 2)
    for step, (inputs, targets) in enumerate(batches((6,), 5)):
        if resume and step == 3:  # from the sharded to the plain optimizer's layout, and back
            optimizer.consolidate_state_dict(to=size - 1)
            saved = optimizer.state_dict() if rank == size - 1 else None
            box = [pack(saved)]
            dist.broadcast_object_list(box, src=size - 1)
            optimizer = build(True)
            optimizer.load_state_dict(unpack(box[0]))
            schedule.optimizer = optimizer
        optimizer.zero_grad()
        F.cross_entropy(wrapped(inputs[rank::size]), targets[rank::size]).backward()
        optimizer.step()
        schedule.step()
    held = (optimizer.optim if sharded else optimizer).state
    nbytes = sum(v._a.nbytes for entry in held.values() for v in entry.values() if hasattr(v, "_a"))
    if sharded:
        optimizer.consolidate_state_dict()
    whole = optimizer.state_dict() if rank == 0 else None
    return flat(model), whole, nbytes, [g["lr"] for g in optimizer.param_groups]


def pack(state: Any) -> Any:
    """JSON keeps no integer keys."""
    if state is None:
        return None
    arrays = {str(i): {k: getattr(v, "_a", v) for k, v in e.items()} for i, e in state["state"].items()}
    return {"state": arrays, "param_groups": state["param_groups"]}


def unpack(state: Any) -> Any:
    return {"state": {int(i): e for i, e in state["state"].items()}, "param_groups": state["param_groups"]}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_it_is_the_plain_optimizer(size: int, kind: str, resume: bool) -> None:
    plain, found = run_virtual(train, size, kind, False), run_virtual(train, size, kind, True, resume)
    for mine, other in zip(found, plain):
        assert mine[0].tobytes() == other[0].tobytes() and mine[3] == other[3]
    assert sum(mine[2] for mine in found) == plain[0][2]
    if size > 1:
        assert max(mine[2] for mine in found) < 0.75 * plain[0][2]
    whole, expected = found[0][1], plain[0][1]
    assert whole["param_groups"] == expected["param_groups"]
    assert list(whole["state"]) == list(expected["state"])
    for i, entry in expected["state"].items():
        assert list(whole["state"][i]) == list(entry)
        for k, v in entry.items():
            assert np.array_equal(getattr(whole["state"][i][k], "_a", whole["state"][i][k]), getattr(v, "_a", v))


def test_a_rank_without_the_whole_state_says_so() -> None:
    def program() -> str:
        dist.init_process_group()
        optimizer = ZeroRedundancyOptimizer(mlp().parameters(), SGD, lr=0.1)
        optimizer.consolidate_state_dict(to=1)
        try:
            optimizer.state_dict()
        except DistributedError as error:
            return str(error)
        return "whole"

    first, second = run_virtual(program, 2)
    assert "consolidate_state_dict" in first and second == "whole"


def test_join_with_the_sharded_optimizer() -> None:
    def program(counts: list[int]) -> Any:
        dist.init_process_group()
        rank, size = dist.get_rank(), dist.get_world_size()
        manual_seed(0)
        model = mlp()
        wrapped = DistributedDataParallel(model)
        optimizer = ZeroRedundancyOptimizer(model.parameters(), Adam, lr=0.01)
        with Join([wrapped, optimizer]):
            for inputs, targets in batches((6,), max(counts))[: counts[rank]]:
                optimizer.zero_grad()
                F.cross_entropy(wrapped(inputs[rank::size]), targets[rank::size]).backward()
                optimizer.step()
        return flat(model)

    found = run_virtual(program, 3, [1, 3, 2])
    assert all(f.tobytes() == found[0].tobytes() for f in found)
