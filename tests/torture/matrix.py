"""What a rank can do wrong x where x which rank x which world: the job ends, in time, with the right code and words."""

from __future__ import annotations

import shutil

from mpirun import find_mpirun, within
from torture.jobs import Ended, Run, Trouble, reference
from torture.task import Task

PHASES = (
    "start", "built", "resume", "resume.open", "data", "forward", "backward", "step", "between", "save.create", "save.write",
    "save.sync", "end", "over",
)  # fmt: skip
HOWS = {
    "mpi": ("throw", "exit", "hang", "vanish", "thread", "slow"),
    "virtual": ("throw", "exit", "memory", "slow"),
    "single": ("throw", "exit"),
}
# Behind destroy_process_group() nobody watches: docs/reliability.md says so.
UNWATCHED = (("hang", "over"),)
TIMEOUT_S = 2
AFTER_S = 5.0  # from the failure to the end of the job
HUNG = 75


def matrix(task: Task) -> None:
    """``cells``."""
    worlds = [w for w in HOWS if w != "mpi" or find_mpirun()]
    cells = [
        (world, how, phase, rank)
        for world in worlds
        for how in HOWS[world]
        for phase in PHASES
        for rank in ((0,) if world == "single" else (0, 1))
        if world != "mpi" or (how, phase) not in UNWATCHED
    ]
    task.draw.shuffle(cells)
    wholes = {w: reference(task.folder / f"whole-{w}", w) for w in ("virtual", "single")}
    for ranks in ("virtual", "single"):  # something to resume from
        Run(task.folder / f"base-{ranks}").go(
            ranks, {"do": "kill", "target": "rank", "rank": 0, "phase": "between", "at": 8}
        )
    slowest = 0.0
    for number, (world, how, phase, rank) in enumerate(cells[: task.some(len(cells), 4)]):
        run = Run(task.folder / f"cell-{number}")
        base = task.folder / f"base-{'single' if world == 'single' else 'virtual'}"
        shutil.copytree(base / "run", run.folder / "run")
        plan = {"do": how, "rank": rank, "phase": phase, "at": 1 if phase.startswith(("r", "s", "b", "o", "e")) else 2}
        began_s = 0.0
        try:
            ended = run.go(world, plan, ("--timeout", str(TIMEOUT_S)) if how == "hang" else ())
            began_s = ended.after_harm_s
            check(world, how, phase, rank, ended)
            run.compare(world, wholes["single" if world == "single" else "virtual"])
        except Trouble as trouble:
            task.trouble(f"{world}, {how} in {phase} on rank {rank}: {trouble}")
            continue
        finally:
            shutil.rmtree(run.folder)
        slowest = max(slowest, began_s) if how not in ("slow", "hang") else slowest
        task.worst = f"slowest end {slowest:.1f} s after the failure"
        task.done[f"{world}"] += 1
        task.ok("cells")


def check(world: str, how: str, phase: str, rank: int, ended: Ended) -> None:
    """Trouble unless the exit code, the words and the time are right."""

    def expect(good: bool, what: str) -> None:
        if not good:
            raise Trouble(f"{what}; exit code {ended.code}, {ended.after_harm_s:.1f} s\n{ended.err[-1500:]}")

    expect(ended.harmed, "the moment did not come")
    if how == "slow":
        expect(ended.code == 0, "a slow rank is no failure")
        return
    limit_s = AFTER_S + (TIMEOUT_S if how == "hang" else 0)
    expect(ended.after_harm_s < within(limit_s), f"it should have taken {limit_s:.0f} s")
    if how in ("throw", "memory", "thread"):
        expect(ended.code == 1, "expected exit code 1")
        expect(f"torture in {phase}" in ended.err, "the reason is not told")
        expect(world == "single" or f"rank {rank}" in ended.err, "the rank is not named")
    elif how == "exit":
        expect(ended.code == 3, "expected exit code 3")
    elif how == "vanish":
        expect(ended.code != 0 and "allgrad:" in ended.err, "os._exit(0) is no success")
    else:
        expect(ended.code == HUNG, "expected exit code 75")
        told = "as long as it may" if phase == "start" and world == "mpi" else f"the limit is {TIMEOUT_S} s"
        expect(told in ended.err, "the watchdog said nothing")
