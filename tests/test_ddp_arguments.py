"""Arguments, hooks that fail, barriers that say who is missing."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from allgrad.errors import CollectiveTimeoutError, RankFailedError
from allgrad.nn.parallel import DistributedDataParallel
from ddp_bodies import batches, mlp
from mpirun import mpirun, within

INNER = {
    "allreduce": lambda: (None, default_hooks.allreduce_hook),
    "fp16": lambda: (None, default_hooks.fp16_compress_hook),
    "powerSGD": lambda: (powerSGD_hook.PowerSGDState(None, start_powerSGD_iter=2), powerSGD_hook.powerSGD_hook),
}


def failing_hook(inner: str, cap_mb: float) -> tuple[str, bool]:
    """The hook raises in the second step on the last rank; what each rank catches."""
    dist.init_process_group()
    wrapped = DistributedDataParallel(mlp().float(), bucket_cap_mb=cap_mb)
    state, plain = INNER[inner]()
    step = 0

    def hook(state: Any, bucket: Any) -> Any:
        if step and dist.get_rank() == dist.get_world_size() - 1:
            raise ValueError("the hook broke")
        return plain(state, bucket)

    wrapped.register_comm_hook(state, hook)
    try:
        for step in range(3):  # noqa: B007 - read by the hook
            wrapped(batches((6,), 1)[0][0].float()).sum().backward()
    except (ValueError, RankFailedError) as error:
        return f"{type(error).__name__}: {error}", step == 1
    return "no error", False


@pytest.mark.parametrize("cap_mb", [25.0, 1e-5])
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("size", [2, 3])
def test_a_hook_that_raises_is_told_to_all_ranks(size: int, inner: str, cap_mb: float) -> None:
    found = run_virtual(failing_hook, size, inner, cap_mb)
    assert all(second for _, second in found)
    assert found[-1][0] == "ValueError: the hook broke"
    for text, _ in found[:-1]:
        assert text.startswith("RankFailedError") and f"rank {size - 1} is in" in text and "the hook broke" in text


def test_a_hook_that_raises_over_mpi() -> None:
    job = mpirun(
        3, str(Path(__file__).parent / "mpi" / "run_hook.py"), timeout_s=within(30), env={"ALLGRAD_TIMEOUT": "20"}
    )
    assert job.code == 0, job.out + job.err
    assert job.out.count("RankFailedError") == 2 and job.out.count("ValueError: the hook broke") == 1, job.out
    assert job.seconds < within(8)


def barriers(missing: list[int], wait_all: bool, timeout: float) -> str:
    """All pass one barrier; the ``missing`` do not come to the second."""
    dist.init_process_group()
    dist.monitored_barrier(timeout=60)
    if dist.get_rank() in missing:
        time.sleep(2 * timeout)
        return "missing"
    try:
        dist.monitored_barrier(timeout=datetime.timedelta(seconds=timeout), wait_all_ranks=wait_all)
    except CollectiveTimeoutError as error:
        return str(error)
    return "no error"


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_monitored_barrier_passes(size: int) -> None:
    assert run_virtual(barriers, size, [], False, 5.0) == ["no error"] * size


@pytest.mark.parametrize("wait_all", [False, True])
def test_a_monitored_barrier_names_who_is_missing(wait_all: bool) -> None:
    found = run_virtual(barriers, 4, [1, 3], wait_all, 0.05)
    assert found[0] == f"[Rank 0]: {'Ranks 1, 3' if wait_all else 'Rank 1'} failed to pass monitoredBarrier in 50 ms"
    assert "rank 0 did not answer in 0.05 s" in found[2]


def test_a_monitored_barrier_over_mpi() -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_ddp_arguments import barriers\n"
    job = mpirun(3, "-c", code + "print(barriers([1], True, 1.0), flush=True)", timeout_s=within(30))
    assert "[Rank 0]: Rank 1 failed to pass monitoredBarrier in 1000 ms" in job.out, job.out + job.err
    assert "rank 0 did not answer" in job.out


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_loss_scaler_sees_an_overflow_of_another_rank_once(size: int) -> None:
    def program() -> Any:
        dist.init_process_group()
        torch.manual_seed(0)
        wrapped = DistributedDataParallel(nn.Linear(2, 1))
        optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        scales = []
        for step in range(3):
            optimizer.zero_grad()
            bad = step == 1 and dist.get_rank() == dist.get_world_size() - 1
            scaler.scale(wrapped(torch.ones(3, 2) * (float("inf") if bad else 1.0)).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            scales.append(scaler.get_scale())
        return scales, wrapped.module.weight.tolist(), wrapped.skipped_steps

    with pytest.warns(UserWarning, match="all ranks skip this step"):
        found = run_virtual(program, size)
    assert all(row == found[0] for row in found)
    assert found[0][0] == [4.0, 2.0, 2.0] and found[0][2] == 1


@pytest.mark.parametrize("views", [False, True])
def test_gradients_in_memory_of_their_own(views: bool) -> None:
    def program() -> bool:
        dist.init_process_group()
        model = mlp()
        wrapped = DistributedDataParallel(model, gradient_as_bucket_view=views)
        flats = [bucket.flat for bucket in wrapped.reducer.buckets]
        for k in (1, 2):  # the second is added to the first
            wrapped(batches((6,), 1)[0][0] * k).sum().backward()
            shared = [any(np.may_share_memory(p.grad._a, f) for f in flats) for p in model.parameters()]
            assert all(shared) if views else not any(shared)
        return True

    assert run_virtual(program, 2) == [True, True]


def test_delayed_parameters_are_averaged_too() -> None:
    def program() -> Any:
        dist.init_process_group()
        torch.manual_seed(0)
        layer = nn.Linear(2, 1)
        named = list(layer.named_parameters())
        wrapped = DistributedDataParallel(
            layer, delay_all_reduce_named_params=named[:1], param_to_hook_all_reduce=layer.bias
        )
        wrapped(torch.ones(1, 2) * dist.get_rank()).sum().backward()
        return layer.weight.grad.tolist()

    assert run_virtual(program, 3) == [[[1.0, 1.0]]] * 3
