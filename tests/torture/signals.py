"""Signals that ask for a checkpoint: in every phase, twice, in the middle of a save, to ranks that wait in an all-reduce."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

from mpirun import find_mpirun, within
from torture.jobs import Ended, Run, Trouble, reference
from torture.task import Task

PER_RUN = 10  # preemptions of one training run, before it is let to its end
EPOCHS = "20"
PREEMPTED = 75
FAST_S = 5.0  # from the signal to the end of the job
PHASES = {
    "resume": 1, "resume.open": 4, "resume.read": 6, "data": 6, "forward": 6, "backward": 6, "step": 6, "between": 6,
    "save.make_folder": 1, "save.create": 3, "save.write": 30, "save.sync": 3, "save.rename": 2, "save.sync_folder": 4,
    "save.remove": 2,
}  # fmt: skip
RANK_0_ONLY = ("save.make_folder", "save.rename", "save.sync_folder", "save.remove")
NUMBERS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


def signals(task: Task) -> None:
    """``preempted`` jobs that left with code 75 in time, and ``resumed bit for bit`` after it."""
    wanted = task.some(100, 3)
    wholes: dict[bool, Any] = {}
    number, slowest = 0, 0.0
    phases = set()
    while min(task.done["preempted"], task.done["resumed bit for bit"]) < wanted:
        number += 1
        alone = task.draw.random() < 0.25
        if alone not in wholes:
            wholes[alone] = reference(
                task.folder / f"whole-{alone}", "single" if alone else "virtual", "--epochs", EPOCHS
            )
        background = task.draw.random() < 0.4
        run = Run(task.folder / str(number), "--epochs", EPOCHS, *["--background"] * background)
        saved = None
        for k in range(PER_RUN + 1):
            enough = min(task.done["preempted"], task.done["resumed bit for bit"]) >= wanted
            world = "single" if alone else task.draw.choice(["mpi", "virtual"] if find_mpirun() else ["virtual"])
            last = k == PER_RUN or enough
            plan = {} if last else drawn(task, world, k)
            try:
                if "after_s" in plan:
                    ended, fast_s = at_a_random_moment(run, world, plan)
                else:
                    ended = run.go(world, plan)
                    fast_s = ended.after_harm_s
                stopped = judge(run, world, ended, last, fast_s, plan)
                begun = run.compare(world, wholes[alone])
                if saved is not None and begun:
                    if set(begun) != {saved}:
                        raise Trouble(f"saved at step {saved}, went on at {begun}")
                    task.done["resumed bit for bit"] += 1
                if begun:
                    saved = None
            except Trouble as trouble:
                task.trouble(f"seed {task.seed}, run {number}, start {k} ({world}, {plan}): {trouble}")
                break
            if stopped is not None:
                saved, slowest = stopped, max(slowest, fast_s)
                phases.add(plan["phase"])
                task.worst = f"{len(phases)} of {len(PHASES) + 1} phases, slowest {slowest:.1f} s after the signal"
                task.ok("preempted")
            if ended.code == 0:
                task.ok("runs to the end")
                break


def drawn(task: Task, world: str, k: int) -> dict[str, Any]:
    """Which signal when, to whom, how often; with a pause the others wait for this rank in the meantime."""
    number = int(task.draw.choice(NUMBERS))
    if task.draw.random() < 0.15:
        return {"after_s": task.draw.uniform(0.5, 4.0), "phase": "a random moment", "number": number}
    target = task.draw.choice(["rank", "all", "others", "launcher"]) if world == "mpi" else "rank"
    phase = task.draw.choice(list(PHASES)[3 if k == 0 else 0 :])
    rank = 0 if phase in RANK_0_ONLY or world == "single" else task.draw.randrange(2)
    return {
        "do": "signal", "number": number, "target": target, "phase": phase, "at": task.draw.randint(1, PHASES[phase]),
        "rank": rank, "times": task.draw.choice([1, 2]), "pause": task.draw.choice([0.0, 0.0, 0.3]),
    }  # fmt: skip


def at_a_random_moment(run: Run, world: str, plan: dict[str, Any]) -> tuple[Ended, float]:
    """The launcher (or the process) gets the signal; (how it ended, how long after)."""
    job = run.start(world)
    time.sleep(plan["after_s"])
    began = time.monotonic()
    if job.poll() is None:
        os.kill(job.pid, plan["number"])
        (run.folder / "harmed").write_text("0")
    ended = run.end(job)
    return ended, time.monotonic() - began


def judge(run: Run, world: str, ended: Ended, last: bool, fast_s: float, plan: dict[str, Any]) -> int | None:
    """The step at which all ranks stopped; None if the job came to its end or was hit when it did not listen."""
    new = [row for rank, rows in enumerate(run.traces(world)) for row in rows[run._read.get(rank, 0) :]]
    # A random moment may lie behind close(), which gives the signals back.
    if (
        "after_s" in plan
        and ended.code in (128 + plan["number"], -plan["number"])
        and any(kind == "closing" for kind, *_ in new)
    ):
        return None
    early = len(run.traces(world)[0]) == run._read.get(0, 0)  # no rank had resumed
    if ended.code == PREEMPTED:
        if fast_s > within(FAST_S):
            raise Trouble(f"{fast_s:.1f} s from the signal to the end")
        found = re.search(r"all ranks stop after step (\d+), saved as (\S+);", ended.err)
        if not found or not (run.folder / "run" / found[2] / "manifest.json").exists():
            raise Trouble(f"code 75, and no checkpoint\n{ended.err[-2000:]}")
        return int(found[1])
    if ended.code == 0:
        if ended.harmed and not any(row[0] == "ended" for row in run.traces(world)[0]):
            raise Trouble(f"exit code 0 after a signal\n{ended.err[-2000:]}")
        return None
    if last or not ended.harmed or not early:
        raise Trouble(f"exit code {ended.code}\n{ended.err[-2000:]}")
    return None
