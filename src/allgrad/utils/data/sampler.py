"""Samplers: in which order the samples come."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from allgrad.comm import launch_world
from allgrad.errors import ArgumentError
from allgrad.random import Generator, default_generator


class Sampler:
    """Base of samplers: iterating gives indices, or lists of them."""

    def __init__(self, data_source: Any = None) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[Any]:
        raise ArgumentError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, …"""

    def __init__(self, data_source: Sized) -> None:
        super().__init__(data_source)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def draw_seed(generator: Generator | None = None) -> int:
    """One seed from a generator (the default one): PyTorch's draw, with PyTorch's number."""
    source = default_generator() if generator is None else generator
    return int(source.random((), np.dtype(np.int64)))


class RandomSampler(Sampler):
    """A new random order each time; with ``replacement``, independent draws."""

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(data_source)
        if not isinstance(replacement, bool):
            raise ArgumentError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if self.num_samples < 0 or (num_samples is not None and (not isinstance(num_samples, int) or num_samples <= 0)):
            raise ArgumentError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n = len(self.data_source)
        source = Generator().manual_seed(draw_seed()) if self.generator is None else self.generator
        if self.replacement:
            for _ in range(self.num_samples // 32):
                yield from source.integers(0, n, (32,), np.dtype(np.int64)).tolist()
            yield from source.integers(0, n, (self.num_samples % 32,), np.dtype(np.int64)).tolist()
            return
        for _ in range(self.num_samples // n if n else 0):
            yield from source.permutation(n).tolist()
        if n and self.num_samples % n:
            yield from source.permutation(n).tolist()[: self.num_samples % n]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Given indices in a new random order each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__()
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        source = default_generator() if self.generator is None else self.generator
        return iter([self.indices[int(i)] for i in source.permutation(len(self.indices))])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices drawn by weight."""

    def __init__(
        self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None
    ) -> None:
        super().__init__()
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ArgumentError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        self.weights = np.asarray(getattr(weights, "_a", weights), np.float64)
        if self.weights.ndim != 1:
            raise ArgumentError(f"weights should be a 1d sequence but given weights have shape {self.weights.shape}")
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        source = default_generator() if self.generator is None else self.generator
        return iter(source.multinomial(self.weights, self.num_samples, self.replacement).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` indices of another sampler; the last may be shorter unless ``drop_last``."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ArgumentError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ArgumentError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


class DistributedSampler(Sampler):
    """This rank's share of the samples: every ``num_replicas``-th of one order that all ranks agree on.

    Samples are repeated (or with ``drop_last`` left out) so that all ranks get equally many.  ``exact=True`` does
    neither: shares differ by at most one, for evaluation.  The order changes with each pass by itself;
    ``set_epoch`` says which pass it is, as in PyTorch.
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

    @property
    def num_samples(self) -> int:
        """How many indices this rank gets."""
        n = len(self.dataset)
        if self.exact:
            return len(range(self.rank, n, self.num_replicas))
        if self.drop_last and n % self.num_replicas:
            return math.ceil((n - self.num_replicas) / self.num_replicas)
        return math.ceil(n / self.num_replicas)

    @property
    def total_size(self) -> int:
        """How many indices all ranks get together."""
        return len(self.dataset) if self.exact else self.num_samples * self.num_replicas

    def order(self) -> list[int]:
        """The order of this epoch, the same on every rank, repeated or cut to ``total_size``."""
        n = len(self.dataset)
        if self.shuffle:
            indices = Generator().manual_seed(self.seed + self.epoch).permutation(n).tolist()
        else:
            indices = list(range(n))
        if self.exact:
            return indices
        missing = self.total_size - n
        if missing > 0:
            indices += (indices * math.ceil(missing / n))[:missing] if n else []
        return indices[: self.total_size]

    def __iter__(self) -> Iterator[int]:
        if not self._told:
            self.epoch = self._passes
        self._passes += 1
        return iter(self.order()[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Say which pass comes next; the order depends on it."""
        self._told = True
        self.epoch = epoch
