"""Saving while training goes on: trouble reaches all ranks at the next step, and the last save is never lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as torch
from allgrad.checkpoint import CheckpointManager, Disk
from allgrad.comm import launch_world, run_virtual
from allgrad.errors import CheckpointError
from checkpoint_disks import FailingDisk
from mpirun import SOURCE, mpirun, within


class HeldDisk(Disk):
    """No file is made before ``released`` is set."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def create(self, path: str) -> int:
        assert self.released.wait(within(20))
        return super().create(path)


def test_training_may_change_what_is_being_written(tmp_path: Path) -> None:
    model = torch.nn.Linear(50, 50)
    before = model.weight.detach().numpy().copy()
    disk = HeldDisk()
    manager = CheckpointManager(str(tmp_path), background=True, disk=disk, signals=False).track(model=model)
    manager.save(step=1)  # returns although nothing can be written
    assert not list(tmp_path.glob("*/manifest.json"))
    with torch.no_grad():
        model.weight.fill_(0)
    disk.released.set()
    manager.step()
    manager.close()
    other = torch.nn.Linear(50, 50)
    found = CheckpointManager(str(tmp_path), signals=False).track(model=other).resume()
    assert found is not None and found.step == 1
    assert np.array_equal(other.weight.detach().numpy(), before)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("how", ["step", "save", "close"])
def test_errors_reach_all_ranks(tmp_path: Path, size: int, how: str) -> None:
    def body() -> Any:
        last = launch_world().rank == size - 1
        model = torch.nn.Linear(3, 3)
        manager = CheckpointManager(str(tmp_path), signals=False).track(model=model)
        manager.save(step=1)
        manager.background = True
        manager._folder.disk = FailingDisk(4 if size == 1 else 1) if last else Disk()
        manager.save(step=2)
        with pytest.raises(CheckpointError, match=r"step 2 could not be saved: rank \d on .*No space") as caught:
            if how == "step":
                for _ in range(2000):
                    time.sleep(0.001)
                    manager.step()
            elif how == "save":
                manager.save(step=3)
            else:
                manager.wait()
        manager._folder.disk = Disk()
        assert manager.save(step=4).endswith("step-4")  # training goes on, and so do checkpoints
        manager.close()
        return str(caught.value)

    texts = run_virtual(body, size)
    assert len(set(texts)) == 1 and "save-00000001-step-1 is untouched" in texts[0]
    assert sorted(p.name[-6:] for p in tmp_path.iterdir()) == ["latest", "step-1", "step-4"]


PROGRAM = """
import sys, time
import allgrad as torch
from allgrad.checkpoint import CheckpointManager, Disk

class Slow(Disk):
    def sync(self, handle):
        time.sleep(0.1)
        if {fails}:
            raise OSError(28, "No space left on device")
        super().sync(handle)

torch.manual_seed(0)
manager = CheckpointManager(sys.argv[1], background=True, disk=Slow())
manager.track(model=torch.nn.Linear(3, 3)).save(step=7)
{end}
"""


def run(folder: Path, fails: bool, end: str) -> Any:
    where = os.environ | {"PYTHONPATH": SOURCE, "OPENBLAS_NUM_THREADS": "1"}
    text = PROGRAM.format(fails=fails, end=end)
    return subprocess.run(
        [sys.executable, "-c", text, str(folder)], capture_output=True, text=True, timeout=within(20), env=where
    )


@pytest.mark.parametrize("end", ["", "sys.exit(0)"])
def test_the_end_of_the_program_waits_for_the_last_save(tmp_path: Path, end: str) -> None:
    ended = run(tmp_path, False, end)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "save-00000001-step-7" / "manifest.json").exists()


def test_a_last_save_that_failed_is_no_success(tmp_path: Path) -> None:
    ended = run(tmp_path, True, "")
    assert ended.returncode == 1
    assert "step 7 could not be saved: rank 0: No space left on device" in ended.stderr


MPI_PROGRAM = """
import sys, hashlib
sys.path.insert(0, {tests!r})
import allgrad as torch
import checkpoint_bodies as bodies
from checkpoint_disks import FailingDisk
from allgrad.checkpoint import CheckpointManager
from allgrad.comm import launch_world
from allgrad.errors import CheckpointError

folder = sys.argv[1]
bodies.train(folder=folder, sharded=True, stop=5, background=True)
log = bodies.train(folder=folder, sharded=True, background=True)
world = launch_world()
texts = []
for background in (False, True):
    manager = CheckpointManager(folder + "x", background=background, signals=False)
    manager.track(model=torch.nn.Linear(3, 3))
    manager._folder.disk = FailingDisk(1 if world.rank == 1 else -1)
    try:
        manager.save(step=1)
        manager.wait()
    except CheckpointError as error:
        texts.append(str(error))
try:  # ranks that see different folders
    CheckpointManager(folder + str(world.rank), signals=False)
except CheckpointError as error:
    texts.append(str(error))
print("rank", world.rank, log["resumed"], hashlib.sha256(log["flat"].tobytes()).hexdigest(), repr(texts), flush=True)
# Ends with a save under way.
bodies.dist.init_process_group()
CheckpointManager(folder + "y", background=True).track(model=torch.nn.Linear(300, 300)).save(step=9)
"""


def test_three_mpi_ranks(tmp_path: Path) -> None:
    """Resume, trouble and the end of the program as in the virtual world, with the same bits."""
    import hashlib

    import checkpoint_bodies as bodies

    program = tmp_path / "program.py"
    program.write_text(MPI_PROGRAM.format(tests=str(Path(__file__).parent)))
    ended = mpirun(3, str(program), str(tmp_path / "run"), timeout_s=within(30))
    assert ended.code == 0, ended.err
    whole = run_virtual(bodies.train, 3, folder=str(tmp_path / "virtual"), sharded=True)
    rows = sorted(line.split(maxsplit=4) for line in ended.out.splitlines() if line.startswith("rank"))
    assert [row[2] for row in rows] == ["3"] * 3
    assert [row[3] for row in rows] == [hashlib.sha256(w["flat"].tobytes()).hexdigest() for w in whole]
    assert len({row[4] for row in rows}) == 1 and rows[0][4].count("rank 1 on ") == 3, rows
    assert "is not the same folder on all ranks" in rows[0][4]
    assert (tmp_path / "runy" / "save-00000001-step-9" / "manifest.json").exists()
