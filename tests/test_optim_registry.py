"""The registry of optimizers: who holds a parameter, in the order of making, and only while it lives."""

from __future__ import annotations

import copy
import gc

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.distributed.optim import ZeroRedundancyOptimizer
from allgrad.optim.registry import optimizers_of


def test_found_by_any_of_its_parameters_in_order() -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    first = torch.optim.SGD(b.parameters(), lr=0.1)
    second = torch.optim.Adam([{"params": [a.weight]}, {"params": [b.bias], "lr": 1.0}])
    assert optimizers_of(b.parameters()) == [first, second]
    assert optimizers_of([a.weight]) == [second]
    assert optimizers_of([a.bias]) == []


def test_later_groups_and_copies_are_known() -> None:
    model, late = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert optimizers_of(late.parameters()) == []
    optimizer.add_param_group({"params": list(late.parameters())})
    assert optimizers_of(late.parameters()) == [optimizer]
    twin_model, twin = copy.deepcopy((model, optimizer))
    assert optimizers_of(twin_model.parameters()) == [twin]
    assert optimizers_of(model.parameters()) == [optimizer]


def test_forgotten_with_the_optimizer() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert optimizers_of(model.parameters()) == [optimizer]
    del optimizer
    gc.collect()
    assert optimizers_of(model.parameters()) == []


def test_virtual_ranks_see_their_own_and_a_share_hides_behind_its_whole() -> None:
    def body() -> tuple[bool, int]:
        dist.init_process_group()
        model = nn.Linear(3, 3)
        sharded = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.1)
        dist.barrier()
        found = optimizers_of(model.parameters())
        dist.destroy_process_group()
        return found[0] is sharded, len(found)

    assert run_virtual(body, 3) == [(True, 1)] * 3
