"""``DataLoader``: batches of a dataset in the order of a sampler."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from allgrad.comm import detect
from allgrad.context import ctx
from allgrad.errors import ArgumentError
from allgrad.utils.data.collate import default_collate, default_convert
from allgrad.utils.data.dataset import IterableDataset
from allgrad.utils.data.distributed import DistributedSampler
from allgrad.utils.data.fetch import Plan, fetch, stream
from allgrad.utils.data.parallel import WorkerPass
from allgrad.utils.data.sampler import BatchSampler, RandomSampler, ResumableSampler, SequentialSampler, draw_seed
from allgrad.utils.data.workers import ThreadCrew


class DataLoader:
    """Iterating gives collated batches; each ``iter()`` is one pass over the sampler.

    Workers are threads; ``multiprocessing_context="spawn"`` makes them processes.  Batches come in the sampler's order
    either way.  ``state_dict()`` says how far the pass has come; after ``load_state_dict`` the next pass gives the rest.
    ``pin_memory`` and ``in_order`` are accepted and change nothing.
    """

    def __init__(
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Any = None,
        batch_sampler: Any = None, num_workers: int = 0, collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None, multiprocessing_context: Any = None, generator: Any = None,
        *, prefetch_factor: int | None = None, persistent_workers: bool = False, pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:  # fmt: skip
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        self.dataset = dataset
        self.num_workers, self.timeout = num_workers, timeout
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory, self.pin_memory_device, self.in_order = pin_memory, pin_memory_device, in_order
        self.worker_init_fn, self.generator = worker_init_fn, generator
        self.multiprocessing_context = multiprocessing_context
        self.streaming = isinstance(dataset, IterableDataset)
        if self.streaming and (shuffle or sampler is not None or batch_sampler is not None):
            raise ArgumentError(
                "DataLoader with IterableDataset: expected unspecified shuffle, sampler and batch_sampler"
            )
        if sampler is not None and shuffle:
            raise ArgumentError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ArgumentError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ArgumentError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        if sampler is None and not self.streaming:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None and not self.streaming:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        elif batch_size is not None and (not isinstance(batch_size, int) or batch_size <= 0):
            raise ArgumentError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        batching = batch_sampler is not None or (self.streaming and batch_size is not None)
        self.collate_fn = collate_fn if collate_fn is not None else default_collate if batching else default_convert
        self._pass: _Pass | None = None  # the one that runs
        self._resume: dict[str, Any] | None = None
        self._crew: Any = None  # persistent workers

    def __len__(self) -> int:
        if self.streaming:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self._source())

    def __iter__(self) -> Iterator[Any]:
        resume, self._resume = self._resume, None
        # The seed that workers get; PyTorch draws it for every pass, workers or none, and so the order after it is the same.
        base_seed = draw_seed(self.generator) if resume is None else resume["base_seed"]
        self._pass = _Pass(self, base_seed, resume)
        return self._pass

    def state_dict(self) -> dict[str, Any]:
        """How far the running pass has come: the batches that were handed out.  Between passes: where the next starts."""
        if self._pass is not None:
            return self._pass.state_dict()
        source = self._source()
        return {"sampler": source.state_dict()} if _resumable(source) else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass gives the batches that were left when ``state`` was taken."""
        self._pass = None
        self._resume = dict(state) if "batches" in state else None
        if "sampler" in state:
            self._source().load_state_dict(state["sampler"])

    def _source(self) -> Any:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler

    def _plan(self) -> Plan:
        rank = ctx.launched.rank if ctx.launched is not None else detect().rank
        batching = self.batch_sampler is not None
        return Plan(
            self.dataset, self.collate_fn, self.batch_size, self.drop_last, batching, self.worker_init_fn, self.num_workers, rank
        )  # fmt: skip

    def _workers(self, plan: Plan, base_seed: int) -> Any:
        if self._crew is not None and self._crew.broken:
            self._crew.close()
            self._crew = None
        if self._crew is not None:
            self._crew.new_pass(base_seed)
            return self._crew
        crew: Any
        if self.multiprocessing_context is None:
            crew = ThreadCrew(plan, base_seed)
        else:
            from allgrad.utils.data.processes import ProcessCrew, process_context

            crew = ProcessCrew(plan, base_seed, process_context(self.multiprocessing_context))
        if self.persistent_workers:
            self._crew = crew
        return crew

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pass": None, "_crew": None}

    def __del__(self) -> None:
        crew = self.__dict__.get("_crew")
        if crew is not None:
            crew.close()


