"""``allgrad run``: the ways of failing that are not in the middle of the program: hooks, loaders, exit handlers, vanishing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cli_jobs import launcher, run, wait_until_gone, write
from mpirun import within

FAST_S = 5.0

# Rank 1 goes wrong in the way named on the command line; rank 0 waits for it in a collective, or in a sleep.
PROGRAM = """
import atexit, os, sys, time
import allgrad as torch
import allgrad.distributed as dist
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.utils.data import DataLoader, Dataset

how, odd = sys.argv[1], os.environ["RANK"] == "1"

def wrong(*_):
    open("went-wrong", "w").write(str(time.time()))
    if how == "memory": raise MemoryError("no room for 1 TB")
    if how == "os._exit": os._exit(0)
    if how == "killed": os.kill(os.getpid(), 9)
    raise ValueError(f"broken {how}")

class Data(Dataset):
    def __len__(self): return 8
    def __getitem__(self, index):
        if index == 5 and odd and how == "loader": wrong()
        return torch.ones(2)

if how == "before the world":
    if odd: open("went-wrong", "w").write(str(time.time())); os._exit(0)
    dist.init_process_group()
dist.init_process_group()
model = DistributedDataParallel(torch.nn.Linear(2, 1))
if how == "hook" and odd: model.module.weight.register_hook(wrong)
if how == "at exit" and odd: atexit.register(wrong)
for batch in DataLoader(Data(), batch_size=2, num_workers=1):
    model(batch).sum().backward()
    if odd and how in ("memory", "os._exit", "killed"): wrong()
dist.barrier()
"""


@pytest.mark.parametrize(
    ("how", "codes", "text"),
    [
        ("hook", (1,), "ValueError: broken hook"),
        ("loader", (1,), "broken loader"),
        ("at exit", (1,), "ValueError: broken at exit"),
        ("memory", (1,), "MemoryError: no room for 1 TB"),
        ("os._exit", None, "allgrad: "),
        ("killed", (9, 137), "killed by SIGKILL"),
        ("before the world", None, "allgrad: "),
    ],
)
def test_the_job_is_over_soon_and_says_why(tmp_path: Path, how: str, codes: tuple[int, ...] | None, text: str) -> None:
    launcher()
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, PROGRAM), how, timeout_s=40)
    assert time.time() - float((tmp_path / "went-wrong").read_text()) < within(FAST_S)
    assert job.code in codes if codes else job.code != 0, job
    assert text in job.err.strip().splitlines()[-1], job.err
    assert (job.err.count(text) == 1 and "rank 1" in job.err) or codes != (1,), job.err
    wait_until_gone(str(tmp_path))


HANGS = """
import os, signal, sys, time
from allgrad.comm import launch_world
world = launch_world()
world.barrier()
open("went-wrong", "w").write(str(time.time()))
if world.rank == 1:
    if sys.argv[1] == "stopped": os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)
world.barrier("of epoch 3")
"""


@pytest.mark.parametrize("how", ["stopped", "asleep"])
def test_a_rank_that_hangs_ends_the_job_with_75(tmp_path: Path, how: str) -> None:
    launcher()
    job = run(tmp_path, "run", "-n", "2", "--timeout", "1", write(tmp_path, HANGS), how, timeout_s=40)
    assert time.time() - float((tmp_path / "went-wrong").read_text()) < within(1 + 3)
    assert job.code == 75, job
    assert "not arrived: rank 1; waiting: rank 0" in job.err and "of epoch 3" in job.err
    assert "exit code 75" in job.err.strip().splitlines()[-1]
    wait_until_gone(str(tmp_path))


LATE = """
import os, sys, time
open("went-wrong", "w").write(str(time.time()))
if os.environ["RANK"] == "1":
    time.sleep(60)
from allgrad.comm import launch_world
launch_world()
"""


def test_a_rank_that_hangs_before_the_world_ends_the_job_with_75(tmp_path: Path) -> None:
    """The others are in MPI_Init, where no Python thread of theirs runs."""
    launcher()
    job = run(tmp_path, "run", "-n", "2", "--timeout", "1", write(tmp_path, LATE), timeout_s=40)
    assert time.time() - float((tmp_path / "went-wrong").read_text()) < within(1 + 3)
    assert job.code == 75, job
    assert "rank 0 waited for the world as long as it may" in job.err and "not arrived: rank 1" in job.err
    assert "launch_world" in job.err  # where it waits
    wait_until_gone(str(tmp_path))
