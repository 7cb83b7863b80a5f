"""The rows of the table of docs/reliability.md, by name."""

from __future__ import annotations

from collections.abc import Callable

from torture.kills import kills
from torture.task import Task

ROWS: dict[str, Callable[[Task], None]] = {"kills": kills}
