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


def test_cubic_minimum_is_that_of_the_cubic() -> None:
    f, df = (lambda t: t**3 - 3 * t), (lambda t: 3 * t**2 - 3)  # least at 1
    a, b = (Point(t, f(t), np.zeros(0), df(t)) for t in (0.5, 2.0))
    assert cubic_minimum(a, b, 0.5, 2.0) == pytest.approx(1.0)
    assert cubic_minimum(b, a, 0.5, 2.0) == pytest.approx(1.0)
    assert cubic_minimum(a, b, 1.5, 2.0) == 1.5
