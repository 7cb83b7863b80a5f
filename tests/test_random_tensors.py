"""Random Tensors: PyTorch's numbers for PyTorch's seeds; generators, states, in-place drawing, gradients."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
import pytest

import allgrad as ag

CALLS = [
    "M.rand(3, 4)", "M.randn(3, 4)", "M.randn(20)", "M.randint(10, (5,))", "M.randint(2, 10, (5,))", "M.randperm(10)",
    "M.rand_like(M.ones(3))", "M.randn_like(M.ones(30))", "M.randint_like(M.ones(3), 5)", "M.randint_like(M.ones(3), 2, 5)",
    "M.normal(0.0, 2.0, (20,))", "M.normal(M.zeros(20), M.ones(20))", "M.normal(M.arange(3.0), 1.0)",
    "M.normal(0.5, M.arange(1.0, 20.0))", "M.bernoulli(M.full((5,), 0.5))", "M.bernoulli(M.zeros(5), 0.3)",
    "M.poisson(M.full((5,), 3.0))", "M.multinomial(M.tensor([0.1, 0.2, 0.7]), 4, True)",
    "M.multinomial(M.tensor([[0.1, 0.2, 0.7], [1, 1, 1]]), 2)", "M.zeros(20).normal_()", "M.zeros(20).uniform_(-1, 1)",
    "M.zeros(4).bernoulli_(0.3)", "M.zeros(4).bernoulli_(M.tensor([0.1, 0.9, 0.5, 0.5]))", "M.zeros(4).exponential_(2.0)",
    "M.zeros(4).geometric_(0.3)", "M.zeros(4).cauchy_(1.0, 2.0)", "M.zeros(4).log_normal_()", "M.zeros(4).random_()",
    "M.zeros(4).random_(3)", "M.zeros(4).random_(3, 7)", "M.arange(4).random_()", "M.zeros(4, 5).t().normal_()",
    "M.zeros(4, 5).t().uniform_()", "M.zeros(2, 3, 4).permute(2, 0, 1).exponential_()", "M.zeros(6, 4)[::2].normal_()",
    "M.zeros(5, 2, dtype=M.float64).normal_(1.0, 2.0)", "M.rand(3, dtype=M.float64)", "M.randn(17, dtype=M.float16)",
    "M.randint(3, (4,), dtype=M.float32)", "M.randperm(5, dtype=M.int32)", "M.zeros(3).uniform_(**{'from': 2, 'to': 3})",
    "M.tensor([1, 2]).bernoulli_(0.5)", "M.tensor([True, False]).random_()",
]  # fmt: skip


@pytest.mark.parametrize("expression", CALLS)
def test_same_numbers_as_torch(expression: str) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for m in (ag, torch):
        m.manual_seed(5)
        t = eval(expression, {"M": m})
        after = m.rand(2)  # the stream goes on from the same place
        found.append((t.numpy(), str(t.dtype), after.numpy()))
    (a, kind_a, next_a), (b, kind_b, next_b) = found
    assert kind_a == kind_b
    np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_array_equal(next_a, next_b)


def test_seeds_and_states() -> None:
    g = ag.manual_seed(7)
    assert g is ag.default_generator and ag.initial_seed() == 7 and g.initial_seed() == 7
    state = ag.get_rng_state()
    assert state.dtype is ag.uint8 and state.shape == (5056,)
    first = ag.randn(5)
    ag.set_rng_state(state)
    np.testing.assert_array_equal(ag.randn(5).numpy(), first.numpy())
    own = ag.Generator().manual_seed(7)
    np.testing.assert_array_equal(ag.randn(5, generator=own).numpy(), first.numpy())
    own.set_state(state)
    np.testing.assert_array_equal(ag.zeros(5).normal_(generator=own).numpy(), first.numpy())
    for copied in (own.clone_state(), copy.deepcopy(own)):
        assert isinstance(copied, ag.Generator)
        np.testing.assert_array_equal(copied.get_state().numpy(), own.get_state().numpy())
    assert ag.seed() == ag.initial_seed() != 7
    with pytest.raises(TypeError, match="Generator, not int"):
        ag.rand(2, generator=3)  # type: ignore[arg-type]


def test_default_generator_is_that_of_the_thread() -> None:
    """Plain threads share their process's generator; the public object is a door to it."""
    ag.manual_seed(1)
    wanted = ag.rand(3)
    ag.default_generator.manual_seed(1)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(ag.rand(3)))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0].numpy(), wanted.numpy())


@pytest.mark.parametrize("name", ["normal_", "uniform_", "exponential_", "cauchy_", "log_normal_"])
def test_whole_numbers_have_no_continuous_law(name: str) -> None:
    with pytest.raises(RuntimeError, match="floating point"):
        getattr(ag.tensor([1, 2]), name)()


def test_drawing_into_the_graph() -> None:
    x = ag.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.normal_()
    y = x * 2
    z = y * y
    y.uniform_()
    with pytest.raises(RuntimeError, match="uniform_"):
        z.sum().backward()
    w = (x * 2).normal_()
    w.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 0])
    p = ag.full((4,), 0.5, requires_grad=True)
    ag.bernoulli(p).sum().backward()
    np.testing.assert_array_equal(p.grad.numpy(), np.zeros(4))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ag.normal(0.0, -1.0, (2,)), "std"),
        (lambda: ag.normal(ag.zeros(2), ag.tensor([1.0, -1.0])), "std"),
        (lambda: ag.normal(0.0, 1.0), "size"),
        (lambda: ag.bernoulli(ag.tensor([1.5])), r"\[0, 1\]"),
        (lambda: ag.bernoulli(ag.tensor([1])), "floating point"),
        (lambda: ag.poisson(ag.tensor([-1.0])), "non-negative"),
        (lambda: ag.multinomial(ag.tensor([1.0]), 2), "without replacement"),
        (lambda: ag.multinomial(ag.tensor([1, 2]), 1), "floating"),
        (lambda: ag.zeros(2).uniform_(1, 0), "from"),
        (lambda: ag.zeros(2).exponential_(-1), "lambda"),
        (lambda: ag.zeros(2).geometric_(1.5), "p"),
        (lambda: ag.randperm(-1), "non-negative"),
    ],
)
def test_errors(call: Any, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        call()


def test_moments() -> None:
    """An outside check that needs no PyTorch: mean and variance within 5 standard errors."""
    ag.manual_seed(0)
    n = 100_000
    for t, mean, var in (
        (ag.rand(n), 0.5, 1 / 12),
        (ag.randn(n), 0.0, 1.0),
        (ag.normal(3.0, 2.0, (n,)), 3.0, 4.0),
        (ag.randint(10, (n,)).double(), 4.5, 8.25),
        (ag.zeros(n).exponential_(2.0), 0.5, 0.25),
        (ag.zeros(n).geometric_(0.25), 4.0, 12.0),
        (ag.bernoulli(ag.full((n,), 0.3)), 0.3, 0.21),
        (ag.poisson(ag.full((n,), 4.0)), 4.0, 4.0),
    ):
        a = t.double().numpy()
        assert abs(a.mean() - mean) < 5 * (var / n) ** 0.5
        assert abs(a.var() - var) < 0.05 * var
    drawn = ag.multinomial(ag.tensor([1.0, 2.0, 5.0]), n, True).numpy()
    np.testing.assert_allclose(np.bincount(drawn) / n, [0.125, 0.25, 0.625], atol=0.01)
