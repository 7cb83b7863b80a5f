"""The engine's own cost, beside PyTorch's where it is installed: ``python benchmarks/engine.py``.

Times are CPU time of one thread, the best of several rounds, in microseconds, so that a busy machine disturbs little.
Memory is the peak of one training step's forward and backward on top of what the parameters take, in MB.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, WIDTH, BATCH = 20, 512, 256


def microseconds(f: Callable[[], Any], count: int, rounds: int = 7) -> float:
    """CPU time of one call."""
    best = float("inf")
    for _ in range(rounds):
        start = time.thread_time()
        for _ in range(count):
            f()
        best = min(best, (time.thread_time() - start) / count)
    return best * 1e6


def overhead(t: Any) -> dict[str, float]:
    """Small operations, where the array work is next to nothing."""
    a, b = t.ones(4, 4, requires_grad=True), t.ones(4, 4)
    seed = t.ones(4, 4)
    x = t.ones(32, 16)
    weights = [t.full((16, 16), 0.05, requires_grad=True) for _ in range(4)]

    def chain() -> Any:
        y = a
        for _ in range(20):
            y = y * b
        return y

    def mlp() -> Any:
        h = x
        for w in weights:
            h = (h @ w).tanh()
        return h.sum()

    forward = microseconds(chain, 500)
    return {
        "a + b recorded, 4x4": microseconds(lambda: a + b, 5000),
        "a * b recorded, 4x4": microseconds(lambda: a * b, 5000),
        "a + b not recorded": microseconds(lambda: b + b, 5000),
        "a node of a 20-step chain, forward": forward / 20,
        "a node of a 20-step chain, backward": (microseconds(lambda: chain().backward(seed), 500) - forward) / 20,
        "4 layers of 16, forward and backward": microseconds(lambda: mlp().backward(), 200),
    }


def step(t: Any) -> tuple[list[Any], Callable[[], None]]:
    """The parameters of a deep network, and one forward and backward through it."""
    weights = [t.full((WIDTH, WIDTH), 0.01, requires_grad=True) for _ in range(LAYERS)]
    biases = [t.zeros(WIDTH, requires_grad=True) for _ in range(LAYERS)]
    x = t.ones(BATCH, WIDTH)

    def run() -> None:
        h = x
        for w, b in zip(weights, biases):
            h = t.nn.functional.linear(h, w, b).tanh()
        (h * h).mean().backward()

    return weights + biases, run


def peak_of_allgrad(t: Any) -> float:
    """By tracemalloc, which sees NumPy's arrays."""
    parameters, run = step(t)
    run()
    for p in parameters:
        p.grad = None
    tracemalloc.start()
    run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def peak_of_torch(t: Any) -> float:
    """By the profiler's record of every allocation."""
    parameters, run = step(t)
    run()
    for p in parameters:
        p.grad = None
    with t.profiler.profile(activities=[t.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    held = peak = 0
    for event in sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak / 1e6


def main() -> None:
    """Print the table."""
    import allgrad

    a = np.ones((4, 4), np.float32)
    bare = microseconds(lambda: a + a, 5000)
    rows = {name: [value] for name, value in overhead(allgrad).items()}
    rows[f"peak of {LAYERS} layers of {WIDTH}, batch {BATCH} (MB)"] = [peak_of_allgrad(allgrad)]
    names = ["allgrad"]
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)
        names.append("torch")
        for name, value in overhead(torch).items():
            rows[name].append(value)
        rows[f"peak of {LAYERS} layers of {WIDTH}, batch {BATCH} (MB)"].append(peak_of_torch(torch))
    print(f"{'':54}" + "".join(f"{n:>10}" for n in names))
    print(f"{'a + b in bare NumPy, 4x4':54}{bare:10.2f}")
    for name, values in rows.items():
        print(f"{name:54}" + "".join(f"{v:10.2f}" for v in values))


if __name__ == "__main__":
    sys.exit(main())
