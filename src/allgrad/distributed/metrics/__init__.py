"""Exact evaluation over ranks: each metric is what one process would find on all samples."""

from allgrad.distributed.metrics.base import Mean, Metric, Perplexity, SumCount, average
from allgrad.distributed.metrics.classes import F1, Accuracy, ConfusionMatrix, Precision, Recall
from allgrad.distributed.metrics.exact_sum import ExactSum

__all__ = [
    "F1",
    "Accuracy",
    "ConfusionMatrix",
    "ExactSum",
    "Mean",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "SumCount",
    "average",
]
