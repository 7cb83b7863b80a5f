"""Distributed training, measured from inside one MPI job whose ranks belong to a gloo group of PyTorch as well.

So both sides are measured in turns on the same ranks.  ``mpirun -n N python benchmarks/ranks.py``; rank 0 prints one line of
JSON.  Times are wall seconds of the slowest rank, each turn between two barriers.  Without PyTorch its columns are left out.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from machine import has, one_thread
from workloads import Way, draws, gpt_model, labels, perceptron, resnet20_model, training

import allgrad
import allgrad.distributed as dist
from allgrad import fast
from allgrad.nn.parallel import DistributedDataParallel

Call = Callable[[], Any]
KIB = 1024
SIZES = (KIB, 16 * KIB, 64 * KIB, 256 * KIB, KIB**2, 4 * KIB**2, 16 * KIB**2, 64 * KIB**2)
WINDOW_SIZES = (4 * KIB**2, 16 * KIB**2, 64 * KIB**2)


def models(t: Any) -> dict[str, tuple[Any, Any, Any]]:
    """Model, inputs and targets of this rank."""
    return {
        "MLP-2048 b256": (perceptron(t, 784, 2048, 2048, 10), draws(t, 256, 784), labels(t, 256, 10)),
        "GPT d128 b4": (gpt_model(t), labels(t, 4 * 128, 65).view(4, 128), labels(t, 4 * 128, 65)),
        "ResNet-20 b32": (resnet20_model(t), draws(t, 32, 3, 32, 32), labels(t, 32, 10)),
    }


def optimizer(t: Any, model: Any) -> Any:
    fused = Way(True).fused if t is not allgrad else None
    return t.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=fused)


def steps(t: Any, wrap: Callable[[Any], Any], name: str) -> tuple[Call, Any]:
    """A training step of a wrapped model, and the wrapped model."""
    model, x, y = models(t)[name]
    wrapped = wrap(model)
    return training(t, wrapped, optimizer(t, model), x, y), wrapped


def compiled(step: Call) -> Call:
    """The step with compiled kernels."""

    def run() -> None:
        with fast.use(True):
            step()

    return run


class Bench:
    """The ranks of this job, and turns taken by all of them together."""

    def __init__(self) -> None:
        dist.init_process_group()
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.word = allgrad.zeros(1, dtype=allgrad.float64)
        self.torch: Any = None
        if has("torch") and "--alone" not in sys.argv:
            import torch
            import torch.distributed

            port = os.environ.get("ALLGRAD_BENCH_PORT", "29517")
            torch.distributed.init_process_group(
                "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=self.rank, world_size=self.size
            )
            self.torch = torch

    def slowest(self, seconds: float) -> float:
        self.word.fill_(seconds)
        dist.all_reduce(self.word, op=dist.ReduceOp.MAX)
        return float(self.word.item())

    def turns(self, calls: dict[str, Call], seconds: float, least: int = 5) -> dict[str, list[float]]:
        """Wall seconds per call of the slowest rank, all contenders in turns."""
        counts = {}
        for name, call in calls.items():
            call()
            call()
            dist.barrier()
            start = time.perf_counter()
            call()
            counts[name] = max(1, min(200, round(4e-3 / self.slowest(time.perf_counter() - start))))
        found: dict[str, list[float]] = {name: [] for name in calls}
        spent = 0.0
        order = list(calls)
        while spent < seconds or len(found[order[0]]) < least:
            for name in order:
                dist.barrier()
                start = time.perf_counter()
                for _ in range(counts[name]):
                    calls[name]()
                took = self.slowest(time.perf_counter() - start)
                found[name].append(took / counts[name])
                spent += took
            order.append(order.pop(0))
        return found

    # -- what is measured --------------------------------------------------------------------------

    def training(self, name: str, seconds: float) -> dict[str, Any]:
        """Step times of DDP here and in PyTorch, of a step without exchange, and how much of the exchange was hidden."""
        step, model = steps(allgrad, DistributedDataParallel, name)
        local, _ = steps(allgrad, lambda m: m, name)
        calls = {"allgrad": step, "allgrad, no exchange": local}
        if fast.installed():
            calls["allgrad, fast"] = compiled(steps(allgrad, DistributedDataParallel, name)[0])
        if self.torch is not None:
            t = self.torch
            calls["torch"] = steps(t, t.nn.parallel.DistributedDataParallel, name)[0]
            calls["torch, no exchange"] = steps(t, lambda m: m, name)[0]
        count = sum(p.numel() for p in model.parameters())
        gradient = allgrad.zeros(count)
        calls["exchange alone"] = lambda: dist.all_reduce(gradient)
        found = self.turns(calls, seconds)
        exposed = [a - b for a, b in zip(found["allgrad"], found["allgrad, no exchange"])]
        hidden = [1 - e / x for e, x in zip(exposed, found["exchange alone"])]
        return {
            "times": found,
            "hidden": statistics.median(hidden),
            "bytes of gradients": count * 4,
            "traffic": list(model.traffic),
        }

    def all_reduce(self, size: int, seconds: float) -> dict[str, list[float]]:
        """An all-reduce of ``size`` bytes: ours, MPI's, gloo's, and a copy of the same bytes."""
        from mpi4py import MPI

        mine = allgrad.ones(size // 4)
        plain, result = np.ones(size // 4, np.float32), np.empty(size // 4, np.float32)
        calls: dict[str, Call] = {
            "allgrad": lambda: dist.all_reduce(mine),
            "MPI": lambda: MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, plain),
            "copy": lambda: np.copyto(result, plain),
        }
        if self.torch is not None:
            theirs = self.torch.ones(size // 4)
            calls["gloo"] = lambda: self.torch.distributed.all_reduce(theirs)
        with np.errstate(all="ignore"):  # sums of sums grow out of float32
            return self.turns(calls, seconds)

    def in_window(self, size: int, seconds: float) -> dict[str, list[float]]:
        """The same of gradients that lie in the group's memory and are read there, as the buckets of a wrapped model are."""
        from mpi4py import MPI

        comm = dist.group.WORLD.comm
        buffer = comm.allocate(size)
        bucket, plain = buffer.array(np.float32), np.ones(size // 4, np.float32)
        bucket.fill(1)
        calls: dict[str, Call] = {
            "allgrad": lambda: comm.start_all_reduce(bucket, shared_result=True).wait(),
            "MPI": lambda: MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, plain),
        }
        with np.errstate(all="ignore"):
            found = self.turns(calls, seconds)
        buffer.free()
        return found

    def scaling(self, name: str, seconds: float) -> float:
        """Time of one rank alone, the others asleep, over the time of all ranks with the same batch each."""
        from mpi4py import MPI

        together, _ = steps(allgrad, DistributedDataParallel, name)
        local, _ = steps(allgrad, lambda m: m, name)
        together()
        local()
        shares = []
        begun = time.perf_counter()
        for _ in range(100):
            start = time.perf_counter()
            if self.rank == 0:
                local()
                local()
            alone = time.perf_counter() - start
            waiting = MPI.COMM_WORLD.Ibarrier()
            while not waiting.Test():
                if self.rank:
                    time.sleep(2e-3)
            start = time.perf_counter()
            together()
            together()
            took = self.slowest(time.perf_counter() - start)
            if self.rank == 0:
                shares.append(alone / took)
            if self.slowest(time.perf_counter() - begun) > seconds:  # the same answer on all ranks
                break
        return statistics.median(shares) if shares else 0.0


def main() -> None:
    """Everything, as JSON on rank 0."""
    one_thread()
    fast.set_enabled(False)
    seconds = float(os.environ.get("ALLGRAD_BENCH_SECONDS", "3"))
    bench = Bench()
    names = list(models(allgrad))
    result: dict[str, Any] = {"ranks": bench.size, "training": {}, "all_reduce": {}, "in_window": {}, "scaling": {}}
    for name in names:
        result["training"][name] = bench.training(name, 2 * seconds)
        result["scaling"][name] = bench.scaling(name, seconds)
    for size in SIZES:
        result["all_reduce"][size] = bench.all_reduce(size, seconds / 3)
    for size in WINDOW_SIZES:
        result["in_window"][size] = bench.in_window(size, seconds / 3)
    if bench.rank == 0:
        print(json.dumps(result), flush=True)
    if bench.torch is not None:
        bench.torch.distributed.destroy_process_group()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
