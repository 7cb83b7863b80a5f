"""kill -9 of a rank, all ranks, mpirun or the launcher, in every phase and at random moments; every resume is compared."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from mpirun import find_mpirun
from torture.jobs import Run, Trouble, reference
from torture.task import Task

PER_RUN = 14  # kills of one training run, before it is let to its end
EVERY, EPOCHS = 3, "16"
# Phase -> the largest number of the event at which it is worth killing, within one start.
PHASES = {
    "start": 1, "built": 1, "resume": 1, "resume.open": 6, "resume.read": 8, "data": 7, "forward": 7,
    "backward": 7, "step": 7, "between": 7, "save.make_folder": 2, "save.create": 4, "save.write": 60, "save.sync": 4,
    "save.rename": 4, "save.sync_folder": 7, "save.remove": 3, "save.remove_folder": 1,
}  # fmt: skip
RANK_0_ONLY = ("save.make_folder", "save.rename", "save.sync_folder", "save.remove", "save.remove_folder")


def kills(task: Task) -> None:
    """``kills`` that landed, ``resumes`` that went on with the bits of the uninterrupted run."""
    wanted = task.some(200, 3)
    worlds = ("mpi", "virtual") if find_mpirun() else ("virtual",)
    wholes = {}
    number = 0
    phases = set()
    while min(task.done["kills"], task.done["resumes"]) < wanted:
        sharded, background = task.draw.random() < 0.4, task.draw.random() < 0.4
        options = ["--sharded"] * sharded
        if sharded not in wholes:
            wholes[sharded] = reference(task.folder / f"whole-{sharded}", "virtual", "--epochs", EPOCHS, *options)
        number += 1
        run = Run(
            task.folder / str(number),
            "--epochs",
            EPOCHS,
            "--every",
            str(EVERY),
            *options,
            *["--background"] * background,
        )
        for k in range(PER_RUN + 1):
            enough = min(task.done["kills"], task.done["resumes"]) >= wanted
            last = k == PER_RUN or enough
            world = "virtual" if last else task.draw.choice(worlds)
            plan = {} if last else drawn(task, world, k)
            try:
                landed, finished = one_start(task, run, world, plan, wholes[sharded], background)
            except Trouble as trouble:
                task.trouble(f"seed {task.seed}, run {number}, start {k} ({world}, {plan}): {trouble}")
                break
            if landed:
                phases.add(plan["phase"])
                task.worst = f"{len(phases)} of {len(PHASES) + 1} phases"
                task.ok("kills")
                task.done[f"by {plan['target']}"] += 1
            if finished:
                task.ok("runs to the end")
                break


def drawn(task: Task, world: str, k: int) -> dict[str, Any]:
    """Whom to kill when.  The first start of a run comes as far as a save or two."""
    target = task.draw.choice(["rank", "rank", "all", "mpirun", "launcher"]) if world == "mpi" else "all"
    if task.draw.random() < 0.2:
        return {"target": target, "after_s": task.draw.uniform(0.3, 3.0), "phase": "a random moment"}
    phase = task.draw.choice(list(PHASES)[9 if k == 0 else 0 :])
    at = task.draw.randint(1, PHASES[phase])
    rank = 0 if phase in RANK_0_ONLY else task.draw.randrange(2)
    return {"do": "kill", "target": target, "phase": phase, "at": at, "rank": rank}


def one_start(
    task: Task, run: Run, world: str, plan: dict[str, Any], whole: list[dict[int, str]], background: bool
) -> tuple[bool, bool]:
    """(the kill landed, the run came to its end); counts the resume.  Trouble if anything is not as promised."""
    safe = safe_step(run, world, background)
    if "after_s" in plan:
        job = run.start(world)
        time.sleep(plan["after_s"])
        landed = job.poll() is None and hit(plan["target"], job.pid, run.folder)
        ended = run.end(job)
    else:
        ended = run.go(world, plan)
        landed = ended.harmed
    if landed and ended.code == 0:
        # With the last save behind it, a rank may lose its launcher and be done all the same.
        landed = False
        if safe_step(run, world, background) < 60:
            raise Trouble(f"exit code 0 after a kill\n{ended.err}")
    if not landed and ended.code != 0:
        raise Trouble(f"exit code {ended.code} without a kill\n{ended.err[-3000:]}")
    if "damaged" in ended.err:
        raise Trouble(f"a kill alone damages nothing\n{ended.err[-3000:]}")
    begun = run.compare(world, whole)
    if begun:
        if min(begun) != max(begun):
            raise Trouble(f"the ranks went on at different steps: {begun}")
        if begun[0] < safe:
            raise Trouble(f"went on at step {begun[0]}, although step {safe} had been saved")
        if begun[0]:
            task.done["resumes"] += 1
    return landed, not landed and ended.code == 0


def safe_step(run: Run, world: str, background: bool) -> int:
    """The newest step that must be on the disk, judging by what the ranks wrote down."""
    reached = max((row[1] for rows in run.traces(world) for row in rows), default=0)
    step = reached // EVERY * EVERY
    ended = any(row[0] == "ended" for rows in run.traces(world) for row in rows)
    return max(0, step - EVERY) if background and not ended else step


def hit(target: str, launcher: int, folder: Path) -> bool:
    """kill -9 from outside; False if there was nobody to hit."""
    pids = [int(p.read_text()) for p in folder.glob("pid-*") if p.read_text()]
    children = Path(f"/proc/{launcher}/task/{launcher}/children")
    if target == "launcher":
        pids = [launcher]
    elif target == "mpirun":
        pids = [int(p) for p in children.read_text().split()] if children.exists() else []
    elif target == "rank":
        pids = pids[-1:]
    found = False
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            found = True
        except ProcessLookupError:
            continue  # it has ended
    return found
