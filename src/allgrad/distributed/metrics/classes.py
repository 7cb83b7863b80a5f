"""Metrics of classifiers over all ranks, from counts: accuracy, top-k, confusion matrix, precision, recall, F1."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.distributed.metrics.base import Array, Metric, check_labels, numbers
from allgrad.errors import ArgumentError, ShapeError

__all__ = ["F1", "Accuracy", "ConfusionMatrix", "Precision", "Recall"]

AVERAGES = ("micro", "macro", "weighted", None)


class Accuracy(Metric):
    """The share of samples whose target is among the ``top_k`` highest scores; ``ignore_index`` does not count.

    Of equal scores the lower class wins, as with argmax; a sample with NaN among its scores is wrong.
    """

    sums, shape = 0, (2,)  # counts: right, all

    def __init__(self, top_k: int = 1, ignore_index: int | None = None, process_group: Any = None) -> None:
        if top_k < 1:
            raise ArgumentError(f"top_k must be at least 1, found {top_k}")
        self.top_k, self.ignore_index = top_k, ignore_index
        super().__init__(process_group)

    def update(self, output: Any, targets: Any) -> None:
        """``output``: scores (..., classes), or predicted classes of the shape of ``targets`` (...)."""
        scores, labels = numbers(output, "output"), numbers(targets, "targets")
        kept = np.ones(labels.shape, bool) if self.ignore_index is None else labels != self.ignore_index
        if scores.shape == labels.shape and scores.dtype.kind in "iub":
            if self.top_k > 1:
                raise ArgumentError(f"top_k={self.top_k} needs scores (..., classes), found predicted classes")
            right = scores[kept] == labels[kept]
        else:
            if scores.shape[:-1] != labels.shape:
                raise ShapeError(
                    f"output of shape {list(scores.shape)} needs targets of shape {list(scores.shape[:-1])}, or whole "
                    f"numbers of the same shape; found targets of shape {list(labels.shape)}"
                )
            scores, labels = scores[kept], labels[kept]
            check_labels(labels, scores.shape[-1], "targets")
            right = self._right(scores, labels)
        self._counts += (int(right.sum()), right.size)

    def _right(self, scores: Array, labels: Array) -> Array:
        own = np.take_along_axis(scores, labels[:, None], 1)
        earlier = np.arange(scores.shape[1]) < labels[:, None]
        better = (scores > own) | ((scores == own) & earlier)
        found: Array = (better.sum(1) < self.top_k) & ~np.isnan(scores.astype(np.float32)).any(1)
        return found

    def _words(self) -> str:
        return f"{super()._words()}, top_k={self.top_k}, ignore_index={self.ignore_index}"

    def _result(self, sums: list[float], counts: Array) -> float:
        if not counts[1]:
            raise ArgumentError("Accuracy.compute(): no rank has seen a sample; call update() first")
        return int(counts[0]) / int(counts[1])


class ConfusionMatrix(Metric):
    """How often class i was taken for class j: (classes, classes), rows are the targets."""

    sums = 0

    def __init__(self, num_classes: int, ignore_index: int | None = None, process_group: Any = None) -> None:
        if num_classes < 2:
            raise ArgumentError(f"num_classes must be at least 2, found {num_classes}")
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.shape = (num_classes, num_classes)
        super().__init__(process_group)

    def update(self, output: Any, targets: Any) -> None:
        """``output``: scores (..., classes), or predicted classes of the shape of ``targets`` (...)."""
        found, labels = numbers(output, "output"), numbers(targets, "targets")
        if not (found.shape == labels.shape and found.dtype.kind in "iub"):
            if found.shape != (*labels.shape, self.num_classes):
                raise ShapeError(
                    f"output of shape {list(found.shape)} does not fit targets of shape {list(labels.shape)} and "
                    f"{self.num_classes} classes"
                )
            found = found.argmax(-1)
        kept = np.ones(labels.shape, bool) if self.ignore_index is None else labels != self.ignore_index
        found, labels = found[kept].astype(np.int64), labels[kept]
        check_labels(labels, self.num_classes, "targets")
        check_labels(found, self.num_classes, "output")
        pairs = labels.astype(np.int64) * self.num_classes + found
        self._counts += np.bincount(pairs, minlength=self.num_classes**2).reshape(self.shape)

    def _result(self, sums: list[float], counts: Array) -> Any:
        return wrap(counts.copy())


class _PerClass(ConfusionMatrix):
    """A quotient of counts for each class, and their average; a class with 0 / 0 counts as 0."""

    def __init__(
        self,
        num_classes: int,
        average: str | None = "macro",
        ignore_index: int | None = None,
        process_group: Any = None,
    ) -> None:
        if average not in AVERAGES:
            raise ArgumentError(f"average must be one of {', '.join(map(str, AVERAGES))}, found {average!r}")
        self.average = average
        super().__init__(num_classes, ignore_index, process_group)

    def _words(self) -> str:
        return f"{super()._words()}, average={self.average}"

    def _parts(self, right: Array, targets: Array, found: Array) -> tuple[Array, Array]:
        """Numerators and denominators, from how often a class was right, was the target, was the answer."""
        raise ArgumentError(f"{type(self).__name__} must define _parts()")

    def _result(self, sums: list[float], counts: Array) -> Any:
        right, targets, found = np.diagonal(counts), counts.sum(1), counts.sum(0)
        if self.average == "micro":
            right, targets, found = (x.sum(keepdims=True) for x in (right, targets, found))
        above, below = self._parts(right, targets, found)
        share = np.divide(above, below, out=np.zeros(below.shape), where=below != 0)
        if self.average is None:
            return wrap(share)
        if self.average == "weighted":
            total = targets.sum()
            return float((share * targets).sum() / total) if total else 0.0
        seen = (targets + found) > 0  # a class that nobody has or names says nothing
        return float(share[seen].mean()) if seen.any() else 0.0


class Precision(_PerClass):
    """Of those taken for a class, the share that is of it."""

    def _parts(self, right: Array, targets: Array, found: Array) -> tuple[Array, Array]:
        return right, found


class Recall(_PerClass):
    """Of those of a class, the share that is taken for it."""

    def _parts(self, right: Array, targets: Array, found: Array) -> tuple[Array, Array]:
        return right, targets


class F1(_PerClass):
    """The harmonic mean of precision and recall."""

    def _parts(self, right: Array, targets: Array, found: Array) -> tuple[Array, Array]:
        return 2 * right, targets + found
