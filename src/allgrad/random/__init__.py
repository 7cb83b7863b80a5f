"""Random numbers: PyTorch's generator and functions, seeded alike and drawing alike, and named streams.

At this floor states and results are NumPy arrays; the tensor layer wraps them.
"""

from allgrad.random.default import (
    default_generator,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from allgrad.random.generator import DEFAULT_SEED, Generator
from allgrad.random.streams import stream

__all__ = [
    "DEFAULT_SEED", "Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed",
    "seed", "set_rng_state", "stream",
]  # fmt: skip
