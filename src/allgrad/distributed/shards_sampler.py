"""``ShardBatchSampler``: the batches of this rank's shards, in an order that no number of ranks changes."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

from allgrad.comm import launch_world
from allgrad.distributed.shards_tree import run_of
from allgrad.errors import ArgumentError
from allgrad.utils.data.distributed import DistributedSampler

__all__ = ["ShardBatchSampler"]


class ShardBatchSampler(DistributedSampler):
    """For ``DataLoader(dataset, batch_sampler=ShardBatchSampler(dataset, batch_size, shards=V))``.

    A step takes ``batch_size`` samples for each of the V shards; this rank gets one batch for each of its own shards, in
    their order.  Which samples make up which shard of which step depends on ``seed``, the epoch and V only.  As in
    ``DistributedSampler`` samples are repeated, or with ``drop_last`` left out, so that all shards are equally large; the
    last step may be smaller.  The saved place holds for any number of ranks; take it between two steps.
    """

    def __init__(
        self, dataset: Sized, batch_size: int, shards: int, shuffle: bool = True, seed: int = 0, drop_last: bool = False,
        *, num_replicas: int | None = None, rank: int | None = None,
    ) -> None:  # fmt: skip
        if num_replicas is None or rank is None:
            world = launch_world()
            num_replicas = world.size if num_replicas is None else num_replicas
            rank = world.rank if rank is None else rank
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not 0 <= rank < num_replicas or shards < num_replicas:
            raise ArgumentError(
                f"shards={shards} for rank {rank} of {num_replicas}: each rank needs at least one shard"
            )
        super().__init__(dataset, shards, 0, shuffle, seed, drop_last)  # the common order is that of V ranks
        self.batch_size, self.shards = batch_size, shards
        self.run = run_of(shards, num_replicas, rank)

    def _run(self, share: list[int], started: dict[str, Any]) -> Iterator[Any]:
        order = self.order(started["start"])
        each = len(order) // self.shards
        for begin in range(0, each, self.batch_size):
            for k in self.run:
                batch = order[k :: self.shards][begin : begin + self.batch_size]
                self._taken += len(batch)
                yield batch
        if self._started is started:
            self._started = None

    def __len__(self) -> int:
        """How many batches this rank gets in a whole pass."""
        return -(-self.num_samples // self.batch_size) * len(self.run)

    def state_dict(self, taken: int | None = None, started: dict[str, Any] | None = None) -> dict[str, Any]:
        """The place in the epoch, the same on all ranks between two steps; any number of ranks can load it.

        ArgumentError within a step: its batches are of no use without the others of the same step.
        """
        started = self._started if started is None else started
        if started is None:
            return super().state_dict(0, None)
        mine = self._taken if taken is None else taken
        each, more = divmod(mine, len(self.run))  # samples of each shard
        if more or (each % self.batch_size and each != len(self.order(started["start"])) // self.shards):
            raise ArgumentError(
                f"the place of the loader was asked for within a step, after {mine} samples for shards {list(self.run)}; "
                "save between two steps"
            )
        return super().state_dict(each, started)
