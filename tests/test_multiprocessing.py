"""``torch.multiprocessing``: spawn on virtual ranks, its failures, and the standard library's names."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import allgrad
import allgrad.distributed as dist
import allgrad.multiprocessing as mp
from allgrad.errors import ArgumentError, LaunchError


def sum_of_ranks(rank: int, size: int, found: dict[int, float], backend: str = "gloo") -> None:
    dist.init_process_group(backend, rank=rank, world_size=size)
    total = allgrad.tensor([rank + 1.0])
    dist.all_reduce(total)
    found[rank] = total.item()
    dist.destroy_process_group()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_spawn_gives_each_rank_its_number_and_the_world(size: int) -> None:
    found: dict[int, float] = {}
    assert mp.spawn(sum_of_ranks, args=(size, found), nprocs=size) is None
    assert found == {rank: size * (size + 1) / 2 for rank in range(size)}
    assert not dist.is_initialized()


def test_spawn_without_join_returns_at_once_and_join_waits() -> None:
    found: dict[int, float] = {}
    context = mp.spawn(sum_of_ranks, args=(2, found), nprocs=2, join=False)
    assert context is not None
    assert context.join(timeout=30)
    assert found == {0: 3.0, 1: 3.0}


def raises(rank: int) -> None:
    if rank == 1:
        raise KeyError("the shard of rank 1 is missing")
    dist.init_process_group(rank=rank, world_size=2)
    dist.barrier()


@pytest.mark.parametrize("join", [True, False])
def test_a_failed_rank_is_named_with_its_traceback(join: bool) -> None:
    with pytest.raises(mp.ProcessRaisedException, match=r"(?s)Process 1 .*the shard of rank 1 is missing") as info:
        context = mp.spawn(raises, nprocs=2, join=join)
        assert context is not None
        context.join(timeout=30)
    assert info.value.error_index == 1
    assert "in raises" in str(info.value)
    assert isinstance(info.value, mp.ProcessException)


def leaves(rank: int, code: Any) -> None:
    sys.exit(code)


def test_exit_codes() -> None:
    mp.spawn(leaves, args=(0,), nprocs=2)
    with pytest.raises(mp.ProcessExitedException, match="exit code 3") as info:
        mp.spawn(leaves, args=(3,), nprocs=1)
    assert info.value.exit_code == 3


def other_world(rank: int) -> None:
    dist.init_process_group(rank=rank, world_size=5)


def test_a_world_size_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(mp.ProcessRaisedException, match="world_size=5"):
        mp.spawn(other_world, nprocs=2)


def without_goodbye(rank: int) -> None:
    dist.init_process_group(rank=rank, world_size=1)


def test_a_group_that_was_not_destroyed_does_not_outlive_its_rank() -> None:
    mp.spawn(without_goodbye)
    mp.spawn(without_goodbye)
    assert not dist.is_initialized()


@pytest.mark.parametrize("bad", [{"nprocs": 0}, {"start_method": "thread"}])
def test_bad_settings(bad: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        mp.spawn(leaves, args=(0,), **bad)


def test_under_a_launcher_of_another_size_spawn_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from allgrad.comm import run_virtual

    monkeypatch.setattr(mp, "detect", lambda: mp_launch(2))

    def program() -> str:
        with pytest.raises(LaunchError, match="nprocs=2") as info:
            mp.spawn(leaves, args=(0,), nprocs=3)
        return str(info.value)

    assert "nprocs=3" in run_virtual(program, 2)[0]


def test_under_a_launcher_each_process_runs_the_function_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from allgrad.comm import run_virtual

    monkeypatch.setattr(mp, "detect", lambda: mp_launch(2))
    found: dict[int, float] = {}
    run_virtual(lambda: mp.spawn(sum_of_ranks, args=(2, found), nprocs=2), 2)
    assert found == {0: 3.0, 1: 3.0}


def mp_launch(size: int) -> Any:
    from allgrad.comm import Launch

    return Launch("openmpi", 0, size, 0, size)


def test_fork_is_refused_while_mpi_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Running:
        @staticmethod
        def Is_initialized() -> bool:
            return True

        @staticmethod
        def Is_finalized() -> bool:
            return False

    monkeypatch.setitem(sys.modules, "mpi4py.MPI", Running)  # type: ignore[arg-type]
    with pytest.raises(LaunchError, match="fork"):
        mp.get_context("fork")
    with pytest.raises(LaunchError, match="fork"):
        mp.set_start_method("fork")
    assert mp.get_context("spawn").get_start_method() == "spawn"
    monkeypatch.setattr(mp._standard, "get_start_method", lambda allow_none=False: "fork")
    with pytest.raises(LaunchError, match="fork"):
        mp.Process(target=print).start()


PROGRAM = """
import allgrad.multiprocessing as mp

def double(x):
    return 2 * x

def put(queue):
    queue.put(7)

if __name__ == "__main__":
    mp.set_start_method("spawn")
    queue = mp.Queue()
    process = mp.Process(target=put, args=(queue,))
    process.start()
    print(queue.get(timeout=60))
    process.join()
    with mp.Pool(1) as pool:
        print(pool.map(double, [1, 2]))
"""


def test_processes_queues_and_pools_are_the_standard_librarys(tmp_path: Any) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120, env=env)
    assert done.stdout == "7\n[2, 4]\n", done.stderr
