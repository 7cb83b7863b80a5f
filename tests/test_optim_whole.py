"""LAMB, LARS and SparseAdam against the formulas of their papers, written out with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn, optim
from optim_cases import SHAPES, slope, start


def run(optimizer: Any, params: list[Any], steps: int = 6) -> None:
    for step in range(steps):
        for i, p in enumerate(params):
            g = slope(p._a, i, step)
            p.grad = None if g is None else allgrad.tensor(g)
        optimizer.step()


def fresh() -> list[Any]:
    return [nn.Parameter(allgrad.tensor(start(s, i))) for i, s in enumerate(SHAPES)]


def norm(x: Any) -> float:
    return float(np.sqrt((x * x).sum()))


@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("adapt", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lamb(decay: float, adapt: bool, clamp: float | None) -> None:
    params = fresh()
    run(optim.LAMB(params, lr=0.02, betas=(0.8, 0.9), eps=1e-3, weight_decay=decay, adapt=adapt, clamp=clamp), params)
    for i, p in enumerate(params):
        x = start(SHAPES[i], i)
        m, v, t = np.zeros_like(x), np.zeros_like(x), 0
        for step in range(6):
            g = slope(x, i, step)
            if g is None:
                continue
            t += 1
            m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
            r = (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-3) + decay * x
            size = norm(x) if clamp is None else min(norm(x), clamp)
            x = x - 0.02 * (size / norm(r) if adapt and size > 0 and norm(r) > 0 else 1.0) * r
        np.testing.assert_allclose(p._a, x, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("adapt", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lars(decay: float, adapt: bool, maximize: bool) -> None:
    params = fresh()
    run(optim.LARS(params, lr=0.3, momentum=0.7, weight_decay=decay, trust=0.1, adapt=adapt, maximize=maximize), params)
    for i, p in enumerate(params):
        x = start(SHAPES[i], i)
        running = np.zeros_like(x)
        for step in range(6):
            g = slope(x, i, step)
            if g is None:
                continue
            g = -g if maximize else g
            rate = 0.3
            if adapt and norm(x) > 0 and norm(g) > 0:
                rate *= 0.1 * norm(x) / (norm(g) + decay * norm(x) + 1e-8)
            running = 0.7 * running + rate * (g + decay * x)
            x = x - running
        np.testing.assert_allclose(p._a, x, rtol=1e-10, atol=1e-12)


def test_the_step_of_lamb_has_the_size_of_the_layer() -> None:
    small, large = nn.Parameter(allgrad.full((9,), 0.01)), nn.Parameter(allgrad.full((9,), 100.0))
    optimizer = optim.LAMB([small, large], lr=0.1, weight_decay=0)
    for p in (small, large):
        p.grad = allgrad.ones(9)
    optimizer.step()
    np.testing.assert_allclose([small._a[0], large._a[0]], [0.009, 90.0], rtol=1e-5)


def test_sparse_adam_leaves_untouched_rows_alone_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    values = start((6, 3), 0)
    mine_p, other_p = nn.Parameter(allgrad.tensor(values)), torch.nn.Parameter(torch.tensor(values))
    mine, other = optim.SparseAdam([mine_p], lr=0.1), torch.optim.SparseAdam([other_p], lr=0.1)
    for step in range(8):
        rows = [step % 6, (2 * step + 1) % 6]
        g = np.zeros((6, 3))
        g[rows] = np.arange(3) * (step + 1)
        mine_p.grad = allgrad.tensor(g)
        index = torch.tensor([sorted(set(rows))])
        other_p.grad = torch.sparse_coo_tensor(index, torch.tensor(g[sorted(set(rows))]), (6, 3), check_invariants=True)
        mine.step()
        other.step()
        np.testing.assert_allclose(mine_p._a, other_p.detach().numpy(), rtol=1e-10)
    for key, value in other.state[other_p].items():
        found = mine.state[mine_p][key]
        np.testing.assert_allclose(found if key == "step" else found._a, value, rtol=1e-10)


@pytest.mark.parametrize("shape", [(), (4,), (0, 2), (2, 2, 2)])
def test_sparse_adam_on_any_shape(shape: tuple[int, ...]) -> None:
    p = nn.Parameter(allgrad.tensor(start(shape, 1)))
    optimizer = optim.SparseAdam([p], lr=0.1)
    p.grad = allgrad.zeros_like(p)
    before = p._a.copy()
    optimizer.step()
    np.testing.assert_array_equal(p._a, before)
    p.grad = allgrad.ones_like(p)
    optimizer.step()
    assert ((before - p._a) > 0.01).all()
