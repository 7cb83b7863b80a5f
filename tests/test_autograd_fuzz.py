"""Random programs of operations, views and in-place changes: first and second derivatives against differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, mutually_broadcastable_shapes

import allgrad as ag
from allgrad.errors import InplaceError

STEP = 1e-5


def _pick(rng: np.random.Generator, pool: list[Any]) -> Any:
    return pool[int(rng.integers(len(pool)))]


def _view(rng: np.random.Generator, x: Any) -> Any:
    choices: list[Callable[[], Any]] = [lambda: x]
    if x.ndim:
        d = int(rng.integers(x.ndim))
        n = x.shape[d]
        if n > 1:
            low = int(rng.integers(n - 1))
            choices += [lambda: x.narrow(d, low, n - low), lambda: x.select(d, low)]
        choices += [lambda: x.unsqueeze(d), lambda: x.transpose(0, d), lambda: x.flip(d)]
        if x.is_contiguous():
            choices.append(lambda: x.view(-1))
        if x.ndim > 1:
            choices += [lambda: x.diagonal(), lambda: x.t() if x.ndim == 2 else x.movedim(0, -1)]
    return choices[int(rng.integers(len(choices)))]()


def _change(rng: np.random.Generator, x: Any, other: Any) -> None:
    """One in-place operation; ``other`` is a 0-d Tensor of the program."""
    kind = int(rng.integers(7))
    if kind == 0:
        x.add_(other)
    elif kind == 1:
        x.mul_(other * 0.5 + 1)
    elif kind == 2:
        x.tanh_()
    elif kind == 3:
        x.copy_(other.sin())
    elif kind == 4:
        x.mul_(0.7).add_(0.1)
    elif kind == 5 and x.ndim:
        x[int(rng.integers(x.shape[0]))] = other * 2
    else:
        x.sub_(other * other)


def program(seed: int, w: Any, ag: Any = ag) -> Any:
    """A scalar made of ``w`` (12 elements) by some 15 random steps."""
    rng = np.random.default_rng(seed)
    pool = [w.reshape(3, 4) * 1.0, w[:6].reshape(2, 3).sin(), w[6:].exp() * 0.1]
    for _ in range(15):
        x = _pick(rng, pool)
        kind = int(rng.integers(8))
        if kind <= 1:
            pool.append(_view(rng, x))
        elif kind <= 4:
            _change(rng, _view(rng, x), _pick(rng, pool).mean())
        elif kind == 5:
            pool.append((x * 0.5).tanh() + _pick(rng, pool).sum() * 0.01)
        elif kind == 6:
            pool.append(x * x.mean())
        else:
            pool.append(ag.cat([x.reshape(-1), _pick(rng, pool).reshape(-1)])[:8])
    return sum((p * ag.arange(1.0, p.numel() + 1, dtype=ag.float64).reshape(p.shape).cos()).sum() for p in pool)


def _close(found: float, expected: float, scale: float) -> None:
    assert abs(found - expected) <= 2e-6 * (scale + abs(expected)) + 1e-8, (found, expected)


@pytest.mark.parametrize("block", range(8))
def test_random_programs(block: int) -> None:
    checked = refused = 0
    for seed in range(block * 40, block * 40 + 40):
        rng = np.random.default_rng(seed + 10_000)
        v, u, s = (rng.standard_normal(12) for _ in range(3))
        w = ag.tensor(v, requires_grad=True)
        try:
            y = program(seed, w)
            (g,) = ag.autograd.grad(y, w, create_graph=True)
        except InplaceError:  # a saved value was overwritten: PyTorch refuses these too
            refused += 1
            continue

        def value(at: np.ndarray[Any, Any], seed: int = seed) -> float:
            with ag.no_grad():
                return program(seed, ag.tensor(at)).item()

        def gradient(at: np.ndarray[Any, Any], seed: int = seed) -> np.ndarray[Any, Any]:
            x = ag.tensor(at, requires_grad=True)
            program(seed, x).backward()
            return x.grad.numpy()

        first = g.detach().numpy()
        np.testing.assert_allclose(gradient(v), first, rtol=1e-9, atol=1e-11, err_msg=f"seed {seed}")
        difference = (value(v + STEP * u) - value(v - STEP * u)) / (2 * STEP)
        _close(float(first @ u), difference, float(np.abs(first) @ np.abs(u)))
        (h,) = ag.autograd.grad((g * ag.tensor(u)).sum(), w, materialize_grads=True)
        difference = float((gradient(v + STEP * s) - gradient(v - STEP * s)) @ u) / (2 * STEP)
        _close(float(h.numpy() @ s), difference, float(np.abs(h.numpy()) @ np.abs(s)))
        checked += 1
    assert checked >= 10, (checked, refused)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_broadcast_sums_back(data: st.DataObject) -> None:
    """The gradient of sum(a * b * c) by each, in the shape of each, whatever broadcasts."""
    shapes = data.draw(mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4, min_side=0)).input_shapes
    numbers = st.floats(-2, 2, width=32)
    values = [data.draw(arrays(np.float64, shape, elements=numbers)) for shape in shapes]
    leaves = [ag.tensor(v, requires_grad=True) for v in values]
    a, b, c = leaves
    (a * b * c).sum().backward()
    whole = np.broadcast_shapes(*shapes)
    for k, x in enumerate(leaves):
        others = [np.broadcast_to(v, whole) for i, v in enumerate(values) if i != k]
        g = others[0] * others[1]
        lead = g.ndim - values[k].ndim
        axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(values[k].shape) if n == 1)
        np.testing.assert_allclose(x.grad.numpy(), g.sum(axes, keepdims=True).reshape(values[k].shape), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([ag.float16, ag.float32, ag.float64, ag.int8, ag.int64, ag.bool]),
    st.sampled_from([ag.float16, ag.float32, ag.float64]),
    st.sampled_from([(), (3,), (2, 3)]),
    st.sampled_from([(), (3,), (2, 1)]),
)
def test_gradients_have_the_dtype_of_their_leaf(one: Any, two: Any, first: Any, second: Any) -> None:
    a = ag.ones(first).to(one)
    b = ag.ones(second).to(two).requires_grad_()
    if one.is_floating_point:
        a.requires_grad_()
    (a * b + b).sum().backward()
    assert b.grad.dtype == two and b.grad.shape == second
    assert a.grad is None or (a.grad.dtype == one and a.grad.shape == first)


def test_random_programs_as_in_pytorch() -> None:
    """Values, gradients, second derivatives, and which programs are refused."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)

    def outcome(t: Any, seed: int) -> Any:
        w = t.tensor(np.random.default_rng(seed).standard_normal(12), requires_grad=True)
        try:
            y = program(seed, w, t)
            (g,) = t.autograd.grad(y, w, create_graph=True)
            h = t.autograd.grad(g.sum(), w, materialize_grads=True)[0] if g.requires_grad else w * 0
            return np.array([y.item(), *g.tolist(), *h.tolist()])
        except RuntimeError:
            return None

    for seed in range(500, 700):
        theirs, ours = outcome(torch, seed), outcome(ag, seed)
        assert (theirs is None) == (ours is None), f"seed {seed}: PyTorch {theirs}, allgrad {ours}"
        if theirs is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10, err_msg=f"seed {seed}")
