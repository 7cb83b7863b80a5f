"""Metrics of an evaluation over ranks with an exact sampler; the same numbers in any world of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import allgrad as torch
from allgrad.distributed.metrics import F1, Accuracy, ConfusionMatrix, Mean, Perplexity, Precision, Recall, SumCount
from allgrad.utils.data import DataLoader, DistributedSampler, TensorDataset
from ddp_bodies import group

SAMPLES, CLASSES = 23, 5  # 23 divides by none of 2, 3, 4


def data() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    source = np.random.default_rng(8)
    return source.standard_normal((SAMPLES, CLASSES)) * 3, source.integers(0, CLASSES - 1, SAMPLES)


def made() -> dict[str, Any]:
    return {
        "accuracy": Accuracy(),
        "top 3": Accuracy(top_k=3),
        "without class 2": Accuracy(ignore_index=2),
        "perplexity": Perplexity(ignore_index=2),
        "confusion": ConfusionMatrix(CLASSES),
        **{f"f1 {a}": F1(CLASSES, a) for a in ("micro", "macro", "weighted", None)},
        "precision": Precision(CLASSES),
        "recall": Recall(CLASSES, None),
        "mean": Mean(),
        "pair": SumCount(),
    }


def evaluation(batch: int = 3) -> np.ndarray[Any, Any]:
    with group() as (rank, size):
        scores, labels = data()
        dataset = TensorDataset(torch.tensor(scores), torch.tensor(labels))
        metrics = made()
        for logits, targets in DataLoader(dataset, batch, sampler=DistributedSampler(dataset, size, rank, exact=True)):
            for name, metric in metrics.items():
                if name == "mean":
                    metric.update(logits.exp().sum(1))
                elif name == "pair":
                    metric.update(logits.sum(1), targets)
                else:
                    metric.update(logits, targets)
        values = [metric.compute() for metric in metrics.values()]
        return np.concatenate([np.asarray(getattr(v, "_a", v), np.float64).reshape(-1) for v in values])


def nothing_on_some() -> np.ndarray[Any, Any]:
    """Only the last rank sees samples."""
    with group() as (rank, size):
        scores, labels = data()
        metric = Accuracy()
        if rank == size - 1:
            metric.update(scores, labels)
        return np.array([metric.compute()])


BODIES: dict[str, Callable[[], np.ndarray[Any, Any]]] = {"evaluation": evaluation, "nothing on some": nothing_on_some}
