"""Metrics over all ranks, as if one process had seen all samples.

    accuracy = Accuracy()
    for inputs, targets in loader:            # DistributedSampler(..., exact=True): no sample twice
        accuracy.update(model(inputs), targets)
    print(accuracy.compute())                 # on every rank: it is collective

Counts are int64, sums are exact (``exact_sum.py``): the result has the same bits at any number of ranks and batch size
wherever the numbers that go in have.  Ranks may hold different numbers of samples, or none.  Without a process group
a metric is that of this process.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.comm import Communicator
from allgrad.comm.launchenv import detect
from allgrad.context import ctx, rank_state
from allgrad.distributed.group import entered
from allgrad.distributed.metrics.exact_sum import ExactSum
from allgrad.errors import ArgumentError, CheckpointError, DistributedError, MismatchError, ShapeError

__all__ = ["Mean", "Metric", "Perplexity", "SumCount", "average"]

Array = np.ndarray[Any, Any]


class Metric:
    """Sums and counts of this rank; ``_result`` makes the value from those of all ranks."""

    sums = 1  # how many exact sums there are
    shape: tuple[int, ...] = (1,)  # and the shape of the counts

    def __init__(self, process_group: Any = None) -> None:
        self.process_group = process_group
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._sums = [ExactSum() for _ in range(self.sums)]
        self._counts = np.zeros(self.shape, np.int64)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Take in a batch of this rank; no communication."""
        raise DistributedError(f"{type(self).__name__} must define update()")

    def compute(self) -> Any:
        """The value over all that all ranks took in since ``reset``; more may be taken in afterwards.  Collective."""
        comm = communicator(self.process_group)
        if comm is None or comm.size == 1:
            return self._result([s.value() for s in self._sums], self._counts)
        mine = [self._words(), [s.numbers() for s in self._sums]]
        said = [json.loads(t) for t in comm.all_gather_bytes(json.dumps(mine).encode(), label="sums of a metric")]
        for rank, (words, _) in enumerate(said):
            if words != said[0][0]:
                raise MismatchError(
                    f"compute() of a metric: rank {rank} has {words}, expected {said[0][0]} as on rank 0; "
                    "call compute() of the same metric on every rank"
                )
        sums = [ExactSum(x for _, rows in said for x in rows[k]).value() for k in range(self.sums)]
        counts = self._counts.reshape(-1).copy()
        if counts.size:
            comm.all_reduce(counts, label="counts of a metric")
        return self._result(sums, counts.reshape(self.shape))

    def _words(self) -> str:
        return f"{type(self).__name__} with {self.sums} sums and counts of shape {list(self.shape)}"

    def _result(self, sums: list[float], counts: Array) -> Any:
        raise DistributedError(f"{type(self).__name__} must define _result()")

    def state_dict(self) -> dict[str, Any]:
        """What this rank took in, for its checkpoint."""
        return {
            "metric": self._words(),
            "sums": [s.numbers() for s in self._sums],
            "counts": wrap(self._counts.copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
        if state["metric"] != self._words():
            raise CheckpointError(f"the state belongs to {state['metric']}, expected {self._words()}")
        self._sums = [ExactSum(numbers) for numbers in state["sums"]]
        self._counts = np.array(state["counts"]._a, np.int64).reshape(self.shape)


def communicator(group: Any) -> Communicator | None:
    """The group's; None where this process is alone.  An error where it is not, but no group was made."""
    if group is not None or rank_state().group is not None:
        return entered(group, "a metric").comm
    if (detect().size if ctx.launched is None else ctx.launched.size) > 1:
        raise DistributedError(
            "a metric over all ranks needs init_process_group() first: this process is one of several, and the result "
            "would be that of its own samples only"
        )
    return None


def numbers(values: Any, name: str = "values") -> Array:
    """A Tensor, array or number as an array without a graph."""
    a = values._a if isinstance(values, Variable) else np.asarray(values)
    if a.dtype.kind in "OUSc":
        raise ArgumentError(f"{name} must be real numbers, found dtype {a.dtype}")
    return a


class SumCount(Metric):
    """Any quotient of two sums: ``update(total, count)``, ``compute()`` is the sum of totals over that of counts."""

    sums, shape = 2, (0,)  # the totals and the counts, which may be fractions

    def update(self, total: Any, count: Any = 1) -> None:
        self._sums[0].add(numbers(total, "total").astype(np.float64))
        self._sums[1].add(numbers(count, "count").astype(np.float64))

    def _result(self, sums: list[float], counts: Array) -> float:
        if sums[1] == 0:
            raise ArgumentError(
                f"{type(self).__name__}.compute(): the counts of all ranks add up to 0; call update() first"
            )
        return sums[0] / sums[1]


class Mean(SumCount):
    """The weighted mean of values: ``update(loss, weight=len(batch))``, or one value per sample without a weight."""

    def update(self, value: Any, weight: Any = 1) -> None:
        """``value`` (...), ``weight`` a number or of the same shape: value * weight is rounded once, then all is exact."""
        a = numbers(value, "value").astype(np.float64)
        w = np.broadcast_to(numbers(weight, "weight").astype(np.float64), a.shape)
        if not (np.isfinite(w).all() and (w >= 0).all()):
            raise ArgumentError("weight must be finite and at least 0: a number of samples or tokens")
        super().update(np.where(w == 0, 0.0, a * w), w)  # what weighs nothing may be NaN: the mean over no samples


class Perplexity(Metric):
    """exp of the mean negative log-likelihood per token: ``update(logits (..., classes), targets (...))``.

    Logits have their classes last.  Tokens whose target is ``ignore_index`` do not count.
    """

    def __init__(self, ignore_index: int | None = -100, process_group: Any = None) -> None:
        self.ignore_index = ignore_index
        super().__init__(process_group)

    def update(self, logits: Any, targets: Any) -> None:
        scores, labels = numbers(logits, "logits").astype(np.float64), numbers(targets, "targets")
        if scores.shape[:-1] != labels.shape:
            raise ShapeError(
                f"logits of shape {list(scores.shape)} need targets of shape {list(scores.shape[:-1])}, found {list(labels.shape)}"
            )
        scores, labels = scores.reshape(-1, scores.shape[-1]), labels.reshape(-1)
        if self.ignore_index is not None:
            kept = labels != self.ignore_index
            scores, labels = scores[kept], labels[kept]
        check_labels(labels, scores.shape[-1], "targets")
        if labels.size:
            top = scores.max(1)
            lost = np.log(np.exp(scores - top[:, None]).sum(1)) + top - scores[np.arange(labels.size), labels]
            self._sums[0].add(lost)
        self._counts += labels.size

    def _result(self, sums: list[float], counts: Array) -> float:
        if not counts[0]:
            raise ArgumentError("Perplexity.compute(): no rank has seen a token; call update() first")
        mean = sums[0] / int(counts[0])
        return math.exp(mean) if mean < 709 else math.inf


def check_labels(labels: Array, classes: int, name: str) -> None:
    """Labels are whole numbers from 0 to ``classes - 1``."""
    if labels.dtype.kind not in "iub":
        raise ArgumentError(f"{name} must be whole numbers, found dtype {labels.dtype}")
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ArgumentError(
            f"{name} must lie from 0 to {classes - 1}, found {int(labels.min())} to {int(labels.max())}"
        )


def average(value: Any, weight: float = 1.0, process_group: Any = None) -> float:
    """The mean of one number over the ranks, ``average(loss, len(batch))``: the loss to print.  Collective."""
    metric = Mean(process_group)
    metric.update(value, weight)
    return float(metric.compute())
