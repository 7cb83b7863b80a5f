"""Uneven numbers of batches in a plain loop: no hang, the exact mean over who has data, equal replicas and optimizers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.distributed.algorithms.ddp_comm_hooks import default_hooks
from allgrad.errors import DistributedError, MismatchError
from allgrad.nn import functional as F
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.optim import SGD
from ddp_bodies import batches, flat, mlp
from mpirun import mpirun, within
from uneven_bodies import ENDS, expected, uneven

COUNTS = [[3], [1, 3], [3, 1], [0, 2, 4], [2, 2, 2], [1, 4, 2, 3]]


def equal(found: list[Any], right: Any = None) -> None:
    for mine in found:
        assert mine.tobytes() == found[0].tobytes()
        if right is not None:
            np.testing.assert_allclose(mine, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("counts", COUNTS)
def test_it_is_one_process_with_the_same_rows(counts: list[int], weights: bool) -> None:
    equal(run_virtual(uneven, len(counts), counts, weights), expected(counts))


@pytest.mark.parametrize("end", ENDS)
def test_whatever_comes_after_the_loop(end: str) -> None:
    equal(run_virtual(uneven, 3, [0, 3, 1], end=end), expected([0, 3, 1]))


@pytest.mark.parametrize("counts", [[2, 4], [4, 2, 3]])
def test_buffers_come_from_who_has_data(counts: list[int]) -> None:
    equal(run_virtual(uneven, len(counts), counts, norm=True))


def test_the_end_of_the_program_is_enough() -> None:
    models = []

    def program() -> None:
        dist.init_process_group()
        wrapped = DistributedDataParallel(mlp())
        optimizer = SGD(wrapped.parameters(), lr=0.1)
        for inputs, _ in batches((6,), 1 + dist.get_rank()):
            wrapped(inputs).sum().backward()
            optimizer.step()
        models.append((wrapped, optimizer))

    run_virtual(program, 3)
    equal([flat(m.module) for m, _ in models])


def test_drawn_schedules_give_the_same_bits() -> None:
    digests = {b"".join(v.tobytes() for v in run_virtual(uneven, 3, [1, 3, 2], schedule_seed=s)) for s in range(6)}
    assert len(digests) == 1


def test_a_hook_and_two_models_in_one_backward() -> None:
    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        torch.manual_seed(1)
        models = [mlp(), mlp()]
        a, b = (DistributedDataParallel(m, bucket_cap_mb=3e-4) for m in models)
        a.register_comm_hook(None, default_hooks.allreduce_hook)
        for inputs, targets in batches((6,), 3)[: 1 + rank]:
            for m in models:
                m.zero_grad()
            order = (a, b) if rank % 2 else (b, a)
            losses = [F.cross_entropy(m(inputs), targets) for m in order]  # the same rows on all ranks
            (losses[0] + losses[1]).backward()
            for m in models:
                with torch.no_grad():
                    for p in m.parameters():
                        p.sub_(p.grad * 0.1)
        dist.barrier()
        return np.concatenate([flat(m) for m in models])

    found = run_virtual(program, 3)
    equal(found)
    alone = run_virtual(_two_alone, 1)[0]
    np.testing.assert_allclose(found[0], alone, rtol=0, atol=1e-12)


def _two_alone() -> Any:
    torch.manual_seed(1)
    models = [mlp(), mlp()]
    for inputs, targets in batches((6,), 3):
        for m in models:
            m.zero_grad()
            F.cross_entropy(m(inputs), targets).backward()
            with torch.no_grad():
                for p in m.parameters():
                    p.sub_(p.grad * 0.1)
    return np.concatenate([flat(m) for m in models])


def test_a_collective_in_the_loop_is_told_from_the_one_after_it() -> None:
    def program() -> str:
        dist.init_process_group()
        wrapped = DistributedDataParallel(mlp())
        total = torch.zeros(1)
        try:
            for inputs, _ in batches((6,), 1 + dist.get_rank()):
                wrapped(inputs).sum().backward()
                dist.all_reduce(total)
            dist.all_reduce(total)
        except MismatchError as error:
            return str(error)
        return "no error"

    for text in run_virtual(program, 2):
        assert (
            "rank 0 had no more batches" in text and "rank 1 is about to call all_reduce at test_ddp_uneven.py" in text
        )


def test_gradients_that_no_step_used_are_named() -> None:
    def program() -> list[str]:
        dist.init_process_group()
        wrapped = DistributedDataParallel(mlp())
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with wrapped.sync(when=dist.get_rank() == 0):
                wrapped(batches((6,), 1)[0][0]).sum().backward()
            dist.barrier()
        return [str(w.message) for w in seen]

    with warnings.catch_warnings():
        found = run_virtual(program, 2)
    assert any("rank 1 left its loop with gradients" in text for row in found for text in row)


def test_optimizers_that_differ_are_an_error_on_all_ranks() -> None:
    def program() -> str:
        dist.init_process_group()
        wrapped = DistributedDataParallel(mlp(), replica_check=None)
        kept = SGD(wrapped.parameters(), lr=0.1) if dist.get_rank() else None
        try:
            for inputs, _ in batches((6,), 1 + dist.get_rank()):
                wrapped(inputs).sum().backward()
            dist.barrier()
        except DistributedError as error:
            return f"{error}{'' if kept else ' '}"
        return "no error"

    for text in run_virtual(program, 2):
        assert "cannot be made equal" in text and "no optimizer" in text


def test_groups_without_a_wrapped_model_send_no_words() -> None:
    def program() -> tuple[int, int]:
        dist.init_process_group()
        group = dist.new_group([0, 1])
        DistributedDataParallel(nn.Linear(2, 1))
        before = group.comm.sequence
        dist.barrier(group)
        return group.comm.sequence - before, int(group.gate is None)

    assert run_virtual(program, 2) == [(1, 1), (1, 1)]


def test_over_mpi() -> None:
    """The same bits as virtual ranks; the last loop ends with the program."""
    program = str(Path(__file__).parent / "mpi" / "run_uneven.py")
    job = mpirun(3, program, timeout_s=within(30), env={"ALLGRAD_TIMEOUT": "20"})
    assert job.code == 0, job.out + job.err
    found = json.loads(job.out[job.out.index("{") : job.out.index("}") + 1])
    virtual = run_virtual(uneven, 3, [0, 3, 1], end="object", norm=True)
    assert found["digests"] == [virtual[0].tobytes().hex()] * 3
    assert job.out.count("left the last loop") == 3
