"""How many cores this process may use, and the BLAS threads of one rank.

``nproc`` and the affinity mask do not show a container's CPU quota, so the cgroup files are read as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from allgrad.errors import ArgumentError

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def quota_cores(cgroup: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """The CPU quota of this process's control group in cores, None without one (cgroup versions 2 and 1).

    A quota of an enclosing group counts too: the smallest on the way up is the one that is felt.
    """
    quotas = [_quota_of(directory) for directory in _enclosing_groups("cpu", cgroup, membership)]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(cgroup: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """The memory limit of this process's control group in bytes, the smallest on the way up; None without one."""
    limits = [_memory_of(directory) for directory in _enclosing_groups("memory", cgroup, membership)]
    return min((limit for limit in limits if limit is not None), default=None)


def _enclosing_groups(controller: str, cgroup: Path, membership: Path) -> Iterator[Path]:
    """The directories of our group and of those around it."""
    for root, own in _group_directories(controller, cgroup, membership):
        for directory in [own, *own.parents]:
            if directory != root and root not in directory.parents:
                break
            yield directory


def _group_directories(controller: str, cgroup: Path, membership: Path) -> list[tuple[Path, Path]]:
    """(hierarchy root, own directory) for each hierarchy that can limit what ``controller`` counts."""
    found = []
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []  # no /proc or not Linux: no quota that we could know of
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            root = cgroup
        elif controller in controllers.split(","):
            root = cgroup / controllers if (cgroup / controllers).is_dir() else cgroup / controller
        else:
            continue
        own = root / path.lstrip("/")
        # Inside a container the path is the host's, while the files of the own group lie at the root.
        found.append((root, own if own.is_dir() else root))
    return found


def _quota_of(directory: Path) -> float | None:
    try:
        if (directory / "cpu.max").is_file():
            quota, period = (directory / "cpu.max").read_text().split()
        else:
            quota = (directory / "cpu.cfs_quota_us").read_text().strip()
            period = (directory / "cpu.cfs_period_us").read_text().strip()
    except (OSError, ValueError):
        return None  # this level sets no limit
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:  # "max", or -1
        return None
    return int(quota) / int(period)


def _memory_of(directory: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            text = (directory / name).read_text().strip()
        except OSError:
            continue  # the other version, or this level sets no limit
        # version 1 says "no limit" with a number near 2**63
        if text.isdigit() and int(text) < 2**60:
            return int(text)
    return None


def usable_cores() -> int:
    """Cores this process can keep busy: the affinity mask, cut by the CPU quota; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = quota_cores()
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def thread_variables(ranks: int, threads: int | None, environment: Mapping[str, str], cores: int) -> dict[str, str]:
    """The thread settings of one of ``ranks`` ranks on a node of ``cores`` cores.

    ``threads`` given sets them all; else what the environment has already is kept, and the rest gets an equal share.
    """
    if threads is not None:
        if threads < 1:
            raise ArgumentError(f"--threads must be at least 1, got {threads}")
        return dict.fromkeys(THREAD_VARIABLES, str(threads))
    share = str(max(1, cores // ranks))
    # Who sets OMP_NUM_THREADS alone means every library that honours it.
    wanted = environment.get("OMP_NUM_THREADS", share)
    return {name: environment.get(name, wanted) for name in THREAD_VARIABLES}
