"""Ranks as threads that take turns: what only this world has to prove."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

from allgrad.comm import launch_world, run_virtual
from allgrad.context import ctx
from allgrad.errors import ArgumentError, DtypeError, MismatchError, RankFailedError, ShapeError, UnsupportedError
from mpirun import SOURCE, within


def test_exactly_one_rank_runs_at_a_time() -> None:
    running, most = [0], [0]

    def program() -> None:
        comm = launch_world()
        for _ in range(20):
            running[0] += 1
            most[0] = max(most[0], running[0])
            time.sleep(0.0005)  # another thread would start here
            running[0] -= 1
            comm.barrier()

    run_virtual(program, 4)
    assert most[0] == 1


def order(seed: int | None) -> list[int]:
    seen: list[int] = []

    def program() -> None:
        comm = launch_world()
        for _ in range(6):
            seen.append(comm.rank)
            comm.barrier()

    run_virtual(program, 3, schedule_seed=seed)
    return seen


def test_the_order_is_repeatable_and_can_be_drawn() -> None:
    assert order(None) == order(None)
    assert order(7) == order(7)
    assert len({tuple(order(seed)) for seed in range(8)}) > 3


def test_two_hundred_schedules_give_one_result() -> None:
    def program() -> bytes:
        comm = launch_world()
        flat = np.random.default_rng(comm.rank).standard_normal(50).astype(np.float32)
        works = [comm.start_all_reduce(flat[i : i + 10]) for i in range(0, 50, 10)]
        for work in works:
            comm.progress()
            while not work.test():
                comm.progress()
        got = np.empty(1)
        receiving = comm.irecv(got, (comm.rank + 1) % comm.size)
        comm.send(flat[:1].astype(np.float64), (comm.rank - 1) % comm.size)
        receiving.wait()
        return flat.tobytes() + b"".join(comm.all_gather_bytes(got.tobytes()))

    results = {tuple(run_virtual(program, 3, schedule_seed=seed)) for seed in range(200)}
    assert len(results) == 1


def test_each_rank_has_its_own_context() -> None:
    ctx.grad_enabled = False

    def program() -> tuple[bool, int, bool]:
        comm = launch_world()
        before = ctx.grad_enabled
        ctx.grad_enabled = comm.rank == 1
        comm.barrier()
        return before, launch_world().rank, ctx.grad_enabled

    try:
        assert run_virtual(program, 3) == [(True, 0, False), (True, 1, True), (True, 2, False)]
        assert ctx.grad_enabled is False and ctx.launched is None, "the caller's context is as before"
    finally:
        ctx.grad_enabled = True


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_a_rank_that_raises_stops_all(odd: int) -> None:
    stopped: list[tuple[int, str]] = []

    def helper_that_fails() -> None:
        raise KeyError("boom")

    def program() -> None:
        comm = launch_world()
        comm.barrier()
        if comm.rank == odd:
            helper_that_fails()
        try:
            comm.barrier()
        except RankFailedError as error:
            stopped.append((comm.rank, str(error)))
            raise

    threads = threading.active_count()
    with pytest.raises(KeyError, match="boom") as caught:
        run_virtual(program, 3)
    assert "helper_that_fails" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert caught.value.__notes__ == [f"raised on virtual rank {odd} of 3"]
    assert sorted(rank for rank, _ in stopped) == [rank for rank in range(3) if rank != odd]
    assert all(f"rank {odd} failed with KeyError" in text for _, text in stopped)
    assert threading.active_count() == threads


def test_nobody_can_go_on() -> None:
    found: dict[int, str] = {}

    def program() -> None:
        comm = launch_world()
        try:
            if comm.rank == 0:
                comm.recv(np.zeros(3), 1, tag=5)
            elif comm.rank == 1:
                comm.all_reduce(np.zeros(2), label="fc1.weight")
        except MismatchError as error:
            found[comm.rank] = str(error)
            raise

    started = time.monotonic()
    with pytest.raises(MismatchError):
        run_virtual(program, 3)
    assert time.monotonic() - started < within(1)
    assert set(found) == {0, 1}, "every waiting rank gets the error"
    for text in found.values():
        assert "rank 0 waits in recv(float64, 3) from rank 1, tag 5" in text
        assert 'rank 1 waits in all_reduce(sum, float64, 2) for "fc1.weight"' in text
        assert "rank 2 has already finished" in text


def test_polling_for_ever_is_found_too() -> None:
    def program() -> None:
        comm = launch_world()
        if comm.rank == 0:
            work = comm.start_all_reduce(np.zeros(2))
            while not work.test():
                comm.progress()

    with pytest.raises(MismatchError, match="rank 1 has already finished"):
        run_virtual(program, 2)


def test_a_large_send_needs_its_receiver_as_in_mpi() -> None:
    def program(count: int) -> None:
        comm = launch_world()
        comm.send(np.zeros(count), 1 - comm.rank)
        comm.recv(np.zeros(count), 1 - comm.rank)

    run_virtual(program, 2, 10)
    with pytest.raises(MismatchError, match=r"rank 0 waits in send\(float64, 10000\) to rank 1"):
        run_virtual(program, 2, 10_000)


def test_messages_of_the_wrong_size() -> None:
    def program() -> None:
        comm = launch_world()
        if comm.rank == 0:
            comm.send(np.zeros(5), 1)
        else:
            comm.recv(np.zeros(6, np.float32), 0)

    with pytest.raises(MismatchError, match=r"rank 0 sent 5 elements of float64, 40 bytes.*6 of float32, 24 bytes"):
        run_virtual(program, 2)


@pytest.mark.parametrize(("code", "ends"), [(0, False), (None, False), (3, True), ("words", True)])
def test_sys_exit(code: object, ends: bool) -> None:
    def program() -> int:
        if launch_world().rank == 1:
            sys.exit(code)  # type: ignore[arg-type]
        return 1

    if ends:
        with pytest.raises(SystemExit) as caught:
            run_virtual(program, 2)
        assert caught.value.code == code
    else:
        assert run_virtual(program, 2) == [1, None]


def test_worlds_may_be_nested_and_follow_each_other() -> None:
    def inner() -> int:
        comm = launch_world()
        return comm.size * 10 + len(comm.all_gather_bytes(b""))

    def program() -> tuple[list[int], int]:
        comm = launch_world()
        comm.barrier()
        return run_virtual(inner, 3), launch_world().size

    assert run_virtual(program, 2) == [([33, 33, 33], 2)] * 2


def test_wrong_arguments_are_refused_on_this_rank() -> None:
    def program() -> None:
        comm = launch_world()
        wrong: list[tuple[type[Exception], object]] = [
            (ShapeError, lambda: comm.all_reduce(np.zeros((2, 2)))),
            (ShapeError, lambda: comm.all_reduce(np.zeros(6)[::2])),
            (ShapeError, lambda: comm.reduce_scatter(np.zeros(3))),
            (ShapeError, lambda: comm.all_to_all(np.zeros(3))),
            (DtypeError, lambda: comm.all_reduce(np.zeros(2, complex))),
            (DtypeError, lambda: comm.all_reduce([1.0])),
            (DtypeError, lambda: comm.all_reduce(np.zeros(2, int), scale=0.5)),
            (ArgumentError, lambda: comm.all_reduce(np.zeros(2), "mean")),
            (ArgumentError, lambda: comm.broadcast(np.zeros(2), 2)),
            (ArgumentError, lambda: comm.broadcast(np.frombuffer(b"12345678"), 0)),
            (ArgumentError, lambda: comm.all_to_all(np.zeros(4), [1, 1])),
            (ArgumentError, lambda: comm.all_to_all(np.zeros(4), [4])),
            (ArgumentError, lambda: comm.send(np.zeros(2), comm.rank)),
            (ArgumentError, lambda: comm.send(np.zeros(2), 1 - comm.rank, tag=40_000)),
            (ArgumentError, lambda: comm.subgroup([0, 0])),
            (ArgumentError, lambda: comm.subgroup([2])),
            (ArgumentError, lambda: comm.broadcast_bytes(None, comm.rank)),
        ]
        for error, call in wrong:
            with pytest.raises(error):
                call()  # type: ignore[operator]
        comm.barrier()  # and nothing was started

    run_virtual(program, 2)
    with pytest.raises(ArgumentError, match="at least 1"):
        run_virtual(program, 0)
    with pytest.raises(UnsupportedError):
        launch_world().recv(np.zeros(1))


DEBUGGED = """
import numpy as np
from allgrad.comm import launch_world, run_virtual

