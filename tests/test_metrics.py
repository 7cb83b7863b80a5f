"""Metrics over ranks: the bits of one process at any number of ranks; values from scikit-learn's formulas by hand."""

from __future__ import annotations

import fractions
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import allgrad as torch
import allgrad.distributed as dist
from allgrad.comm import run_virtual
from allgrad.context import ctx
from allgrad.distributed.metrics import (
    F1,
    Accuracy,
    ConfusionMatrix,
    ExactSum,
    Mean,
    Perplexity,
    Precision,
    Recall,
    SumCount,
    average,
)
from allgrad.errors import ArgumentError, CheckpointError, DistributedError, MismatchError, ShapeError
from metrics_bodies import CLASSES, SAMPLES, data, evaluation, made, nothing_on_some


@pytest.mark.parametrize("batch", [1, 4, 50])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_bits_do_not_depend_on_ranks_and_batches(size: int, batch: int) -> None:
    expected = evaluation(7)  # a world of one
    assert all(found.tobytes() == expected.tobytes() for found in run_virtual(evaluation, size, batch))


def values() -> dict[str, np.ndarray[Any, Any]]:
    found, flat = {}, evaluation()
    for name in made():
        count = CLASSES**2 if name == "confusion" else CLASSES if name in ("f1 None", "recall") else 1
        found[name], flat = flat[:count], flat[count:]
    return found


def test_values_from_their_definitions() -> None:
    scores, labels = data()
    found, guess = values(), scores.argmax(1)
    order = np.argsort(-scores, 1)
    assert found["accuracy"] == (guess == labels).mean()
    assert found["top 3"] == np.mean([t in row[:3] for t, row in zip(labels, order)])
    assert found["without class 2"] == (guess == labels)[labels != 2].mean()
    loss = np.log(np.exp(scores).sum(1)) - scores[np.arange(SAMPLES), labels]
    np.testing.assert_allclose(found["perplexity"], np.exp(loss[labels != 2].mean()), rtol=1e-14)
    matrix = np.array([[np.sum((labels == i) & (guess == j)) for j in range(CLASSES)] for i in range(CLASSES)])
    assert np.array_equal(found["confusion"].reshape(CLASSES, CLASSES), matrix)
    assert found["mean"] == math.fsum(np.exp(scores).sum(1)) / SAMPLES
    assert found["pair"] == math.fsum(scores.sum(1)) / labels.sum()


def test_scikit_learn_agrees() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, labels = data()
    found, guess = values(), scores.argmax(1)
    settings = {"zero_division": 0, "labels": range(CLASSES)}
    for kind in ("micro", "macro", "weighted", None):
        expected = sklearn.f1_score(labels, guess, average=kind, **(settings if kind is None else {"zero_division": 0}))
        np.testing.assert_allclose(found[f"f1 {kind}"], expected, rtol=1e-14)
    np.testing.assert_allclose(
        found["precision"], sklearn.precision_score(labels, guess, average="macro", zero_division=0), rtol=1e-14
    )
    np.testing.assert_allclose(
        found["recall"], sklearn.recall_score(labels, guess, average=None, **settings), rtol=1e-14
    )


def test_f1_by_hand() -> None:
    """Class 0: 2 right, 1 missed, 1 false: 4/6.  Class 1: 1 right, 1 missed, 1 false: 1/2.  Class 2: nobody has it."""
    output, targets = torch.tensor([0, 0, 1, 0, 1]), torch.tensor([0, 0, 0, 1, 1])
    for metric, expected in (
        (F1(3), (4 / 6 + 1 / 2) / 2), (F1(3, "weighted"), (3 * 4 / 6 + 2 / 2) / 5), (F1(3, "micro"), 3 / 5),
        (Precision(3), (2 / 3 + 1 / 2) / 2), (Recall(3), (2 / 3 + 1 / 2) / 2),
    ):  # fmt: skip
        metric.update(output, targets)
        assert metric.compute() == pytest.approx(expected, rel=1e-15)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)), st.integers(1, 5))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_sums_are_exact_however_they_are_cut(numbers: list[float], parts: int) -> None:
    exact = float(sum(map(fractions.Fraction, numbers), fractions.Fraction(0)))
    pieces = [ExactSum() for _ in range(parts)]
    for k, number in enumerate(numbers):
        pieces[k % parts].add([number])
    assert ExactSum(x for piece in reversed(pieces) for x in piece.numbers()).value() == exact


