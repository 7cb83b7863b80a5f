"""``make bench``: everything that is measured, printed as tables, and stored beside this file.

    python benchmarks/run.py                        all parts
    python benchmarks/run.py training --only GPT    one part, some rows: the others keep their stored figures

Parts: training, memory, start, operations, ranks, network (which needs root, see ``network.py``).  PyTorch's columns are
measured in the same run where it is installed; where it is not, its last stored times are used and marked so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import network as three_nodes
from machine import HERE, REPOSITORY, facts, has, import_seconds, installed_megabytes, one_thread, peak_megabytes
from operations import NAMES, SIZES, case, inputs
from paired import Times, fastest, ratio, turns
from report import print_part, write_picture, write_report
from workloads import WORKLOADS, Way, Workload

import allgrad
from allgrad import fast

PARTS = ("training", "memory", "start", "operations", "ranks", "network")
STORE = HERE / "results.json"
Rows = dict[str, Any]


def modes() -> dict[str, bool]:
    """The two columns of allgrad: NumPy alone, and with compiled kernels where numba is installed."""
    return {"numpy": False, "fast": True} if fast.installed() else {"numpy": False}


def switch(name: str) -> None:
    """Compiled kernels on or off, for the column whose turn comes."""
    if name in modes():
        fast.set_enabled(modes()[name])


def judged(found: Times, stored: Any) -> Rows:
    """Median seconds of each contender, and ratios to PyTorch; to its stored seconds if it did not take part."""
    row: Rows = {"seconds": {name: statistics.median(times) for name, times in found.items()}}
    theirs = found.get("torch")
    old = (stored or {}).get("seconds", {}).get("torch")
    if theirs is None and old is not None:
        row["seconds"]["torch"], row["stored"] = old, True
    for name in found.keys() & modes().keys():
        if theirs is not None:
            row[name] = ratio(found[name], theirs)
        elif old is not None:
            row[name] = ratio(found[name], [old] * len(found[name]))
    return row


def training(only: str, seconds: float, stored: Rows) -> Iterator[tuple[str, Rows]]:
    """Every workload against the fastest way to run it in PyTorch."""
    for work in WORKLOADS:
        if only in work.name:
            yield work.name, one_training(work, seconds, stored.get(work.name))


def one_training(work: Workload, seconds: float, stored: Any) -> Rows:
    calls, losses = {}, {}
    for name in modes():
        switch(name)
        calls[name] = work.build(allgrad, Way())
        losses[name] = float(calls[name]().item())
    best = None
    if has("torch"):
        import torch

        ways = {name: work.build(torch, way) for name, way in work.ways().items()}
        losses |= {name: float(call().item()) for name, call in ways.items()}
        best = fastest(ways, seconds=seconds / 3)
        calls["torch"] = ways[best]
    if max(losses.values()) - min(losses.values()) > 1e-3 * abs(max(losses.values())):
        raise RuntimeError(f"{work.name}: not the same computation, the first losses differ: {losses}")
    return judged(turns(calls, seconds=seconds, before=switch), stored) | {"goal": work.goal, "way": best}


def memory(only: str, seconds: float, stored: Rows) -> Iterator[tuple[str, Rows]]:
    """Megabytes of a process that trains, beyond those after a first tiny step."""
    for work in WORKLOADS:
        if only in work.name:
            yield work.name, {m: peak_megabytes(m, work.name) for m in frameworks()}


def start(only: str, seconds: float, stored: Rows) -> Iterator[tuple[str, Rows]]:
    """What it costs before anything is computed."""
    yield "import, seconds", {m: import_seconds(m) for m in frameworks()}
    yield "installed, MB", {m: installed_megabytes(m) for m in frameworks()}


def frameworks() -> list[str]:
    return ["allgrad", "torch"] if has("torch") else ["allgrad"]


def operations(only: str, seconds: float, stored: Rows) -> Iterator[tuple[str, Rows]]:
    """Forward and backward of single operations."""
    for size in SIZES:
        sides = {m: inputs(sys.modules[m] if m in sys.modules else __import__(m), size) for m in frameworks()}
        for name in NAMES:
            label = f"{name}, {size.name}"
            if only not in label:
                continue
            calls = {m: case(allgrad, name, size, sides["allgrad"]) for m in modes()}
            if "torch" in sides:
                import torch

                calls["torch"] = case(torch, name, size, sides["torch"])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # both warn of reductions that are to change, at every call
                found = turns(calls, seconds=seconds / 40, least=3, most=40, grain_s=3e-4, before=switch)
            yield label, judged(found, stored.get(label))


def ranks(only: str, seconds: float, stored: Rows) -> Iterator[tuple[str, Rows]]:
    """Jobs of 2 and 4 ranks, in which both take turns."""
    for n in (2, 4):
        if only in f"{n} ranks":
            yield f"{n} ranks", job(n, seconds)


def network(only: str, seconds: float, stored: Rows) -> Iterator[tuple[str, Rows]]:
    """All-reduce over a network; nothing where there can be none."""
    found, why = three_nodes.measure()
    if found is None:
        print(f"network: not measured, {why}")
        return
    for size, times in found["seconds"].items():
        bound = three_nodes.bound(int(size), found["ranks"])
        name = f"{int(size) // 2**20} MiB, {found['ranks']} nodes"
        if only in name:
            yield name, {"seconds": times, "bound": bound, "goal": three_nodes.GOAL}


def job(n: int, seconds: float) -> Rows:
    beside = Path(sys.executable).parent / "mpirun"
    mpirun = str(beside) if beside.exists() else "mpirun"
    said = subprocess.run([mpirun, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    openmpi = "Open MPI" in said or "open-mpi" in said.lower()
    flags = ["--oversubscribe", "--bind-to", "none"] if openmpi else []
    where = os.environ | {
        "PYTHONPATH": str(REPOSITORY / "src"), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
        "ALLGRAD_BENCH_SECONDS": str(seconds), "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_btl": "^ofi", "OMPI_MCA_osc": "^ucx",
        "OMPI_MCA_mpi_yield_when_idle": "1",
    }  # fmt: skip
    command = [mpirun, *flags, "-n", str(n), sys.executable, str(HERE / "ranks.py")]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=where)
        try:
            out, _ = process.communicate(timeout=900)
        except BaseException:
            process.terminate()  # mpirun ends its ranks
            process.wait(timeout=30)
            raise
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed ({process.returncode}):\n{errors.read()[-3000:]}")
    return dict(json.loads(next(line for line in reversed(out.splitlines()) if line.startswith("{"))))


def load() -> dict[str, Any]:
    """The last stored run; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError):
        return dict(json.loads(STORE.read_text()))
    return {}


def store(results: dict[str, Any]) -> None:
    STORE.write_text(json.dumps(results, indent=1) + "\n")
    write_report(results, HERE / "RESULTS.md")
    if has("matplotlib"):
        write_picture(results, HERE / "results.png")


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each row (default 3)")
    parser.add_argument("--dry", action="store_true", help="print, store nothing")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no part is named {', '.join(sorted(unknown))}; they are {', '.join(PARTS)}")
    one_thread()
    results = load()
    where = facts()
    for part in asked.parts or PARTS:
        before = results.get(part, {}).get("rows", {})
        rows = dict(globals()[part](asked.only, asked.seconds, before))
        if not rows:  # nothing could be measured, and has said so: what is stored stays
            continue
        print_part(part, where, rows)
        # Rows that were not measured now keep their figures, and each row says when it was taken.
        taken = {name: row | {"taken": [where["date"], where["commit"]]} for name, row in rows.items()}
        results[part] = {"facts": where, "rows": (before | taken) if asked.only else taken}
        if not asked.dry:  # after each part: an interrupted run keeps what it has
            store(results)


if __name__ == "__main__":
    main()