def program():
    comm = launch_world()
    x = np.full(2, comm.rank + 1.0)
    if comm.rank == {rank}:
        breakpoint()
    comm.all_reduce(x)
    return x[0]

print("sum", run_virtual(program, 3))
"""


@pytest.mark.parametrize("rank", [0, 2])
def test_breakpoint_works_on_every_rank(rank: int, tmp_path: Path) -> None:
    program = tmp_path / "debugged.py"
    program.write_text(DEBUGGED.format(rank=rank))
    keyboard, terminal = pty.openpty()
    env = os.environ | {"PYTHONPATH": SOURCE, "TERM": "dumb"}
    job = subprocess.Popen(
        [sys.executable, str(program)], stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
    )
    os.write(keyboard, b"p comm.rank, x.tolist()\nn\nc\n")
    try:
        out = job.communicate(timeout=20)[0].decode()
    finally:
        job.kill()
        os.close(keyboard)
        os.close(terminal)
    assert f"({rank}, [{rank + 1.0}, {rank + 1.0}])" in out, out
    assert "sum [np.float64(6.0), np.float64(6.0), np.float64(6.0)]" in out, out


INTERRUPTED = """
import os, signal, sys, threading, time
from allgrad.comm import launch_world, run_virtual

def program():
    comm = launch_world()
    if comm.rank == 1:  # rank 0 waits in its thread, the main one, which takes the signal
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):
            time.sleep(0.01)
    comm.barrier()

run_virtual(program, 3)
"""


def test_ctrl_c_ends_all_ranks() -> None:
    env = os.environ | {"PYTHONPATH": SOURCE}
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=20, env=env)
    assert done.returncode != 0
    assert "KeyboardInterrupt" in done.stderr.splitlines()[-2:][0] + done.stderr.splitlines()[-1]
