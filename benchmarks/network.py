"""All-reduce over a network: three nodes at 1 Gbit/s, ours against MPI's own and against what the wires allow.

The nodes are network namespaces of this machine, each with its own processes, /dev/shm and sshd (``tests/cluster_nodes.py``),
and ``tc`` holds what each of them sends down to 1 Gbit/s.  So this part needs Linux, root, ``ip``, ``tc``, OpenSSH's server and
client, pytest and an MPI; where something is missing it says what, and the last figures stay.  Less than a minute.

As a program it is one rank: ``allgrad run --hosts node1,node2,node3 network.py``; rank 0 prints one line of JSON.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import REPOSITORY

MIB = 1024**2
SIZES = (4 * MIB, 8 * MIB, 16 * MIB)
NODES = 3
GOAL = 1.25  # of the bound
BITS_PER_SECOND = 1e9
_TURNS = 9
_LIMIT_S = 120


def bound(nbytes: int, ranks: int) -> float:
    """Seconds for which each rank must send: 2 (n - 1) / n of its bytes, in whatever order."""
    return 2 * (ranks - 1) / ranks * nbytes * 8 / BITS_PER_SECOND


def measure() -> tuple[dict[str, Any] | None, str]:
    """What the job of three ranks has found, or None and why it could not be run."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    try:
        import pytest

        from cluster_nodes import Nodes, require_cluster, sh
    except ImportError as error:
        return None, f"{error.name} is not installed"
    finally:
        sys.path.remove(str(REPOSITORY / "tests"))
    try:
        require_cluster("tc")
    except pytest.skip.Exception as why:
        return None, str(why)
    with tempfile.TemporaryDirectory(prefix="allgrad-network-") as folder:
        shared = Path(folder)
        for name in ("network.py", "machine.py"):
            shutil.copy(REPOSITORY / "benchmarks" / name, shared)
        with Nodes(shared, NODES) as nodes:
            for name in nodes.names:
                # what a node sends; what it receives the others have sent
                sh("ip", "netns", "exec", nodes.net(name), "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf",
                   "rate", f"{BITS_PER_SECOND:.0f}bit", "burst", "256k", "latency", "50ms")  # fmt: skip
            job = nodes.allgrad("node1", "run", "--hosts", ",".join(nodes.names), "network.py")
            try:
                out, errors = job.communicate(timeout=_LIMIT_S)
            except subprocess.TimeoutExpired:
                job.kill()  # its processes end with their nodes
                job.communicate()
                return None, f"the job was not done after {_LIMIT_S} s"
    if job.returncode:
        return None, f"the job failed ({job.returncode}):\n{errors.decode(errors='replace')[-3000:]}"
    lines = out.decode(errors="replace").replace("\0", "").splitlines()
    return dict(json.loads(next(line for line in reversed(lines) if line.startswith("{")))), ""


def main() -> None:
    """One rank: turns of ours and MPI's, each between two barriers; times are those of the slowest rank."""
    import numpy as np
    from mpi4py import MPI

    import allgrad
    import allgrad.distributed as dist

    dist.init_process_group()
    world = MPI.COMM_WORLD
    ranks = dist.get_world_size()
    if len(set(world.allgather(MPI.Get_processor_name()))) != ranks:
        raise RuntimeError(f"{ranks} ranks are not on {ranks} nodes")
    rows: dict[int, dict[str, float]] = {}
    for size in SIZES:
        mine, plain = allgrad.zeros(size // 4), np.zeros(size // 4, np.float32)
        calls: dict[str, Callable[[], Any]] = {
            "allgrad": lambda mine=mine: dist.all_reduce(mine),
            "MPI": lambda plain=plain: world.Allreduce(MPI.IN_PLACE, plain),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(_TURNS + 1):
            for name, call in calls.items():
                world.Barrier()
                start = time.perf_counter()
                call()
                took = world.allreduce(time.perf_counter() - start, MPI.MAX)
                if turn:  # the first one pays for connections
                    times[name].append(took)
        rows[size] = {name: statistics.median(found) for name, found in times.items()}
    if dist.get_rank() == 0:
        print(json.dumps({"ranks": ranks, "seconds": rows}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
