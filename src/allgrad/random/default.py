"""The default generator of each thread, and PyTorch's functions on it.

Plain threads share the generator of their process, as in PyTorch, so that ``manual_seed`` in the main thread also
holds for loader threads.  A virtual rank is a thread that stands for a process: it owns its generator.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from allgrad.context import ctx
from allgrad.random.generator import Generator

_lock = threading.Lock()
_shared: list[Generator] = []  # at most one: the generator of this process's plain threads


def default_generator() -> Generator:
    """The generator that is used where none is given; made on first use, seeded with PyTorch's default seed."""
    if ctx.generator is None:
        if ctx.launched is not None:
            ctx.generator = Generator()
        else:
            with _lock:
                if not _shared:
                    _shared.append(Generator())
            ctx.generator = _shared[0]
    return ctx.generator


def manual_seed(seed: int) -> Generator:
    """Seed the default generator; negative seeds wrap to 64 bits as in PyTorch."""
    return default_generator().manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system's randomness; returns the 64-bit seed."""
    return default_generator().seed()


def initial_seed() -> int:
    """The seed that the default generator started from."""
    return default_generator().initial_seed()


def get_rng_state() -> np.ndarray:
    """The state of the default generator: -> (5056,) uint8."""
    return default_generator().get_state()


def set_rng_state(new_state: Any) -> None:
    """Put the default generator into a state that ``get_rng_state`` gave."""
    default_generator().set_state(new_state)


@contextmanager
def fork_rng(devices: Iterable[Any] | None = None, enabled: bool = True, device_type: str = "cpu") -> Iterator[None]:
    """Whatever is drawn or seeded inside is forgotten afterwards: the default generator's state comes back.

    ``devices`` and ``device_type`` are PyTorch's list of accelerators; there are none here, so they change nothing.
    """
    if not enabled:
        yield
        return
    generator = default_generator()
    before = generator.get_state()
    try:
        yield
    finally:
        generator.set_state(before)
