"""What belongs to one thread: grad mode, world, generator, hooks on saved values.

Virtual ranks are threads, so none of this may be a module global: ranks would mix.
A new thread starts with the defaults below, as in PyTorch, where grad mode is per thread too.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np


class ThreadContext(threading.local):
    """The state of one thread; plain attributes, because the hot path reads them."""

    grad_enabled: bool = True
    inference: bool = False
    anomaly: bool = False
    anomaly_check_nan: bool = True
    walk: Any = None  # the backward pass that is running, the innermost one
    saved_hooks_refused: str | None = None  # why saved_tensors_hooks may not be used now

    def __init__(self) -> None:
        # PyTorch's arithmetic makes nan and inf without a word; a guard round each op would cost 0.9 µs a time.
        np.seterr(all="ignore")
        # (pack, unpack) pairs, innermost last: autograd.graph.saved_tensors_hooks
        self.saved_hooks: list[tuple[Any, Any]] = []
        # How many backward passes run inside each other, and what to call when the outermost is through.
        self.backward_depth = 0
        self.after_backward: list[Any] = []
        # The default generator; random.default_generator() makes it on first use.
        self.generator: Any = None
        # The communicator a launcher gave to this thread (a virtual rank), None for a plain thread.
        self.launched: Any = None
        # What to do at a normal end of this rank's program, before it leaves the others.
        self.endings: list[Any] = []
        # Number of the node of each mean loss -> what it divided by; None while nobody asks for it.
        self.mean_losses: dict[int, float] | None = None
        # ids of parameters whose gradients were dropped because a rank's were not finite: a loss scaler wants to know.
        self.overflowed: set[int] = set()


ctx = ThreadContext()


def run_endings() -> None:
    """The program of this rank has come to its normal end: do what it promised the other ranks."""
    while ctx.endings:
        ctx.endings.pop(0)()


class Process:
    """The state of the whole process, for its threads that are no virtual ranks."""

    group: Any = None  # the default process group


process = Process()


def rank_state() -> Any:
    """What the default process group of this thread hangs on: its virtual rank's communicator, or the process."""
    return process if ctx.launched is None else ctx.launched
