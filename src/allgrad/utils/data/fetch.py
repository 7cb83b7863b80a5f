"""Fetching batches from a dataset, in the process of the user or in a worker, and who a worker is."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from allgrad.context import ctx
from allgrad.random import Generator
from allgrad.utils.data.collate import default_collate
from allgrad.utils.data.dataset import rows_at_once

END = "end of stream"


class Plan(NamedTuple):
    """What a loader does with a dataset; goes to worker processes as it is."""

    dataset: Any
    collate_fn: Callable[[Any], Any]
    batch_size: int | None  # of a stream
    drop_last: bool
    batching: bool
    worker_init_fn: Callable[[int], None] | None
    num_workers: int
    rank: int


class WorkerInfo(NamedTuple):
    """Which worker runs here: ``id`` of ``num_workers``, its ``seed``, its ``dataset``."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Here(threading.local):
    info: WorkerInfo | None = None


_here = _Here()


def get_worker_info() -> WorkerInfo | None:
    """Who this worker is; None in the main process."""
    return _here.info


def set_worker_info(info: WorkerInfo) -> None:
    """Let this thread be a worker."""
    _here.info = info


def fetch(plan: Plan, indices: Any, fetched: list[Any] | None = None) -> Any:
    """The batch at ``indices``, or for a loader without batches the sample at one index.

    ``fetched`` takes the samples as they come, so that the caller knows which one an error is about.
    """
    dataset = plan.dataset
    if not plan.batching:
        return plan.collate_fn(dataset[indices])
    if plan.collate_fn is default_collate:
        batch = rows_at_once(dataset, indices)
        if batch is not None:
            return batch
    many = getattr(dataset, "__getitems__", None)
    if callable(many):
        return plan.collate_fn(many(indices))
    samples = [] if fetched is None else fetched
    for i in indices:
        samples.append(dataset[i])
    return plan.collate_fn(samples)


def few(indices: Any) -> str:
    """Indices for a message: not more than fit into a line."""
    if not isinstance(indices, (list, tuple)) or len(indices) <= 8:
        return str(indices)
    return f"[{', '.join(map(str, indices[:6]))}, … {len(indices)} in all]"


def stream(plan: Plan) -> Iterator[Any]:
    """The batches of a stream."""
    if plan.batch_size is None:
        for sample in plan.dataset:
            yield plan.collate_fn(sample)
        return
    batch = []
    for sample in plan.dataset:
        batch.append(sample)
        if len(batch) == plan.batch_size:
            yield plan.collate_fn(batch)
            batch = []
    if batch and not plan.drop_last:
        yield plan.collate_fn(batch)


class Failure(NamedTuple):
    """An error of a worker, in a form that can go to another process."""

    kind: type[BaseException]  # what it is raised as
    where: str
    trace: str
    name: str = ""  # what it was, where that is not its kind

    def error(self, who: str) -> BaseException:
        """The same kind of error in the main process, saying worker, rank and sample."""
        text = f"Caught {self.name or self.kind.__name__} in {who} at {self.where}.\nOriginal {self.trace}"
        try:
            return self.kind(_Text(text))
        except Exception:  # a class that wants other arguments
            return RuntimeError(text)


class _Text(str):
    """A text that KeyError does not show in quotes with its line ends escaped."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def failure_of(error: BaseException, where: str) -> Failure:
    """The report of an error at a place."""
    # A StopIteration or SystemExit of the dataset's must not end the user's loop without a word.
    usual = isinstance(error, Exception) and not isinstance(error, (StopIteration, StopAsyncIteration))
    kind = type(error) if usual else RuntimeError
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return Failure(kind, where, trace, type(error).__name__)


class Answer(NamedTuple):
    """A batch, ``END`` or a Failure, and the worker's random numbers after it: a resumed pass goes on from there."""

    result: Any
    random: Any


class Worker:
    """The work of one worker, wherever it runs: answers each task with a batch, ``END`` or a Failure."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._number = number
        self._stream: Iterator[Any] | None = None
        self._broken: Failure | None = None

    def start(self, seed: int) -> None:
        """Say who this thread is, and let the user prepare it."""
        ctx.generator = Generator().manual_seed(seed)
        set_worker_info(WorkerInfo(self._number, self._plan.num_workers, seed, self._plan.dataset))
        if self._plan.worker_init_fn is not None:
            try:
                self._plan.worker_init_fn(self._number)
            except BaseException as error:
                self._broken = failure_of(error, "worker_init_fn")

    def new_pass(self, seed: int, state: Any = None) -> None:
        """A stream starts anew; the random numbers are those of a fresh worker, or go on from ``state``."""
        self._stream = None
        ctx.generator.manual_seed(seed)
        if state is not None:
            ctx.generator.set_state(state)

    def answer(self, indices: Any) -> Answer:
        """The batch for a task; ``indices`` None: the next one of the stream."""
        return Answer(self._result(indices), ctx.generator.get_state())

    def _result(self, indices: Any) -> Any:
        if self._broken is not None:
            return self._broken
        fetched: list[Any] = []
        try:
            if indices is not None:
                return fetch(self._plan, indices, fetched)
            if self._stream is None:
                self._stream = stream(self._plan)
            return next(self._stream, END)
        except BaseException as error:  # sys.exit() in a dataset too: an unanswered task would be a hang
            return failure_of(error, self._place(indices, len(fetched)))

    def _place(self, indices: Any, done: int) -> str:
        if indices is None:
            return "the next batch of its stream"
        if not self._plan.batching:
            return f"sample index {indices}"
        if done < len(indices) and not callable(getattr(self._plan.dataset, "__getitems__", None)):
            return f"sample index {indices[done]}"
        return f"the batch of sample indices {few(indices)}"
