"""Samplers: in which order the samples come."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from allgrad.errors import ArgumentError
from allgrad.random import Generator, default_generator

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base of samplers: iterating gives indices, or lists of them."""

    def __init__(self, data_source: Any = None) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[Any]:
        raise ArgumentError(f"{type(self).__name__} must define __iter__")


class ResumableSampler(Sampler[int]):
    """A sampler whose place in a pass can be saved, and taken up by another sampler, in another process.

    A subclass defines ``_draw(generator)``, the indices of one pass.  What it draws from, ``generator`` or the default
    one, is what the state remembers: a pass that is taken up draws the same order and leaves out what was handed out.
    """

    generator: Generator | None = None
    _resume: dict[str, Any] | None = None
    _started: dict[str, Any] | None = None  # how the pass that runs was started; None between passes
    _taken = 0

    def _draw(self, source: Generator) -> Iterator[int]:
        raise ArgumentError(f"{type(self).__name__} must define _draw")

    def _begin(self) -> tuple[dict[str, Any], Generator]:
        """How a new pass starts: what to remember of it, and what it draws from."""
        source = default_generator() if self.generator is None else self.generator
        return {"generator": source.get_state()}, source

    def _replay(self, started: dict[str, Any]) -> Generator:
        """What an interrupted pass drew from.  The default generator is left alone: it has moved on since."""
        source = Generator() if self.generator is None else self.generator
        source.set_state(started["generator"])
        return source

    def __iter__(self) -> Iterator[int]:
        resume, self._resume = self._resume, None
        if resume is None:
            started, source = self._begin()
        else:
            started, source = resume["started"], self._replay(resume["started"])
        started = {**started, "from": 0 if resume is None else resume["taken"]}
        self._started, self._taken = started, 0
        for index in itertools.islice(self._draw(source), started["from"], None):
            self._taken += 1
            yield index
        if self._started is started:
            self._started = None

    def state_dict(self, taken: int | None = None, started: dict[str, Any] | None = None) -> dict[str, Any]:
        """The place in the pass that runs.  A loader that reads ahead says how many indices were really used."""
        started = self._started if started is None else started
        if started is None:
            return {} if self.generator is None else {"generator": self.generator.get_state()}
        return {"started": started, "taken": started["from"] + (self._taken if taken is None else taken)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass goes on where ``state`` was taken."""
        self._resume = dict(state) if "started" in state else None
        if "generator" in state and self.generator is not None:
            self.generator.set_state(state["generator"])


class SequentialSampler(ResumableSampler):
    """0, 1, 2, …"""

    def __init__(self, data_source: Sized) -> None:
        super().__init__(data_source)

    def _begin(self) -> tuple[dict[str, Any], Any]:
        return {}, None

    def _replay(self, started: dict[str, Any]) -> Any:
        return None

    def _draw(self, source: Any) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def draw_seed(generator: Generator | None = None) -> int:
    """One seed from a generator (the default one): PyTorch's draw, with PyTorch's number."""
    source = default_generator() if generator is None else generator
    return int(source.random((), np.dtype(np.int64)))


class RandomSampler(ResumableSampler):
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

    def _begin(self) -> tuple[dict[str, Any], Generator]:
        if self.generator is not None:
            return super()._begin()
        seed = draw_seed()
        return {"seed": seed}, Generator().manual_seed(seed)

    def _replay(self, started: dict[str, Any]) -> Generator:
        return Generator().manual_seed(started["seed"]) if "seed" in started else super()._replay(started)

    def _draw(self, source: Generator) -> Iterator[int]:
        n = len(self.data_source)
        if self.replacement:
            for _ in range(self.num_samples // 32):
                yield from source.integers(0, n, (32,), np.dtype(np.int64)).tolist()
            yield from source.integers(0, n, (self.num_samples % 32,), np.dtype(np.int64)).tolist()
            return
        for _ in range(self.num_samples // n if n else 0):
            yield from source.permutation(n).tolist()
        if n:
            yield from source.permutation(n).tolist()[: self.num_samples % n]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(ResumableSampler):
    """Given indices in a new random order each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        super().__init__()
        self.indices = indices
        self.generator = generator

    def _draw(self, source: Generator) -> Iterator[int]:
        return iter([self.indices[i] for i in source.permutation(len(self.indices)).tolist()])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(ResumableSampler):
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

    def _draw(self, source: Generator) -> Iterator[int]:
        return iter(source.multinomial(self.weights, self.num_samples, self.replacement).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
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

    def state_dict(self, taken: int | None = None, started: dict[str, Any] | None = None) -> dict[str, Any]:
        """The place of the sampler whose indices are put together."""
        found: dict[str, Any] = self.sampler.state_dict(taken, started)  # type: ignore[attr-defined]
        return found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the sampler whose indices are put together go on where ``state`` was taken."""
        self.sampler.load_state_dict(state)  # type: ignore[attr-defined]
