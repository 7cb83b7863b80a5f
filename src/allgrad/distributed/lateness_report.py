"""The ranks' times side by side: which rank is late, and in which module."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import Any

from allgrad.comm import Communicator
from allgrad.distributed.lateness import Lateness
from allgrad.errors import ArgumentError

NOTABLE = 0.1  # a rank is late if it works longer than the others by more than this share


@dataclass(frozen=True)
class LateReport:
    """Times in seconds per step, a row for each rank; ``str()`` is a table with the verdict in words."""

    kind: str
    rows: list[dict[str, Any]]
    late_rank: int | None  # None: no rank is notably later than the others
    part: str  # where the late rank lost most against the others
    lost_s: float

    @property
    def verdict(self) -> str:
        """One sentence."""
        if len(self.rows) == 1:
            return "one rank waits for nobody"
        if self.kind == "virtual":
            return "virtual ranks take turns in one process: these times say nothing about who is late"
        if not all(row["steps"] for row in self.rows):
            return "no step was measured; the first one does not count"
        if self.late_rank is None:
            return f"no rank is late: they work alike to {NOTABLE:.0%}"
        row = self.rows[self.late_rank]
        where = self.part if self.part.startswith("outside") else f"in the {self.part}"
        return (
            f"rank {self.late_rank} is late: it works {1e3 * row['work']:.2f} ms a step and waits {1e3 * row['wait']:.2f} ms; "
            f"against the others it loses most, {1e3 * self.lost_s:.2f} ms, {where}"
        )

    def __str__(self) -> str:
        lines = ["rank   steps   work ms   wait ms"]
        lines += [
            f"{r:4d} {row['steps']:7d} {1e3 * row['work']:9.2f} {1e3 * row['wait']:9.2f}"
            for r, row in enumerate(self.rows)
        ]
        lines.append("bucket, filled by: ready after ms / waited ms, by rank")
        for b, (number, name, *_) in enumerate(self.rows[0]["buckets"]):
            times = [row["buckets"][b][2:] for row in self.rows if b < len(row["buckets"])]
            lines.append(f"{number:4d}  {name}: " + ", ".join(f"{1e3 * r:.2f} / {1e3 * w:.2f}" for r, w in times))
        return "\n".join([*lines, self.verdict])


def late_report(model: Any) -> LateReport:
    """The report of a model wrapped by DistributedDataParallel, the same on every rank.  Collective.

    Measured since ``model.measure_lateness()``, or from the start under ``ALLGRAD_REPORT=late``.
    """
    late: Lateness | None = getattr(model, "late", None)
    if late is None:
        raise ArgumentError(
            "nothing was measured: call model.measure_lateness() on a DistributedDataParallel model before training, on "
            "every rank, or start the program with ALLGRAD_REPORT=late"
        )
    comm: Communicator = model.reducer.comm
    texts = comm.all_gather_bytes(json.dumps(late.row()).encode(), label="late report")
    return judge(comm.kind, [json.loads(text) for text in texts])


def judge(kind: str, rows: list[dict[str, Any]]) -> LateReport:
    """The late rank is the one that works longest, if notably longer than the median of the others."""
    if len(rows) == 1 or kind == "virtual" or not all(row["steps"] for row in rows):
        return LateReport(kind, rows, None, "", 0.0)
    slow = max(range(len(rows)), key=lambda r: float(rows[r]["work"]))
    others = [row for r, row in enumerate(rows) if r != slow]
    usual = statistics.median(row["work"] for row in others)
    if rows[slow]["work"] <= usual * (1 + NOTABLE):
        return LateReport(kind, rows, None, "", 0.0)
    lost = {
        part: spent - statistics.median(row["parts"].get(part, 0.0) for row in others)
        for part, spent in rows[slow]["parts"].items()
    }
    part = max(lost, key=lambda name: lost[name])
    return LateReport(kind, rows, slow, part, lost[part])
