"""What PyTorch's documentation shows, allgrad does: values, dtypes, shapes and errors, call by call.

Each row is a call on both libraries; the rows with literal values hold without PyTorch installed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import allgrad


def square(t: Any) -> Any:
    return t.arange(12, dtype=t.float64).reshape(3, 4) - 5.0


CALLS: dict[str, Callable[[Any], Any]] = {
    "quantile of a list": lambda t: t.quantile(t.tensor([1.0, 2.0, 4.0]), t.tensor([0.25, 0.6])),
    "quantile of float32": lambda t: t.tensor([1.0, math.nan]).quantile(0.5),
    "nanquantile": lambda t: t.tensor([1.0, math.nan, 2.0]).nanquantile(0.3),
    "cdist": lambda t: t.cdist(square(t), square(t) * 0.5 + 1, p=2),
    "cdist of order 1": lambda t: t.cdist(square(t), square(t) * 0.5 + 1, p=1),
    "renorm": lambda t: t.renorm(square(t), 2, 0, 3.0),
    "renorm of columns": lambda t: square(t).renorm(1, 1, 5),
    "renorm without 2 dimensions": lambda t: t.renorm(t.ones(3), 2, 0, 1.0),
    "renorm below zero": lambda t: t.renorm(square(t), 2, 0, -1.0),
    "vander": lambda t: t.vander(t.tensor([1, 2, 3, 5])),
    "vander of 3 columns": lambda t: t.vander(t.tensor([1.0, 2.0]), N=3, increasing=True),
    "vander without columns": lambda t: t.vander(t.tensor([1.0, 2.0]), 0),
    "vander of bools": lambda t: t.vander(t.tensor([True, False])),
    "vander of a matrix": lambda t: t.vander(square(t)),
    "kaiser": lambda t: t.kaiser_window(6, True, 3.0),
    "hamming of other weights": lambda t: t.hamming_window(6, True, 0.6, 0.3),
    "window in float64": lambda t: t.hann_window(5, dtype=t.float64),
    "window of integers": lambda t: t.hann_window(5, dtype=t.int64),
    "window below zero": lambda t: t.blackman_window(-1),
    "asarray keeps the graph": lambda t: t.asarray(t.ones(2, requires_grad=True) + 1, requires_grad=True),
    "asarray cuts the graph": lambda t: t.asarray(t.ones(2, requires_grad=True) + 1, requires_grad=False),
    "asarray copies": lambda t: t.asarray(t.ones(2, requires_grad=True), copy=True, requires_grad=True),
    "unpool": lambda t: t.nn.MaxUnpool2d(2)(*t.nn.MaxPool2d(2, return_indices=True)(square(t).reshape(1, 1, 3, 4))),
    "unpool to a size": lambda t: t.nn.MaxUnpool1d(2, stride=2)(
        *t.nn.MaxPool1d(2, stride=2, return_indices=True)(t.arange(9.0).reshape(1, 1, 9)), output_size=(1, 1, 9)
    ),
    "lp pool 1": lambda t: t.nn.LPPool1d(2, 3, stride=2)(t.arange(9.0).reshape(1, 1, 9)),
    "lp pool 2": lambda t: t.nn.LPPool2d(1.5, 2, ceil_mode=True)(square(t).abs().reshape(1, 1, 3, 4)),
    "bag of given rows": lambda t: t.nn.EmbeddingBag.from_pretrained(t.tensor([[1.0, 2.3], [4.0, 5.1]]))(
        t.tensor([[1, 0]])
    ),
    "bag of given rows, free": lambda t: t.nn.EmbeddingBag.from_pretrained(
        t.tensor([[1.0], [4.0]]), freeze=False, mode="sum"
    )(t.tensor([[1, 1]])),
}
for _name in ("hann", "hamming", "blackman", "bartlett", "kaiser"):
    for _length in (0, 1, 2, 7):
        for _periodic in (True, False):
            CALLS[f"{_name} {_length} {_periodic}"] = lambda t, n=_name, k=_length, p=_periodic: getattr(
                t, n + "_window"
            )(k, p)


def outcome(call: Callable[[Any], Any], library: Any) -> tuple[Any, ...]:
    """(dtype, requires_grad, values), or the kinds of error that PyTorch has a name for."""
    try:
        found = call(library)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return ("error", *sorted(k.__name__ for k in (RuntimeError, ValueError, TypeError) if isinstance(error, k)))
    return repr(found.dtype), found.requires_grad, found.detach().numpy()


@pytest.mark.parametrize("name", CALLS)
def test_as_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = outcome(CALLS[name], allgrad), outcome(CALLS[name], torch)
    if theirs[0] == "error":
        assert ours[0] == "error" and set(theirs[1:]) <= set(ours[1:]), (ours, theirs)
        return
    assert ours[:2] == theirs[:2]
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-5, atol=1e-6)
    assert ours[2].shape == theirs[2].shape


LITERAL = [
    (lambda: allgrad.quantile(allgrad.tensor([1.0, 2.0, 4.0]), 0.25), [1.5]),
    (lambda: allgrad.cdist(allgrad.tensor([[0.0, 0.0]]), allgrad.tensor([[3.0, 4.0], [0.0, 1.0]])), [5.0, 1.0]),
    (lambda: allgrad.renorm(allgrad.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1.0), [0.6, 0.8, 0.3, 0.4]),
    (lambda: allgrad.vander(allgrad.tensor([2.0, 3.0]), 3), [4, 2, 1, 9, 3, 1]),
    (lambda: allgrad.hann_window(4), [0, 0.5, 1, 0.5]),
    (lambda: allgrad.hamming_window(3, periodic=False), [0.08, 1, 0.08]),
    (lambda: allgrad.bartlett_window(5, periodic=False), [0, 0.5, 1, 0.5, 0]),
    (lambda: allgrad.blackman_window(3, periodic=False), [0, 1, 0]),
    (lambda: allgrad.nn.LPPool1d(2, 2)(allgrad.tensor([[[3.0, 4.0, 6.0, 8.0]]])), [5, 10]),
]


@pytest.mark.parametrize(("call", "expected"), LITERAL)
def test_literal_values(call: Callable[[], Any], expected: list[float]) -> None:
    found = call()
    assert found.dtype is allgrad.float32
    np.testing.assert_allclose(found.numpy().ravel(), expected, rtol=1e-6, atol=1e-6)


def test_renorm_has_a_gradient() -> None:
    x = (square(allgrad) + 0.25).requires_grad_()
    assert allgrad.autograd.gradcheck(lambda x: allgrad.renorm(x, 2, 0, 3.0), (x,))


@pytest.mark.parametrize(
    "bounds", [(0.0, 1.0, -2.0, 2.0), (0.0, 0.02, -2.0, 2.0), (1.0, 2.0, 3.0, 9.0), (0, 1, -0.1, 0.1)]
)
def test_trunc_normal_draws_pytorchs_numbers(bounds: tuple[float, ...]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = allgrad.empty(30, 40), torch.empty(30, 40)
    allgrad.manual_seed(5)
    torch.manual_seed(5)
    allgrad.nn.init.trunc_normal_(ours, *bounds)
    if torch.__version__ >= "2.13":  # earlier ones invert the distribution function
        torch.nn.init.trunc_normal_(theirs, *bounds)
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


def test_trunc_normal_has_the_law() -> None:
    stats = pytest.importorskip("scipy.stats")
    for mean, std, a, b in [(0.0, 1.0, -2.0, 2.0), (1.0, 2.0, 3.0, 9.0)]:
        x = allgrad.nn.init.trunc_normal_(
            allgrad.empty(4000), mean, std, a, b, generator=allgrad.Generator().manual_seed(1)
        )
        assert a <= float(x.min()) and float(x.max()) <= b
        law = stats.truncnorm((a - mean) / std, (b - mean) / std, mean, std)
        assert stats.kstest(x.numpy(), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("rows", "shape", "drawn"), [((4,), (), ()), ((4,), (3,), (3,)), ((2, 4), (), (2,)), ((2, 4), (3,), (3, 2))]
)
def test_categorical_draws_have_the_batch_shape(
    rows: tuple[int, ...], shape: tuple[int, ...], drawn: tuple[int, ...]
) -> None:
    assert tuple(allgrad.distributions.Categorical(allgrad.ones(*rows)).sample(shape).shape) == drawn
    assert tuple(allgrad.distributions.OneHotCategorical(allgrad.ones(*rows)).sample(shape).shape) == (*drawn, 4)


def test_a_generator_answers_set_state_with_itself() -> None:
    g = allgrad.Generator()
    assert g.set_state(allgrad.Generator().manual_seed(4).get_state()) is g
    assert g.initial_seed() == 4


def test_post_accumulate_hooks_may_return_anything() -> None:
    v = allgrad.zeros(3, requires_grad=True)
    v.register_post_accumulate_grad_hook(lambda p: p.detach().add_(p.grad, alpha=0.5))
    v.backward(allgrad.tensor([1.0, 2.0, 3.0]))
    assert v.tolist() == [0.5, 1.0, 1.5]
