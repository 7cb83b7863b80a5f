"""Arguments, hooks that fail, barriers that say who is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import allgrad.distributed as dist
from allgrad.comm import run_virtual
from allgrad.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from allgrad.errors import RankFailedError
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
