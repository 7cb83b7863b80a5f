"""Facts about a running world: what the launcher promised, what each rank found, how fast they talk.

Only data; ``allgrad doctor`` judges it.  Collective: every rank calls, and every rank gets the facts of all.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from allgrad.comm import Communicator
from allgrad.comm.launchenv import detect
from allgrad.threads import blas_threads
from allgrad.version import __version__


def own_facts(comm: Communicator) -> dict[str, Any]:
    """What this rank knows without asking the others.

    ``promised_size`` is the launcher's (None without launcher), ``cores`` those of the affinity mask (a container's quota
    is not in it), ``blas_threads`` of one product, ``shm_free_bytes`` of /dev/shm (None where there is none).
    """
    promised = detect()
    shared = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
    return comm.describe() | {
        "rank": comm.rank,
        "local_rank": comm.local_rank,
        "launcher": promised.launcher,
        "promised_rank": promised.rank if promised.launcher else None,
        "promised_size": promised.size if promised.launcher else None,
        "pid": os.getpid(),
        "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1)),
        "blas_threads": blas_threads(),
        "shm_free_bytes": shared.f_bavail * shared.f_frsize if shared is not None else None,
        "timeout_s": getattr(comm, "timeout_s", None),
        "versions": {"allgrad": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "interpreter": sys.executable,
    }  # fmt: skip


def gather_facts(comm: Communicator, extra: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The facts of every rank, in rank order; ``extra`` (JSON-able) is added to this rank's.

    Beside ``own_facts`` each has ``clock_s``, the time of day right after a barrier, and of its node ``node_ranks``,
    ``node_cores`` (distinct ones of all its ranks' masks) and ``node_threads`` (BLAS threads of all its ranks).
    """
    comm.barrier("clocks")
    clock_s = time.time()
    mine = own_facts(comm) | {"clock_s": clock_s} | dict(extra or {})
    ranks: list[dict[str, Any]] = [
        json.loads(text) for text in comm.all_gather_bytes(json.dumps(mine).encode(), label="facts of the ranks")
    ]
    members: Counter[str] = Counter(facts["host"] for facts in ranks)
    for facts in ranks:
        here = [other for other in ranks if other["host"] == facts["host"]]
        facts["node_ranks"] = members[facts["host"]]
        facts["node_cores"] = len(set().union(*(set(other["cores"]) for other in here)))
        facts["node_threads"] = sum(other["blas_threads"] for other in here)
    return ranks


def probe(comm: Communicator, nbytes: int = 4 * 1024 * 1024, seconds: float = 0.2) -> dict[str, float]:
    """How fast all-reduce is, the same answer on every rank: ``latency_us`` and ``bandwidth_gb_s``.

    Latency: median time of 8 bytes, in microseconds.  Bandwidth: ``nbytes`` of gradient over the median time, in 10^9
    bytes per second, in memory of ``comm.allocate``, as buckets lie.  Takes about twice ``seconds``.
    """
    small = np.zeros(1)
    buffer = comm.allocate(nbytes // 8 * 8)
    large = buffer.array(np.float64)
    latency = _median_s(comm, lambda: comm.all_reduce(small, label="latency probe"), seconds)
    span = _median_s(comm, lambda: _reduce_in_place(comm, large), seconds)
    buffer.free()
    return {"latency_us": latency * 1e6, "bandwidth_gb_s": large.nbytes / span / 1e9}


def _reduce_in_place(comm: Communicator, flat: np.ndarray[Any, Any]) -> None:
    comm.start_all_reduce(flat, shared_result=True, label="bandwidth probe").wait()


def _median_s(comm: Communicator, call: Any, seconds: float) -> float:
    """Median time of ``call`` on the slowest rank; ranks agree on the number of calls."""
    call()
    started = time.perf_counter()
    call()
    plan = np.array([time.perf_counter() - started])
    comm.all_reduce(plan, "max")
    times = []
    for _ in range(int(min(200, max(5, seconds / max(float(plan[0]), 1e-7))))):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    slowest = np.array([np.median(times)])
    comm.all_reduce(slowest, "max")
    return float(slowest[0])
