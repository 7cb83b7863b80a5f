"""``DistributedSampler``: each rank's share of the samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any

from allgrad.comm import launch_world
from allgrad.errors import ArgumentError
from allgrad.random import Generator
from allgrad.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """This rank's share of the samples: every ``num_replicas``-th of one order that all ranks agree on.

    Samples are repeated (or with ``drop_last`` left out) so that all ranks get equally many.  ``exact=True`` does
    neither: shares differ by at most one, for evaluation.  The order changes with each pass by itself;
    ``set_epoch`` says which pass it is, as in PyTorch.

    When every rank has taken k samples, the first ``k * num_replicas`` of the common order are gone.  So one number
    saves the place of all ranks, and another number of ranks can go on from it.
    """

    def __init__(
        self, dataset: Sized, num_replicas: int | None = None, rank: int | None = None, shuffle: bool = True, seed: int = 0,
        drop_last: bool = False, *, exact: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(dataset)
        if num_replicas is None or rank is None:
            world = launch_world()
            num_replicas = world.size if num_replicas is None else num_replicas
            rank = world.rank if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ArgumentError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas, self.rank = num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.exact = shuffle, seed, drop_last, exact
        self.epoch = 0
        self._told = False  # set_epoch was called: the user counts
        self._passes = 0
        self._resume: int | None = None  # where in the common order the next pass starts
        self._started: dict[str, Any] | None = None  # the pass that runs; None between passes
        self._taken = 0

    @property
    def num_samples(self) -> int:
        """How many indices this rank gets in a whole pass."""
        return self._share(len(self.dataset))

    def _share(self, n: int) -> int:
        if self.exact:
            return len(range(self.rank, n, self.num_replicas))
        return n // self.num_replicas if self.drop_last else math.ceil(n / self.num_replicas)

    @property
    def total_size(self) -> int:
        """How many indices all ranks get together in a whole pass."""
        return len(self.dataset) if self.exact else self.num_samples * self.num_replicas

    def order(self, start: int = 0) -> list[int]:
        """The order of this epoch from ``start`` on, the same on every rank, repeated or cut to equal shares."""
        n = len(self.dataset)
        if self.shuffle:
            whole = Generator().manual_seed(self.seed + self.epoch).permutation(n).tolist()
        else:
            whole = list(range(n))
        rest: list[int] = whole[start:]
        if self.exact or not rest:
            return rest
        total = self._share(len(rest)) * self.num_replicas
        missing = total - len(rest)
        if missing > 0:
            rest += (whole * math.ceil(missing / n))[:missing]
        return rest[:total]

    def __iter__(self) -> Iterator[int]:
        start, self._resume = self._resume or 0, None
        if not self._told:
            self.epoch = self._passes
        self._passes += 1
        self._started = {"epoch": self.epoch, "start": start, "passes": self._passes}
        self._taken = 0
        return self._run(self.order(start)[self.rank :: self.num_replicas], self._started)

    def _run(self, share: list[int], started: dict[str, Any]) -> Iterator[int]:
        for index in share:
            self._taken += 1
            yield index
        if self._started is started:
            self._started = None

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next; the order depends on it.  A loaded place holds for its own epoch only."""
        if epoch != self.epoch:
            self._resume = None
        self._told = True
        self.epoch = epoch

    def state_dict(self, taken: int | None = None, started: dict[str, Any] | None = None) -> dict[str, Any]:
        """The place in the epoch, the same for all ranks that took equally many samples; any world size can load it.

        A loader that reads ahead says how many indices of which pass were really used.
        """
        started = self._started if started is None else started
        fixed = {"seed": self.seed, "shuffle": self.shuffle, "samples": len(self.dataset), "told": self._told}
        if started is None:
            return {"epoch": self.epoch, "passes": self._passes, "start": 0, **fixed}
        done = started["start"] + (self._taken if taken is None else taken) * self.num_replicas
        return {
            "epoch": started["epoch"], "passes": started["passes"] - 1, "start": min(done, len(self.dataset)), **fixed,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass goes on where ``state`` was taken.  ArgumentError if it belongs to another order of samples."""
        for name, here in (("seed", self.seed), ("shuffle", self.shuffle), ("samples", len(self.dataset))):
            if state[name] != here:
                raise ArgumentError(
                    f"the saved place belongs to a sampler with {name}={state[name]}, this one has {name}={here}; "
                    "make the sampler as it was, or start a new epoch without load_state_dict"
                )
        self.epoch, self._passes, self._told = state["epoch"], state["passes"], state["told"]
        self._resume = state["start"] or None
        self._started = None
