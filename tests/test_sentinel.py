"""The replica sentinel: one flipped bit on one rank is an error on all, naming it; lawful differences are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.distributed.sentinel_digest import digest
from allgrad.errors import ArgumentError, ReplicaError
from allgrad.nn.parallel import DistributedDataParallel
from mpirun import mpirun, within
from sentinel_bodies import DAMAGED, LAWFUL, ODD_STEP, STEPS

NAMES = {  # what is named first, at which step
    "parameter": ("parameter 'first.weight'", ODD_STEP),
    "parameter of rank 0": ("parameter 'first.weight'", ODD_STEP),
    "frozen parameter": ("parameter 'last.bias'", ODD_STEP),
    "buffer": ("buffer 'scale'", ODD_STEP),
    "buffer of rank 0": ("buffer 'scale'", ODD_STEP),
    "moment": ("state 'exp_avg_sq' of parameter 'first.weight' in Adam", ODD_STEP),
    "learning rate": ("setting 'lr' of parameter group 0 of Adam", ODD_STEP),
    "state lost": ("state 'step' of parameter 'last.weight' in Adam", ODD_STEP),
    "changed by hand": ("parameter 'last.weight'", ODD_STEP),
    "parameter, sharded state": ("parameter 'first.weight'", ODD_STEP),
    "averaged, then damaged": ("parameter 'first.weight'", ODD_STEP),  # one of its five steps was not synchronized
    "state of a joined rank": ("state 'step' of parameter 'first.weight' in Adam", STEPS + 1),
}


def check(name: str, size: int, said: list[str]) -> None:
    """What the sentinels of all ranks must have said."""
    if name in LAWFUL:
        assert said == [""] * size, name
        return
    what, step = NAMES[name]
    odd = 0 if name.endswith("rank 0") else size - 1
    for rank, text in enumerate(said):
        lines = text.splitlines()
        assert lines[0] == f"the replicas differ at step {step} (seen on rank {rank} of {size}):", (name, text)
        assert lines[1].startswith(f"  {what} "), (name, text)
        assert f"last compared at step {step - 1}" in text
        if size == 2:
            assert "on rank 0, " in lines[1] and lines[1].endswith("on rank 1"), lines[1]
        else:
            everybody_differs = name == "state of a joined rank"
            assert (f" on rank {odd}; ranks " in lines[1]) != everybody_differs, lines[1]
            assert ("is missing" in lines[1]) == (name == "state lost")


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("name", [*DAMAGED, *LAWFUL])
def test_virtual_ranks(name: str, size: int) -> None:
    check(name, size, run_virtual({**DAMAGED, **LAWFUL}[name], size))


@pytest.mark.parametrize("name", [*DAMAGED, *LAWFUL])
def test_one_rank_has_no_replicas(name: str) -> None:
    assert {**DAMAGED, **LAWFUL}[name]() == ""


@pytest.mark.parametrize("size", [2, 3, 4])
def test_mpi_ranks(size: int) -> None:
    job = mpirun(size, str(Path(__file__).parent / "mpi" / "run_sentinel.py"), timeout_s=within(60))
    assert job.code == 0, job.out + job.err
    for name, said in json.loads(job.out[job.out.index("{") :]).items():
        check(name, size, said)


def forgetful(steps: int, check_every: int | None) -> list[int]:
    """Rank 0 alone steps: the steps at which the others and it itself find out."""

    def body() -> int:
        dist.init_process_group()
        model = nn.Linear(3, 2)
        settings = {} if check_every is None else {"replica_check": check_every}
        wrapped = DistributedDataParallel(model, **settings)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            try:
                wrapped(torch.ones(4, 3)).sum().backward()
            except ReplicaError:
                return step
            if dist.get_rank() == 0:
                optimizer.step()
        return 0

    return run_virtual(body, 3)


@pytest.mark.parametrize("every", [None, 1, 7])
def test_a_wrong_program_is_found_at_the_second_step(every: int | None) -> None:
    assert forgetful(5, every) == [2, 2, 2]


def test_different_starts_without_init_sync_are_found() -> None:
    def body() -> None:
        dist.init_process_group()
        torch.manual_seed(dist.get_rank())
        wrapped = DistributedDataParallel(nn.Linear(3, 2), init_sync=False)
        for _ in range(3):
            wrapped(torch.ones(4, 3)).sum().backward()

    with pytest.raises(ReplicaError, match=r"parameter 'weight' is [0-9a-f]{8} on rank 0, [0-9a-f]{8} on rank 1"):
        run_virtual(body, 2)


@pytest.mark.parametrize("every", [0, -3, 2.5, True, "often"])
def test_the_setting_is_checked(every: Any) -> None:
    dist.init_process_group()
    try:
        with pytest.raises(ArgumentError, match="replica_check"):
            DistributedDataParallel(nn.Linear(2, 2), replica_check=every)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 2048, 2049, 9000, 100_001])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_every_flipped_bit_changes_the_digest(count: int, dtype: str) -> None:
    draw = np.random.default_rng(count)
    a = draw.integers(0, 100, count).astype(dtype)
    before, raw = digest(a), a.view(np.uint8)
    for place in {0, raw.size - 1, *draw.integers(0, raw.size, 20).tolist()}:
        for bit in (0, 7):
            raw[place] ^= 1 << bit
            assert digest(a) != before
            raw[place] ^= 1 << bit
    assert digest(a) == before


def test_the_digest_sees_order_and_not_layout() -> None:
    a = np.random.default_rng(0).standard_normal((300, 300))
    assert digest(a) == digest(np.asfortranarray(a)) == digest(a.copy())
    swapped = a.copy()
    swapped[[3, 200]] = a[[200, 3]]
    assert digest(swapped) != digest(a)
    assert digest(np.zeros(0)) == digest(np.zeros((3, 0)))
    assert digest(np.array(1.0)) != digest(np.array(2.0))
