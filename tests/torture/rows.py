"""The rows of the table of docs/reliability.md, by name."""

from __future__ import annotations

from collections.abc import Callable

from torture.damage import damage
from torture.disks import disks, full
from torture.fuzz import fuzz
from torture.kills import kills
from torture.matrix import matrix
from torture.power import power
from torture.signals import signals
from torture.suites import cluster, guards
from torture.task import Task

ROWS: dict[str, Callable[[Task], None]] = {
    "kills": kills,
    "disks": disks,
    "power": power,
    "damage": damage,
    "full": full,
    "matrix": matrix,
    "signals": signals,
    "fuzz": fuzz,
    "guards": guards,
    "cluster": cluster,
}
