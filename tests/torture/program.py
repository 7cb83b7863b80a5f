"""A training run that harms itself at one moment, and writes down what it holds after every step.

``--plan '{"do": "kill", "rank": 1, "phase": "save.rename", "at": 3}'`` does it when rank 1 comes to its third rename of a
save.  Every start appends to ``trace-R.jsonl`` a line for each step: the digest of parameters, optimizer, schedule, random
numbers, losses and samples.  Two runs are equal bit for bit if and only if these lines are.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import allgrad as torch
import allgrad.distributed as dist
from allgrad.checkpoint import CheckpointManager, Disk
from allgrad.checkpoint.sections import Section
from allgrad.nn import functional as F
from checkpoint_bodies import build

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--every", type=int, default=3)
parser.add_argument("--background", action="store_true")
parser.add_argument("--sharded", action="store_true")
parser.add_argument("--pause", type=float, default=0.0)
parser.add_argument("--plan", type=json.loads, default={})
args = parser.parse_args()
rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


class Harm:
    """Counts the events of each phase, and does what the plan says at the one it names."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan, self.seen, self.inside = plan, Counter[str](), "save"

    def __call__(self, phase: str) -> None:
        self.seen[phase] += 1
        plan = self.plan
        if plan.get("phase") == phase and plan["rank"] == rank and self.seen[phase] == plan["at"]:
            (args.out / f"harmed-{rank}").write_text(str(time.time()))
            os.replace(args.out / f"harmed-{rank}", args.out / "harmed")
            getattr(self, plan["do"])(plan)

    def kill(self, plan: dict[str, Any]) -> None:
        """kill -9 of this rank, of all ranks, of mpirun or of the launcher."""
        for pid in victims(plan.get("target", "rank")):
            os.kill(pid, signal.SIGKILL)
        if plan.get("target", "rank") != "rank":
            time.sleep(plan.get("pause", 0.0))

    def signal(self, plan: dict[str, Any]) -> None:
        """A signal that asks for a checkpoint, perhaps several of them."""
        for _ in range(plan.get("times", 1)):
            for pid in victims(plan.get("target", "rank")):
                os.kill(pid, plan["number"])
        time.sleep(plan.get("pause", 0.0))

    def throw(self, plan: dict[str, Any]) -> None:
        raise RuntimeError(f"torture in {plan['phase']}")

    def memory(self, plan: dict[str, Any]) -> None:
        raise MemoryError(f"torture in {plan['phase']}")

    def exit(self, plan: dict[str, Any]) -> None:
        sys.exit(3)

    def vanish(self, plan: dict[str, Any]) -> None:
        os._exit(0)

    def hang(self, plan: dict[str, Any]) -> None:
        time.sleep(600)

    def slow(self, plan: dict[str, Any]) -> None:
        time.sleep(0.3)

    def thread(self, plan: dict[str, Any]) -> None:
        def broken() -> None:
            raise RuntimeError(f"torture in {plan['phase']}")

        t = threading.Thread(target=broken)
        t.start()
        t.join()


def victims(target: str) -> list[int]:
    """Process numbers: of this rank, of all ranks (this one last), of another rank, of mpirun or the launcher."""
    me = os.getpid()
    pids = {int(p.name[4:]): int(p.read_text()) for p in args.out.glob("pid-*")}
    if target == "rank":
        return [me]
    if target == "all":
        return [*(p for p in pids.values() if p != me), me]
    if target == "others":
        return [p for p in pids.values() if p != me]
    line, pid = [], me
    while pid > 1:
        line.append(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if b"-m\0allgrad\0run" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return [pid] if target == "launcher" else [line[-1]]
    return [me]  # no launcher above: a plain process


class WatchedDisk(Disk):
    """The real disk; every operation is an event."""

    def _event(self, what: str) -> None:
        harm(f"{harm.inside}.{what}")

    def make_folder(self, path: str) -> None:
        self._event("make_folder")
        super().make_folder(path)

    def create(self, path: str) -> int:
        self._event("create")
        return super().create(path)

    def write(self, handle: int, data: Any) -> int:
        # In two pieces, so that a kill may leave a torn write.
        if len(data) > 1:
            data = data[: len(data) // 2]
        self._event("write")
        return super().write(handle, data)

    def sync(self, handle: int) -> None:
        self._event("sync")
        super().sync(handle)

    def rename(self, old: str, new: str) -> None:
        self._event("rename")
        super().rename(old, new)

    def remove(self, path: str) -> None:
        self._event("remove")
        super().remove(path)

    def remove_folder(self, path: str) -> None:
        self._event("remove_folder")
        super().remove_folder(path)

    def sync_folder(self, path: str) -> None:
        self._event("sync_folder")
        super().sync_folder(path)

    def open(self, folder: str, name: str) -> int:
        self._event("open")
        return super().open(folder, name)

    def read(self, handle: int, count: int, at: int) -> bytes:
        self._event("read")
        return super().read(handle, count, at)


harm = Harm(args.plan)
args.out.mkdir(parents=True, exist_ok=True)
(args.out / f"pid-{rank}").write_text(str(os.getpid()))
harm("start")
random.seed(5)  # virtual ranks share these two, so only a single process draws from them
np.random.seed(5)
dist.init_process_group()
harm.inside = "made"
parts = build(sharded=args.sharded)
harm("built")
manager = CheckpointManager(
    args.out / "run", keep=2, every=args.every, background=args.background, disk=WatchedDisk()
).track(**parts)
harm.inside = "resume"
harm("resume")
manager.resume("auto")
harm.inside = "save"
log = manager.values.setdefault("log", [])


def trace(kind: str) -> None:
    """One line with the digest of everything that training depends on."""
    own = {name: thing.state_dict() for name, thing in parts.items() if name in ("model", "scheduler")}
    optimizer = parts["optimizer"]
    own["optimizer"] = optimizer.local_state_dict() if args.sharded else optimizer.state_dict()
    drawn = [torch.get_rng_state(), random.getstate(), list(np.random.get_state())]
    digest = Section("all", {**own, "log": log, "rng": drawn, "steps": manager.steps}).digest()
    with open(args.out / f"trace-{rank}.jsonl", "a") as file:
        file.write(json.dumps([kind, manager.steps, digest]) + "\n")


trace("begun")
for epoch in range(manager.values.get("epoch", 0), args.epochs):
    manager.values["epoch"] = epoch
    for which, inputs, targets in parts["loader"]:
        harm("data")
        parts["optimizer"].zero_grad()
        harm("forward")
        hidden = parts["model"](inputs)
        hidden.register_hook(lambda g: harm("backward"))
        loss = F.cross_entropy(hidden, targets)
        loss.backward()
        harm("step")
        parts["optimizer"].step()
        parts["scheduler"].step()
        log.append([loss.item(), which.tolist(), *([random.random(), float(np.random.random())] if size == 1 else [])])
        time.sleep(args.pause)
        harm("between")
        manager.step(loss=loss.item())
        trace("step")
harm("end")
trace("closing")
manager.close()  # gives the signals back
trace("ended")
dist.destroy_process_group()
torch.manual_seed(0)
harm("over")
