"""``torch.profiler``: the stretches that ``record_function`` names, with PyTorch's schedule of steps.

Single ops are not measured and no trace is written: for these use a sampling profiler (py-spy) or cProfile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from allgrad.autograd import profiler as stretches
from allgrad.autograd.profiler import record_function
from allgrad.errors import ArgumentError, UnsupportedError

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(Enum):
    """What there is to measure; only CPU has anything."""

    CPU = 0
    XPU = 1
    CUDA = 2


class ProfilerAction(Enum):
    """What a schedule says of one step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """The CPU alone."""
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """Rounds of ``wait`` idle, ``warmup`` discarded and ``active`` recorded steps; ``repeat`` rounds, endlessly if 0."""
    if min(wait, warmup, repeat, skip_first, skip_first_wait) < 0 or active <= 0:
        raise ArgumentError(f"schedule: active must be positive and the others not negative, found {active=}, {wait=}")

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise ArgumentError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        length = wait + warmup + active
        if repeat and step // length >= repeat:
            return ProfilerAction.NONE
        place = step % length
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Any:
    """An error: no trace is kept."""
    raise UnsupportedError(
        "tensorboard_trace_handler: allgrad keeps no trace; pass on_trace_ready=lambda p: print(p.key_averages().table())"
    )


class profile(stretches.profile):
    """``with profile(schedule=...) as p: ... p.step()``; ``on_trace_ready(p)`` is called after each round."""

    def __init__(
        self, *, activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None, on_trace_ready: Callable[[Any], Any] | None = None,
        record_shapes: bool = False, profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
        with_modules: bool = False, **settings: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.schedule, self.on_trace_ready = schedule, on_trace_ready
        self.step_num = 0
        self._round_over = False

    def _action(self) -> ProfilerAction:
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)

    def _add(self, name: str, seconds: float) -> None:
        if self._action() in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            if self._round_over:
                self._events, self._round_over = {}, False
            super()._add(name, seconds)

    def start(self) -> None:
        """Open it, without ``with``."""
        self.__enter__()

    def stop(self) -> None:
        """Close it, without ``with``."""
        self.__exit__(None, None, None)

    def step(self) -> None:
        """The next step of the schedule."""
        before = self._action()
        self.step_num += 1
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._ready()
            self._round_over = True

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        if self._action() in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            self._ready()

    def _ready(self) -> None:
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)
