"""Wall time by name: ``record_function`` names a stretch of a program, ``profile`` adds the stretches up.

Only named stretches are measured, not single ops; a name costs nothing to speak of while no ``profile`` is open.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from allgrad.errors import ArgumentError

__all__ = ["EventList", "FunctionEventAvg", "profile", "record_function"]

_open = threading.local()


def _profiles() -> list[profile]:
    """The profiles open in this thread, the outermost first."""
    if not hasattr(_open, "profiles"):
        _open.profiles = []
    found: list[profile] = _open.profiles
    return found


class record_function:
    """``with record_function("forward"): ...`` or ``@record_function("forward")``: this stretch under that name."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args
        self._started: list[float] = []

    def __enter__(self) -> record_function:
        self._started.append(time.perf_counter())
        return self

    def __exit__(self, *exc: object) -> None:
        took = time.perf_counter() - self._started.pop()
        for p in _profiles():
            p._add(self.name, took)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def named(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return named


class FunctionEventAvg:
    """All stretches of one name: how many, and how long in microseconds."""

    def __init__(self, key: str) -> None:
        self.key, self.count, self.cpu_time_total = key, 0, 0.0

    @property
    def cpu_time(self) -> float:
        """The mean duration in microseconds."""
        return self.cpu_time_total / max(self.count, 1)


class EventList(list[FunctionEventAvg]):
    """What ``key_averages()`` gives; ``table()`` prints it."""

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
        max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:  # fmt: skip
        """Name, wall time in all and on average, and calls; the longest first if ``sort_by`` names a time."""
        rows = list(self)
        if sort_by is not None:
            key = "count" if sort_by == "count" else "cpu_time" if sort_by == "cpu_time" else "cpu_time_total"
            rows.sort(key=lambda e: getattr(e, key), reverse=True)
        lines = [header] if header is not None else []
        lines.append(f"{'Name':<{max_name_column_width}} {'CPU total':>14} {'CPU time avg':>14} {'# of Calls':>12}")
        for e in rows if row_limit < 0 else rows[:row_limit]:
            name = e.key[:max_name_column_width]
            lines.append(
                f"{name:<{max_name_column_width}} {_span(e.cpu_time_total):>14} {_span(e.cpu_time):>14} {e.count:>12}"
            )
        return "\n".join(lines) + "\n"


def _span(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.3f}{unit}"
    return f"{microseconds:.3f}us"


class profile:
    """``with profile() as p: ...``; then ``p.key_averages()`` has the named stretches of this thread."""

    def __init__(self, enabled: bool = True, **settings: Any) -> None:
        self.enabled = enabled
        self._events: dict[str, FunctionEventAvg] = {}

    def _add(self, name: str, seconds: float) -> None:
        event = self._events.setdefault(name, FunctionEventAvg(name))
        event.count += 1
        event.cpu_time_total += seconds * 1e6

    def __enter__(self) -> Any:
        if self in _profiles():
            raise ArgumentError("this profile is open already; open it once, or make another")
        if self.enabled:
            _profiles().append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled:
            _profiles().remove(self)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> EventList:
        """One entry for each name."""
        return EventList(self._events.values())

    def table(self, sort_by: str | None = None, row_limit: int = 100) -> str:
        """The table of ``key_averages()``."""
        return self.key_averages().table(sort_by, row_limit)
