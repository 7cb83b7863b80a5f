"""Who is late?  Each rank times its own work and its own waiting; durations need no clocks that agree.

A rank's work in a step is all time outside the waits for buckets: outside the model, in the forward of each leaf module,
and in backward from one gradient to the next.  The rank that works longest lets the others wait, and waits least itself.

Off, it costs nothing: the reducer does not know of it, its methods are timed from outside.  On, it costs some µs for each
module, parameter and bucket of a step.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allgrad.distributed.reducer import Reducer

OUTSIDE = "outside the model (data, loss, optimizer)"


def wanted() -> bool:
    """Whether ``ALLGRAD_REPORT`` (words with commas between) asks for it."""
    return "late" in os.environ.get("ALLGRAD_REPORT", "").replace(",", " ").split()


class _Timed:
    """Work under way whose ``wait`` is timed."""

    def __init__(self, work: Any, late: Lateness, number: int) -> None:
        self.work, self.late, self.number = work, late, number

    def test(self) -> bool:
        return bool(self.work.test())

    def wait(self) -> Any:
        since = time.perf_counter()
        found = self.work.wait()
        spent = time.perf_counter() - since
        self.late.waited[self.number] += spent
        self.late.waiting_s += spent
        return found


class Lateness:
    """The times of one rank, summed over its steps, in seconds."""

    def __init__(self, model: Any) -> None:
        self.steps = 0
        self.step_s = self.waiting_s = 0.0
        self.parts: dict[str, float] = defaultdict(float)  # the work by where it was done
        self.ready: dict[int, float] = defaultdict(float)  # by bucket: from the begin of backward until it was full
        self.waited: dict[int, float] = defaultdict(float)  # by bucket: waiting for it at the end of backward
        self.first: dict[int, str] = {}  # by bucket: the parameter that fills it
        self._began = self._last = time.perf_counter()
        self._ended: float | None = None
        self._time_buffers(model)
        for name, inner in model.module.named_modules():
            if not any(True for _ in inner.children()):
                self._time_forward(name or type(inner).__name__, inner)

    def _time_forward(self, name: str, inner: Any) -> None:
        began: list[float] = []

        def before(_: Any, args: Any) -> None:
            began.append(time.perf_counter())

        def after(_: Any, args: Any, out: Any) -> None:
            if began:
                self.parts[f"forward of {name}"] += time.perf_counter() - began.pop()

        inner.register_forward_pre_hook(before)
        inner.register_forward_hook(after)

    def _time_buffers(self, model: Any) -> None:
        meet, held = type(model).meet_buffers, weakref.ref(model)  # no cycle: a model dropped is gone at once

        def timed(*args: Any, **kwargs: Any) -> None:
            since = time.perf_counter()
            meet(held(), *args, **kwargs)
            self.waiting_s += time.perf_counter() - since  # nearly all of it: the buffers themselves are small

        model.meet_buffers = timed

    def attach(self, reducer: Reducer) -> None:
        """Time the methods of ``reducer``."""
        begin, on_gradient, launch, finish = reducer.begin, reducer._on_gradient, reducer._launch, reducer._finish

        def timed_begin(*args: Any, **kwargs: Any) -> None:
            was = reducer.active
            begin(*args, **kwargs)
            if reducer.active and not was:
                self._began = self._last = time.perf_counter()

        def timed_gradient(i: int) -> None:
            if reducer.active:
                self.parts[f"backward of {_owner(reducer.names[i])}"] += time.perf_counter() - self._last
            on_gradient(i)
            self._last = time.perf_counter()

        def timed_launch(*args: Any, **kwargs: Any) -> None:
            before = reducer.next
            launch(*args, **kwargs)
            for number in range(before, reducer.next):
                bucket = reducer.buckets[number]
                self.ready[number] += time.perf_counter() - self._began
                self.first[number] = reducer.names[bucket.plan.spans[-1].param]
                if bucket.work is not None:
                    bucket.work = _Timed(bucket.work, self, number)  # type: ignore[assignment]

        def timed_finish(*args: Any, **kwargs: Any) -> None:
            finish(*args, **kwargs)
            now = time.perf_counter()
            if self._ended is not None:  # a step is from the end of one synchronization to the next
                self.steps += 1
                self.step_s += now - self._ended
            else:
                self.reset()
            self._ended = now

        named: Any = reducer
        settle: Any = getattr(reducer, "_settle_word", None)  # where ranks wait for what the others are about to do

        def timed_word(*args: Any) -> None:
            since = time.perf_counter()
            settle(*args)
            self.waiting_s += time.perf_counter() - since

        if settle is not None:
            named._settle_word = timed_word
        named.begin, named._on_gradient, named._launch, named._finish = (
            timed_begin, timed_gradient, timed_launch, timed_finish
        )  # fmt: skip

    def reset(self) -> None:
        """Forget what was measured so far; the first step is always forgotten, it pays for imports and plans."""
        self.steps, self.step_s, self.waiting_s = 0, 0.0, 0.0
        for times in (self.parts, self.ready, self.waited):
            times.clear()

    def row(self) -> dict[str, Any]:
        """All of it as JSON, per step in seconds."""
        n = max(self.steps, 1)
        work = self.step_s - self.waiting_s
        parts = {name: s / n for name, s in self.parts.items()}
        parts[OUTSIDE] = max(0.0, work / n - sum(parts.values()))
        buckets = [
            [number, self.first.get(number, ""), self.ready[number] / n, self.waited[number] / n]
            for number in sorted(self.ready)
        ]
        return {
            "steps": self.steps, "work": work / n, "wait": self.waiting_s / n, "parts": parts, "buckets": buckets
        }  # fmt: skip


def _owner(parameter: str) -> str:
    """The module that a parameter belongs to."""
    return parameter.rpartition(".")[0] or parameter
