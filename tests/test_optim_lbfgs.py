"""L-BFGS on Rosenbrock's valley: the known minimum, PyTorch's path, and the conditions that its line search promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn, optim
from allgrad.optim.line_search import Point, cubic_minimum, strong_wolfe

START = np.array([-1.2, 1.0, 0.5, 2.0, -0.3])


def rosenbrock(x: Any) -> Any:
    return ((1 - x[:-1]) ** 2).sum() + 100 * ((x[1:] - x[:-1] ** 2) ** 2).sum()


def closure_of(optimizer: Any, params: list[Any], calls: list[int]) -> Any:
    def closure() -> Any:
        calls[0] += 1
        optimizer.zero_grad()
        x = params[0]
        loss = rosenbrock(x) + (0 if len(params) == 1 else (params[1] ** 2).sum())
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_finds_the_minimum(dtype: str) -> None:
    x = nn.Parameter(allgrad.tensor(START[:2].astype(dtype)))
    optimizer = optim.LBFGS([x], line_search_fn="strong_wolfe", max_iter=60, tolerance_change=1e-14)
    optimizer.step(closure_of(optimizer, [x], [0]))
    np.testing.assert_allclose(x.detach().numpy(), 1.0, atol=1e-6 if dtype == "float64" else 2e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 7},
        {"line_search_fn": "strong_wolfe", "lr": 0.5, "max_iter": 30, "max_eval": 13},
        {"line_search_fn": "strong_wolfe", "tolerance_grad": 1.0},
        {"lr": 1e-3},
        {"lr": 1e-3, "max_iter": 4, "tolerance_change": 1e-2},
    ],
)
def test_the_path_of_torch(settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    a = [nn.Parameter(allgrad.tensor(START)), nn.Parameter(allgrad.ones(2, 2, dtype=allgrad.float64))]
    b = [torch.nn.Parameter(torch.tensor(START)), torch.nn.Parameter(torch.ones(2, 2, dtype=torch.float64))]
    mine, other = optim.LBFGS(a, **settings), torch.optim.LBFGS(b, **settings)
    one, two = [0], [0]
    for _ in range(6):
        first = mine.step(closure_of(mine, a, one)).item()
        np.testing.assert_allclose(first, other.step(closure_of(other, b, two)).item(), rtol=1e-6)
        for p, q in zip(a, b):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-9)
        assert one == two
    state = mine.state[a[0]]
    assert state["func_evals"] == other.state[b[0]]["func_evals"] == one[0]
    assert set(state) == set(other.state[b[0]]) - {"al"}  # its scratch list


def test_goes_on_from_a_state_dict_of_either_library() -> None:
    torch = pytest.importorskip("torch")
    settings: dict[str, Any] = {"line_search_fn": "strong_wolfe", "max_iter": 4}
    a, b = nn.Parameter(allgrad.tensor(START)), torch.nn.Parameter(torch.tensor(START))
    mine, other = optim.LBFGS([a], **settings), torch.optim.LBFGS([b], **settings)
    mine.step(closure_of(mine, [a], [0]))
    other.step(closure_of(other, [b], [0]))
    for source in (mine, other):
        c = nn.Parameter(a.detach().clone())
        resumed = optim.LBFGS([c])
        resumed.load_state_dict(source.state_dict())
        resumed.step(closure_of(resumed, [c], [0]))
        expected = nn.Parameter(a.detach().clone())
        straight = optim.LBFGS([expected])
        straight.load_state_dict(mine.state_dict())
        straight.step(closure_of(straight, [expected], [0]))
        np.testing.assert_allclose(c.detach().numpy(), expected.detach().numpy(), rtol=1e-9)


def test_wants_a_closure_and_a_known_search() -> None:
    x = nn.Parameter(allgrad.ones(2))
    with pytest.raises(ValueError, match="pass a closure"):
        optim.LBFGS([x]).step()
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optim.LBFGS([x], line_search_fn="armijo").step(lambda: x.sum())


def test_parameters_without_gradient_count_as_flat() -> None:
    x, idle = nn.Parameter(allgrad.tensor([3.0])), nn.Parameter(allgrad.ones(2))
    optimizer = optim.LBFGS([idle, x])

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert abs(x.item()) < 1e-3 and idle.tolist() == [1, 1]


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 30.0])
def test_line_search_keeps_its_promise(first: float) -> None:
    def evaluate(t: float) -> tuple[float, Any]:  # f(t) = t^4 / 4 - t^3 + t^2 / 2 - 2 t, uneven, least near 3
        return t**4 / 4 - t**3 + t**2 / 2 - 2 * t, np.array([t**3 - 3 * t**2 + t - 2])

    begin = Point(0.0, 0.0, np.array([-2.0]), -2.0)
    found, calls = strong_wolfe(evaluate, np.array([1.0]), first, begin, most=25)
    assert found.value <= begin.value + 1e-4 * found.step * begin.slope
    assert abs(found.slope) <= 0.9 * abs(begin.slope)
    assert calls <= 26


# Shapes along a line: bowls, a kink, a wave on a slope, a wall, a long flat valley.
LINES: list[tuple[Any, Any]] = [
    (lambda t: (t - 3) ** 2, lambda t: 2 * (t - 3)),
    (lambda t: t**4 / 4 - t**3 + t**2 / 2 - 2 * t, lambda t: t**3 - 3 * t**2 + t - 2),
    (lambda t: np.sqrt((t - 2) ** 2 + 1e-4), lambda t: (t - 2) / np.sqrt((t - 2) ** 2 + 1e-4)),
    (
        lambda t: np.sin(5 * t) - 0.3 * t - 5.5 * t / (1 + t),
        lambda t: 5 * np.cos(5 * t) - 0.3 - 5.5 / (1 + t) ** 2 - 0.0,
    ),
    (lambda t: np.exp(3 * (t - 2)) - t, lambda t: 3 * np.exp(3 * (t - 2)) - 1),
    (lambda t: -t * np.exp(-t / 40), lambda t: (t / 40 - 1) * np.exp(-t / 40)),
    (lambda t: np.cos(2 * t) + 0.01 * t**2 - 0.1 * t, lambda t: -2 * np.sin(2 * t) + 0.02 * t - 0.1),
    (lambda t: -t + 1.1 * np.cos(3.7 * t), lambda t: -1 - 4.07 * np.sin(3.7 * t)),
    (lambda t: -t + 0.3 * t**3 - 0.05 * np.cos(40 * t), lambda t: -1 + 0.9 * t**2 + 2 * np.sin(40 * t)),
]


@pytest.mark.parametrize("most", [2, 6, 25])
@pytest.mark.parametrize("index", range(len(LINES)))
def test_line_search_tries_the_points_of_torch(index: int, most: int) -> None:
    torch = pytest.importorskip("torch")
    from torch.optim.lbfgs import _strong_wolfe

    value, slope = LINES[index]
    for first in (1e-3, 0.05, 0.4, 1.0, 2.5, 7.0, 60.0):
        one: list[float] = []
        two: list[float] = []

        def mine(t: float, tried: list[float] = one) -> Any:
            tried.append(t)
            return float(value(t)), np.array([slope(t)])

        def theirs(x: Any, t: Any, d: Any, tried: list[float] = two) -> Any:
            tried.append(float(t))
            return float(value(float(t))), torch.tensor([float(slope(float(t)))], dtype=torch.float64)

        start_value, start_slope = float(value(0.0)), float(slope(0.0))
        if start_slope >= 0:
            pytest.skip("not downhill")
        begin = Point(0.0, start_value, np.array([start_slope]), start_slope)
        found, calls = strong_wolfe(mine, np.array([1.0]), first, begin, most=most)
        g = torch.tensor([start_slope], dtype=torch.float64)
        one_d = torch.ones(1, dtype=torch.float64)
        expected = _strong_wolfe(theirs, None, first, one_d, start_value, g, g.dot(one_d), max_ls=most)
        np.testing.assert_allclose(one, two, rtol=1e-6)
        np.testing.assert_allclose(found.step, float(expected[2]), rtol=1e-6)
        assert calls == expected[3]


def test_cubic_minimum_is_that_of_the_cubic() -> None:
    f, df = (lambda t: t**3 - 3 * t), (lambda t: 3 * t**2 - 3)  # least at 1
    a, b = (Point(t, f(t), np.zeros(0), df(t)) for t in (0.5, 2.0))
    assert cubic_minimum(a, b, 0.5, 2.0) == pytest.approx(1.0)
    assert cubic_minimum(b, a, 0.5, 2.0) == pytest.approx(1.0)
    assert cubic_minimum(a, b, 1.5, 2.0) == 1.5