class _Pass:
    """One pass over the sampler: an iterator of batches that knows how many it has handed out."""

    def __init__(self, loader: DataLoader, base_seed: int, resume: dict[str, Any] | None) -> None:
        self._loader = loader
        self._base_seed = base_seed
        self._batches = 0 if resume is None else resume["batches"]
        self._taken = 0  # indices in the batches handed out, since the sampler was taken up
        self._started: dict[str, Any] | None = None  # how the sampler's pass was started
        source = loader._source()
        self._resumable = not loader.streaming and _resumable(source)
        self._indices: Iterator[Any] = itertools.repeat(None) if loader.streaming else self._noted(iter(source))
        plan = loader._plan()
        # The workers' random numbers go on where they were, unless their number has changed or the pass is read again.
        states = (resume or {}).get("workers") if "sampler" in (resume or {}) else None
        states = states if states is not None and len(states) == loader.num_workers else None
        self._crew_pass: WorkerPass | None = None
        if loader.num_workers:
            crew = loader._workers(plan, base_seed)
            if states is not None:
                crew.new_pass(base_seed, states)
            first = self._batches % loader.num_workers if states is not None else 0
            self._crew_pass = WorkerPass(
                crew, plan, self._indices, loader.prefetch_factor or 2, loader.timeout or None, crew is not loader._crew, first
            )  # fmt: skip
            if states is not None:
                self._crew_pass.random = list(states)
            self._inner: Iterator[tuple[Any, Any]] = self._crew_pass
        elif loader.streaming:
            self._inner = ((None, batch) for batch in stream(plan))
        else:
            self._inner = ((indices, fetch(plan, indices)) for indices in self._indices)
        # What cannot say where it stands is read again up to there.
        self._skip = self._batches if resume is not None and "sampler" not in resume else 0

    def _noted(self, indices: Iterator[Any]) -> Iterator[Any]:
        for i in indices:
            if self._started is None and self._resumable:
                source = self._loader._source()
                sampler: Any = source.sampler if type(source) is BatchSampler else source
                self._started = sampler._started
            yield i

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        while self._skip:
            self._skip -= 1
            next(self._inner)
        try:
            indices, batch = next(self._inner)
        except StopIteration:
            if self._loader._pass is self:
                self._loader._pass = None
            raise
        self._batches += 1
        self._taken += len(indices) if self._loader.batch_sampler is not None else 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """See ``DataLoader.state_dict``."""
        state: dict[str, Any] = {"batches": self._batches, "base_seed": self._base_seed}
        # A sampler that did not say how it started is read again up to here when the state is loaded.
        if self._resumable and (self._started is not None or not self._batches):
            state["sampler"] = self._loader._source().state_dict(self._taken, self._started)
        if self._crew_pass is not None:
            state["workers"] = list(self._crew_pass.random)
        return state


def _resumable(source: Any) -> bool:
    inner = source.sampler if type(source) is BatchSampler else source
    return isinstance(inner, (ResumableSampler, DistributedSampler))


def _check_workers(n: Any, timeout: float, prefetch: int | None, persistent: bool, context: Any) -> None:
    if not isinstance(n, int) or n < 0:
        raise ArgumentError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ArgumentError(f"timeout option should be non-negative, found {timeout}")
    if n == 0 and prefetch is not None:
        raise ArgumentError("prefetch_factor option could only be specified with num_workers > 0; let num_workers > 0")
    if prefetch is not None and prefetch < 1:
        raise ArgumentError(f"prefetch_factor option should be positive, found {prefetch}")
    if persistent and n == 0:
        raise ArgumentError("persistent_workers option needs num_workers > 0")
    if context is not None:
        if n == 0:
            raise ArgumentError("multiprocessing_context can only be used with num_workers > 0, but got num_workers=0")
        from allgrad.utils.data.processes import process_context

        process_context(context)
