"""The power fails after any operation of a save: the old checkpoint or the new one loads, and after it the new one."""

from __future__ import annotations

from typing import Any

import pytest

from allgrad.checkpoint import CheckpointManager
from allgrad.comm import launch_world, run_virtual
from checkpoint_disks import PowerDisk
from test_checkpoint_damage import model_of, value_in


def save_twice(disk: PowerDisk, size: int, background: bool) -> int:
    """Two saves of ``size`` ranks; how many changes the first one and its preparation took."""
    first = []

    def body() -> Any:
        manager = CheckpointManager("/run", keep=1, disk=disk, signals=False, background=background)
        for value in (1.0, 2.0):
            manager._objects = {"model": model_of(value)}
            manager.save(step=int(value))
            manager.wait()
            if launch_world().rank == 0:
                first.append(len(disk.log))

    run_virtual(body, size)
    return first[0]


@pytest.mark.parametrize(("size", "background"), [(1, False), (2, False), (3, False), (2, True)])
def test_old_or_new_whatever_survives(size: int, background: bool) -> None:
    disk = PowerDisk()
    begin = save_twice(disk, size, background)
    seen = set()
    for k in range(begin, len(disk.log) + 1):
        for names_survive in (False, True):
            for bytes_survive in (False, True):
                value, step = value_in("/run", disk.after_power_loss(k, names_survive, bytes_survive))
                assert (value, step) in ((1.0, 1), (2.0, 2)), (k, disk.log[k - 1])
                seen.add((k == len(disk.log), step))
    assert seen == {(False, 1), (False, 2), (True, 2)}
