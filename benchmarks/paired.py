"""Measuring in pairs: contenders take turns in one run, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

Call = Callable[[], Any]
Times = dict[str, list[float]]


class Ratio(NamedTuple):
    """Quotients of one contender's times by another's, turn by turn."""

    low: float
    median: float
    high: float


def turns(
    calls: dict[str, Call],
    *,
    seconds: float,
    least: int = 5,
    most: int = 400,
    grain_s: float = 20e-3,
    clock: Callable[[], float] = time.process_time,
    before: Callable[[str], Any] = lambda name: None,
) -> Times:
    """Seconds of one call, for each contender and each of its turns.

    A turn repeats a short call until it has run for ``grain_s``: a training loop runs its steps back to back, and the first
    ones after another contender's turn find caches and branch predictors full of another program.  In turns of 2 ms the
    steps of a tiny MLP took 1.1 to 1.2 (allgrad) and 1.05 (PyTorch) of their time in turns of 20; 50 changed nothing more.
    ``clock`` counts the CPU time of all threads of this process: with one thread each that is what a quiet machine's wall
    clock shows, and other programs do not count.
    ``before`` is told whose turn comes, outside of the clock.
    """
    counts: dict[str, int] = {}
    for name, call in calls.items():
        before(name)
        call()  # builds optimizer state, compiles kernels
        call()
        start = clock()
        call()
        cold = max(clock() - start, 1e-7)
        start = clock()
        for _ in range(many := max(1, round(grain_s / 4 / cold))):
            call()
        counts[name] = max(1, round(grain_s * many / max(clock() - start, 1e-7)))
    found: Times = {name: [] for name in calls}
    order, shuffled = list(calls), random.Random(0)
    gc.collect()
    end = time.perf_counter() + seconds
    for turn in range(most):
        if turn >= least and time.perf_counter() > end:
            break
        for name in order:
            call, count = calls[name], counts[name]
            before(name)
            start = clock()
            for _ in range(count):
                call()
            found[name].append((clock() - start) / count)
        shuffled.shuffle(order)  # nobody always comes after the same one
    return found


def ratio(mine: list[float], theirs: list[float]) -> Ratio:
    """How the turns of two contenders compare; below 1 the first is faster."""
    quotients = sorted(a / b for a, b in zip(mine, theirs))
    return Ratio(quotients[0], statistics.median(quotients), quotients[-1])


def fastest(calls: dict[str, Call], *, seconds: float) -> str:
    """Which of several ways to do the same is the fastest, by the median of a short run."""
    if len(calls) == 1:
        return next(iter(calls))
    found = turns(calls, seconds=seconds, least=3)
    return min(found, key=lambda name: statistics.median(found[name]))