def test_sums_of_what_is_not_finite() -> None:
    assert ExactSum([1.0, math.inf]).value() == math.inf
    assert math.isnan(ExactSum([math.inf, -math.inf]).value())
    assert ExactSum([1.7e308, 1.7e308]).value() == math.inf
    assert math.isnan(ExactSum(ExactSum([math.nan, 2.0]).numbers()).value())


def test_uneven_ranks_and_a_mean_of_no_samples() -> None:
    """Rank r has r samples with mean r; rank 0 the mean over none, which is NaN."""

    def program() -> Any:
        dist.init_process_group()
        rank = dist.get_rank()
        return average(torch.tensor(float("nan") if rank == 0 else float(rank)), rank), nothing_on_some_here(rank)

    def nothing_on_some_here(rank: int) -> float:
        metric = Mean()
        if rank == 2:
            metric.update(np.array([1.0, 2.0, 6.0]))
        return float(metric.compute())

    assert run_virtual(program, 4) == [((1 + 4 + 9) / 6, 3.0)] * 4
    scores, labels = data()
    assert run_virtual(nothing_on_some, 3) == [np.array([(scores.argmax(1) == labels).mean()])] * 3


def test_compute_reset_and_states() -> None:
    metric = Mean()
    metric.update(1.0, 2)
    assert metric.compute() == metric.compute() == 1.0
    metric.update(torch.tensor([4.0], requires_grad=True))
    assert metric.compute() == 2.0
    other = Mean()
    other.load_state_dict(metric.state_dict())
    assert other.compute() == 2.0
    metric.reset()
    metric.update(7)
    assert metric.compute() == 7.0 and other.compute() == 2.0
    matrix = ConfusionMatrix(2)
    matrix.update(torch.tensor([1, 1]), torch.tensor([0, 1]))
    saved = matrix.state_dict()
    again = ConfusionMatrix(2)
    again.load_state_dict(saved)
    again.update(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    assert again.compute().tolist() == [[0, 2], [0, 1]] and matrix.compute().tolist() == [[0, 1], [0, 1]]
    with pytest.raises(CheckpointError, match="Mean"):
        again.load_state_dict(other.state_dict())


def test_ties_and_nan_scores() -> None:
    metric = Accuracy()
    metric.update(torch.zeros(2, 3), torch.tensor([0, 1]))  # argmax takes the first
    assert metric.compute() == 0.5
    second = Accuracy(top_k=2)
    second.update(torch.zeros(3, 3), torch.tensor([0, 1, 2]))
    second.update(torch.tensor([[math.nan, 1.0, 0.0]]), torch.tensor([1]))
    assert second.compute() == 0.5


def test_what_cannot_be_is_said() -> None:
    for metric in (Mean(), Accuracy(), Perplexity(), SumCount()):
        with pytest.raises(ArgumentError, match="update"):
            metric.compute()
    with pytest.raises(ArgumentError, match="from 0 to 2, found 0 to 3"):
        Accuracy().update(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(ShapeError, match=r"targets of shape \[2\]"):
        Perplexity().update(torch.zeros(2, 3), torch.tensor([0]))
    with pytest.raises(ShapeError, match="2 classes"):
        ConfusionMatrix(2).update(torch.zeros(2, 3), torch.tensor([0, 1]))
    with pytest.raises(ArgumentError, match="weight"):
        Mean().update(1.0, -1)
    with pytest.raises(ArgumentError, match="whole numbers"):
        Accuracy().update(torch.zeros(2, 3), torch.tensor([0.0, 1.0]))


def test_no_group_in_a_world_of_several_is_an_error() -> None:
    def program() -> str:
        metric = Mean()
        metric.update(float(ctx.launched.rank))
        with pytest.raises(DistributedError, match="init_process_group"):
            metric.compute()
        return "told"

    assert run_virtual(program, 2) == ["told"] * 2


def test_different_metrics_are_an_error_on_every_rank() -> None:
    def program() -> str:
        dist.init_process_group()
        metric = ConfusionMatrix(3 if dist.get_rank() else 2)
        with pytest.raises(MismatchError, match="rank 1 has ConfusionMatrix"):
            metric.compute()
        return "told"

    assert run_virtual(program, 3) == ["told"] * 3
