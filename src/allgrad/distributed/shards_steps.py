"""How a training loop goes over the shards: ``model.steps(loader)`` and ``model.shard(k)``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from allgrad.errors import ArgumentError, UnsupportedError

if TYPE_CHECKING:
    from allgrad.distributed.shards import Sharding

_END = object()


class ShardSteps:
    """The part of ``DistributedDataParallel`` that is there for ``shards=V``."""

    sharding: Sharding | None = None

    def _sharding(self) -> Sharding:
        if self.sharding is None:
            raise ArgumentError("the model has no shards; wrap it with DistributedDataParallel(model, shards=V)")
        return self.sharding

    def _refuse_with_shards(self, what: str) -> None:
        if self.sharding is not None:
            raise UnsupportedError(
                f"{what} has no meaning with shards, whose gradients meet once in a step; model.shard(k, weight=n) weighs, "
                "several backward passes within one shard add up, and a shard without backward counts as zeros"
            )

    def shard(self, k: int, weight: float | None = None) -> AbstractContextManager[int]:
        """``with model.shard(k):`` forward and backward of shard ``k``, one of ``model.sharding.run``.

        After the last of them ``.grad`` holds the mean over all shards of all ranks, or with ``weight`` (how many samples
        or tokens the loss is the mean of; for every shard or none) the mean over all samples.
        """
        return self._sharding().shard(k, weight)

    def steps(self, loader: Iterable[Any]) -> Iterator[Iterator[Any]]:
        """``for step in model.steps(loader): for inputs, targets in step:`` the batches of this rank's shards.

        ``loader`` gives the batches of this rank's shards in their order, as it does with ``ShardBatchSampler``.
        A batch is fetched with random numbers of its shard, if the loader has no workers.
        """
        sharding = self._sharding()
        batches = iter(loader)
        while True:
            with sharding.stream("data", sharding.run[0]):
                first = next(batches, _END)
            if first is _END:
                return
            yield _one_step(sharding, first, batches)
            sharding.check_complete()


def _one_step(sharding: Sharding, first: Any, batches: Iterator[Any]) -> Iterator[Any]:
    for k in sharding.run:
        batch = first
        if k != sharding.run[0]:
            with sharding.stream("data", k):
                batch = next(batches, _END)
        if batch is _END:
            error = ArgumentError(
                f"the loader ended before shard {k} of step {sharding.step}; it must give a batch for each of "
                f"{list(sharding.run)} in every step: DataLoader(dataset, batch_sampler=ShardBatchSampler(dataset, ...))"
            )
            sharding.fail(error)
            raise error
        with sharding.shard(k):
            yield batch
