"""``make bench-quick``: has a training step become slower?  Needs no PyTorch, and less than a minute.

Each step is measured in turns with a yardstick of plain NumPy that does the same kind of work: small calls, products, or
passes over memory.  So the ratio depends little on the machine and its load.  It is compared with the one in
``quick.json``; half as much again fails, if it does so three times in a row.  ``--store`` writes the ratios of this run.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import facts, one_thread
from paired import ratio, turns
from workloads import WORKLOADS, Way, Workload

import allgrad
from allgrad import fast

STORE = Path(__file__).with_name("quick.json")
LIMIT = 1.5  # times the stored ratio
ATTEMPTS = 3
SECONDS = 1.0  # for each step


def small_calls() -> Callable[[], Any]:
    """Interpreter and NumPy's calls on next to no data."""
    a, b = np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)

    def run() -> None:
        for _ in range(100):
            c = np.matmul(a, b)
            c += a
            np.maximum(c, 0, out=c)

    return run


def products() -> Callable[[], Any]:
    """Products of the size of a layer's, and exponentials of their result."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((256, 512), dtype=np.float32)
    b = rng.standard_normal((512, 512), dtype=np.float32)
    out = np.empty((256, 512), np.float32)

    def run() -> None:
        np.matmul(a, b, out=out)
        np.tanh(out, out=out)

    return run


def passes() -> Callable[[], Any]:
    """Arrays that do not fit into the cache, read and written."""
    a, b = np.ones(1 << 21, np.float32), np.ones(1 << 21, np.float32)

    def run() -> None:
        np.multiply(a, b, out=a)
        np.sqrt(b, out=b)

    return run


KINDS = {
    "tiny MLP 2-16-16-2 b32": small_calls,
    "MLP 784-512-512-10 b64": products,
    "LeNet-like CNN 28x28 b64": products,
    "ResNet-20 32x32 b32": products,
    "LSTM 64-128 T=50 b32": products,
    "GPT d128 l4 h4 T=128 b16": products,
    "AdamW, 10 M parameters": passes,
    "double backward, MLP 784-256-256-10 b64": products,
}


def measure(work: Workload) -> float:
    """The step's time as a multiple of its yardstick's."""
    found = turns({"step": work.build(allgrad, Way()), "yard": KINDS[work.name]()}, seconds=SECONDS, grain_s=5e-3)
    return ratio(found["step"], found["yard"]).median


def verdict(measured: float, stored: float) -> str:
    """ "ok", or "slower" beyond the limit."""
    return "ok" if measured <= LIMIT * stored else "slower"


def checked(work: Workload, stored: float, measuring: Callable[[Workload], float] = measure) -> tuple[float, str]:
    """The best of up to three attempts, and the verdict on it."""
    best = float("inf")
    for _ in range(ATTEMPTS):
        best = min(best, measuring(work))
        if verdict(best, stored) == "ok":
            break
    return best, verdict(best, stored)


def main() -> int:
    """The table; 1 if a step has become slower."""
    one_thread()
    fast.set_enabled(False)  # the same on machines with and without numba
    works = [w for w in WORKLOADS if w.name in KINDS]
    if "--store" in sys.argv:
        ratios = {w.name: round(statistics.median(measure(w) for _ in range(ATTEMPTS)), 3) for w in works}
        STORE.write_text(json.dumps({"facts": facts(), "ratios": ratios}, indent=1) + "\n")
        print(f"stored {STORE.name}: {ratios}")
        return 0
    stored = json.loads(STORE.read_text())["ratios"]
    slower = []
    print(f"{'step':42}{'measured':>10}{'stored':>10}{'of it':>8}   (multiples of a NumPy yardstick)")
    for work in works:
        if work.name not in stored:
            print(f"{work.name}: no stored ratio; run quick.py --store")
            slower.append(work.name)
            continue
        found, said = checked(work, stored[work.name])
        share = found / stored[work.name]
        print(f"{work.name:42}{found:10.2f}{stored[work.name]:10.2f}{share:8.2f}   {said}", flush=True)
        if said != "ok":
            slower.append(work.name)
    if slower:
        print(f"more than {LIMIT} of the stored ratio in {ATTEMPTS} attempts: {', '.join(slower)}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
