"""utils.checkpoint: the same gradients with less kept, random numbers replayed, errors where the runs differ."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

import allgrad as ag
from allgrad.errors import InplaceError
from allgrad.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential
from twins import both


def parameters(t: Any, n: int = 3, width: int = 6) -> list[Any]:
    rng = np.random.default_rng(1)
    return [t.tensor(rng.standard_normal((width, width)) / 2).requires_grad_() for _ in range(n)]


def block(ws: list[Any]) -> Any:
    def run(x: Any) -> Any:
        for w in ws:
            x = (x @ w).tanh() * x
        return x

    return run


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradients_are_those_without(use_reentrant: bool) -> None:
    ws = parameters(ag)
    x = ag.ones(4, 6, dtype=ag.float64, requires_grad=True)
    block(ws)(block(ws)(x)).sum().backward()
    expected = [p.grad for p in (x, *ws)]
    for p in (x, *ws):
        p.grad = None
    h = checkpoint(block(ws), x, use_reentrant=use_reentrant)
    checkpoint(block(ws), h, use_reentrant=use_reentrant).sum().backward()
    for p, e in zip((x, *ws), expected):
        np.testing.assert_array_equal(p.grad.numpy(), e.numpy())


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_random_numbers_are_replayed(use_reentrant: bool) -> None:
    def noisy(x: Any) -> Any:
        return x * ag.rand(1000, dtype=ag.float64) * ag.rand(1000, dtype=ag.float64)

    x = ag.ones(1000, dtype=ag.float64, requires_grad=True)
    ag.manual_seed(3)
    y = checkpoint(noisy, x, use_reentrant=use_reentrant)
    after = ag.rand(5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())  # y = x * noise, at x = 1
    following = ag.rand(5)
    ag.manual_seed(3)
    noisy(x)
    np.testing.assert_array_equal(ag.rand(5).numpy(), after.numpy())
    np.testing.assert_array_equal(ag.rand(5).numpy(), following.numpy())  # backward used up none


def test_without_replay_the_second_run_draws_anew() -> None:
    x = ag.ones(100, dtype=ag.float64, requires_grad=True)
    y = checkpoint(lambda v: v * ag.rand(100, dtype=ag.float64), x, use_reentrant=False, preserve_rng_state=False)
    y.sum().backward()
    assert not np.array_equal(x.grad.numpy(), y.detach().numpy())


def test_less_is_kept() -> None:
    ws = parameters(ag, 8, 128)
    x = ag.ones(512, 128, dtype=ag.float64)

    def held(run: Any) -> int:
        tracemalloc.start()
        y = run(x)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        y.sum().backward()
        return size

    without = held(block(ws))
    with_ = held(lambda v: checkpoint(block(ws), v, use_reentrant=False))
    nested = held(lambda v: checkpoint(lambda u: checkpoint(block(ws), u, use_reentrant=False), v, use_reentrant=False))
    # one array of 512 x 128 doubles is 0.5 MB: 2 kept for each of 8 layers, or the result alone
    assert without > 16 * 2**19
    assert with_ < 2 * 2**19
    assert nested < 2 * 2**19


def test_nested() -> None:
    ws = parameters(ag)
    runs = []

    def inner(x: Any) -> Any:
        runs.append("inner")
        return block(ws)(x)

    def outer(x: Any) -> Any:
        runs.append("outer")
        x = checkpoint(inner, x * 2, use_reentrant=False)
        return (checkpoint(inner, x.exp(), use_reentrant=False) * x).sin()

    x = (ag.ones(2, 6, dtype=ag.float64) * 0.1).requires_grad_()
    y = block(ws)(x * 2)
    (block(ws)(y.exp()) * y).sin().sum().backward()
    expected = [p.grad for p in (x, *ws)]
    for p in (x, *ws):
        p.grad = None
    checkpoint(outer, x, use_reentrant=False).sum().backward()
    for p, e in zip((x, *ws), expected):
        np.testing.assert_array_equal(p.grad.numpy(), e.numpy())
    assert runs.count("outer") == 2  # one run of the outer function serves all that was saved in it


def test_the_stretch_is_forgotten_after_backward() -> None:
    ws = parameters(ag)
    x = ag.ones(2, 6, dtype=ag.float64, requires_grad=True)
    middle = x * 2
    array = weakref.ref(middle._a)
    y = checkpoint(block(ws), middle, use_reentrant=False).sum()
    del middle
    gc.collect()
    gc.disable()
    try:
        assert array() is not None  # needed for the second run
        y.backward()
        del y
        assert array() is None
    finally:
        gc.enable()


def test_the_second_run_stops_when_all_is_found() -> None:
    log = []

    def f(x: Any) -> Any:
        y = x.exp()
        log.append("saved all")
        z = y + 1
        log.append("end")
        return z

    x = ag.ones(2, requires_grad=True)
    checkpoint(f, x, use_reentrant=False).sum().backward()
    assert log == ["saved all", "end"]
    log.clear()
    checkpoint(f, x, use_reentrant=False, early_stop=False).sum().backward()
    assert log == ["saved all", "end"] * 2


def test_an_input_changed_in_between_is_an_error() -> None:
    x = ag.ones(3, requires_grad=True)
    h = x * 2
    y = checkpoint(lambda v: v.exp(), h, use_reentrant=False)
    h.add_(1)
    with pytest.raises(InplaceError, match="input of a checkpointed function"):
        y.sum().backward()


def test_runs_that_differ_are_an_error() -> None:
    calls = []

    def fewer(x: Any) -> Any:
        calls.append(1)
        return x.exp().sin() if len(calls) == 1 else x + 1

    def other(x: Any) -> Any:
        calls.append(1)
        return x.exp() if len(calls) == 1 else x[:1].exp()

    x = ag.ones(3, requires_grad=True)
    with pytest.raises(CheckpointError, match=r"during forward: 2\n.*recomputation: 0"):
        checkpoint(fewer, x, use_reentrant=False).sum().backward()
    calls.clear()
    with pytest.raises(CheckpointError, match=r"saved: shape \[3\], float32\nrecomputed: shape \[1\]"):
        checkpoint(other, x, use_reentrant=False).sum().backward()


def test_sequential() -> None:
    steps = [ag.nn.Linear(6, 6), ag.nn.Tanh(), ag.nn.Linear(6, 6), ag.nn.Tanh(), ag.nn.Linear(6, 1)]
    net = ag.nn.Sequential(*steps)
    x = ag.ones(2, 6, requires_grad=True)
    net(x).sum().backward()
    expected = [p.grad.clone() for p in (x, *net.parameters())]
    for use_reentrant in (True, False):
        for functions in (net, steps):
            for p in (x, *net.parameters()):
                p.grad = None
            checkpoint_sequential(functions, 2, x, use_reentrant=use_reentrant).sum().backward()
            for p, e in zip((x, *net.parameters()), expected):
                np.testing.assert_allclose(p.grad.numpy(), e.numpy(), rtol=1e-6)


def program_results_and_flags(t: Any) -> Any:
    c = t.utils.checkpoint.checkpoint
    x = t.ones(3, requires_grad=True)
    plain = t.ones(3)
    with t.no_grad():
        off = c(lambda v: v * 2, x, use_reentrant=False)
    return (
        [c(lambda v, k: (v * k, k), x, 3, use_reentrant=r) for r in (True, False)],
        off,
        c(lambda v: v * x, plain, use_reentrant=False),
        c(lambda v, *, k: v * k, x, use_reentrant=False, k=2),
    )


def program_second_order(t: Any) -> Any:
    x = t.tensor([0.3, 0.6], dtype=t.float64, requires_grad=True)
    y = t.utils.checkpoint.checkpoint(lambda v: v.exp().tanh() * v, x, use_reentrant=False)
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


def program_twice(t: Any) -> Any:
    x = t.tensor([0.3, 0.6], dtype=t.float64, requires_grad=True)
    y = t.utils.checkpoint.checkpoint(lambda v: v.exp().tanh() * v, x, use_reentrant=False).sum()
    y.backward(retain_graph=True)
    y.backward()
    kept = x.grad.clone()
    y.backward()
    return kept


def program_grad_with_reentrance(t: Any) -> Any:
    x = t.ones(2, requires_grad=True)
    t.autograd.grad(t.utils.checkpoint.checkpoint(lambda v: v * 2, x, use_reentrant=True).sum(), x)


def program_unknown_argument(t: Any) -> Any:
    t.utils.checkpoint.checkpoint(lambda v: v * 2, t.ones(2, requires_grad=True), use_reentrant=True, k=3)


def program_without_a_choice(t: Any) -> Any:
    with pytest.warns(UserWarning, match="use_reentrant"):
        return t.utils.checkpoint.checkpoint(lambda v: v * 2, t.ones(2, requires_grad=True))


def program_nothing_requires_grad(t: Any) -> Any:
    with pytest.warns(UserWarning, match="None of the inputs"):
        return t.utils.checkpoint.checkpoint(lambda v: v * 2, t.ones(2), use_reentrant=True)


PROGRAMS = {name: f for name, f in globals().items() if name.startswith("program_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_pytorch(name: str) -> None:
    pytest.importorskip("torch.utils.checkpoint")
    both(PROGRAMS[name])
