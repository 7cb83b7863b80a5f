"""Run rows of the table and print what they found; the seed printed first replays it with ``--seed``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from torture.rows import ROWS
from torture.task import Enough, Task


def run_row(name: str, seed: int, share: float, budget_s: float) -> Task:
    """One row to its end; an exception is a trouble like any other."""
    with tempfile.TemporaryDirectory(prefix=f"torture-{name}-", ignore_cleanup_errors=True) as folder:
        task = Task(name, seed, Path(folder), share, budget_s)
        try:
            ROWS[name](task)
        except Enough:
            task.worst = f"{task.worst} stopped by the time limit or after too many troubles".strip()
        except Exception:
            task.troubles.append(traceback.format_exc())
        return task


def main() -> int:
    """0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**31, help="what is drawn (default: the clock)")
    parser.add_argument("--only", action="append", choices=list(ROWS), metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--budget", type=float, default=3600.0, metavar="S", help="seconds for each row (default 3600)")
    parser.add_argument("--share", type=float, default=1.0, help="part of the full size (default 1.0)")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    bad = 0
    for name in args.only or ROWS:
        began = time.monotonic()
        task = run_row(name, args.seed, args.share, args.budget)
        bad += bool(task.troubles)
        judgement = "FOUND SOMETHING" if task.troubles else "skipped" if task.skipped else "ok"
        print(f"{name:12} {judgement:8} {time.monotonic() - began:6.0f} s  {task.figure()}", flush=True)
        for text in task.troubles:
            print(f"    {text}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
