"""Parametrizations against PyTorch: values, gradients, state dicts, copies and errors, program by program."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import allgrad


def symmetric(t: Any) -> Any:
    class Symmetric(t.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, a: Any) -> Any:
            return a.triu()

    return Symmetric()


def doubled(t: Any) -> Any:
    class Doubled(t.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return 2 * x

    return Doubled()


def undone(t: Any, forward: Any, back: Any) -> Any:
    class Undone(t.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            return forward(x)

        def right_inverse(self, a: Any) -> Any:
            return back(a)

    return Undone()


def layer(t: Any, rows: int = 4, columns: int = 4) -> Any:
    made = t.nn.Linear(columns, rows)
    with t.no_grad():
        made.weight.copy_(t.arange(1.0, rows * columns + 1).reshape(rows, columns) / 7)
        made.bias.fill_(0.5)
    return made


def trained(t: Any, module: Any, x: Any) -> list[Any]:
    """Output, parameters after two steps, and their names."""
    sgd = t.optim.SGD(module.parameters(), lr=0.05)
    for _ in range(2):
        sgd.zero_grad()
        module(x).pow(2).mean().backward()
        sgd.step()
    return [sorted(module.state_dict()), module(x).detach().numpy(), module.weight.detach().numpy()]


def program_symmetric(t: Any) -> list[Any]:
    P = t.nn.utils.parametrize
    m = layer(t)
    P.register_parametrization(m, "weight", symmetric(t))
    found = [P.is_parametrized(m), P.is_parametrized(m, "bias"), type(m).__name__, m.weight.detach().numpy()]
    m.weight = t.eye(4) + 1
    return [*found, m.weight.detach().numpy(), *trained(t, m, t.ones(2, 4))]


def program_chained(t: Any) -> list[Any]:
    P = t.nn.utils.parametrize
    m = layer(t)
    P.register_parametrization(m, "weight", symmetric(t))
    P.register_parametrization(m, "weight", doubled(t))
    P.register_parametrization(m, "bias", doubled(t))
    return trained(t, m, t.ones(2, 4) * 0.1)


def program_inverses(t: Any) -> list[Any]:
    P = t.nn.utils.parametrize
    m = layer(t)
    P.register_parametrization(m, "weight", undone(t, lambda x: 2 * x, lambda a: a / 2))
    found = [m.weight.detach().numpy(), m.parametrizations.weight.original.detach().numpy().copy()]
    P.register_parametrization(m, "weight", undone(t, lambda x: x + 3, lambda a: a - 3))
    found += [m.weight.detach().numpy(), m.parametrizations.weight.original.detach().numpy().copy()]
    m.weight = t.ones(4, 4) * 9
    return [*found, m.weight.detach().numpy(), m.parametrizations.weight.original.detach().numpy()]


def program_removed(t: Any) -> list[Any]:
    P = t.nn.utils.parametrize
    found: list[Any] = []
    for leave in (True, False):
        m = layer(t)
        before = id(m.weight)
        P.register_parametrization(m, "weight", doubled(t))
        P.remove_parametrizations(m, "weight", leave_parametrized=leave)
        found += [type(m).__name__, id(m.weight) == before, m.weight.detach().numpy(), sorted(m.state_dict())]
    return found


def program_weight_norm(t: Any) -> list[Any]:
    m = t.nn.utils.parametrizations.weight_norm(layer(t, 3, 4))
    found = trained(t, m, t.ones(2, 4))
    t.nn.utils.parametrize.remove_parametrizations(m, "weight")
    return [*found, m.weight.detach().numpy(), type(m.weight).__name__]


def program_weight_norm_of_all(t: Any) -> list[Any]:
    return trained(t, t.nn.utils.parametrizations.weight_norm(layer(t, 3, 4), dim=None), t.ones(2, 4))


def program_old_weight_norm(t: Any) -> list[Any]:
    m = t.nn.utils.parametrizations.weight_norm(layer(t, 2, 2))
    new = {"weight_g": t.tensor([[2.0], [3.0]]), "weight_v": t.tensor([[3.0, 4.0], [0.0, 1.0]]), "bias": t.zeros(2)}
    m.load_state_dict(new)
    return [m.weight.detach().numpy()]


def program_spectral_norm(t: Any) -> list[Any]:
    t.manual_seed(0)
    m = t.nn.utils.parametrizations.spectral_norm(layer(t, 3, 4))
    return [*trained(t, m, t.ones(2, 4)), m.eval().weight.detach().numpy()]


def program_spectral_norm_of_convolution(t: Any) -> list[Any]:
    t.manual_seed(0)
    m = t.nn.utils.parametrizations.spectral_norm(t.nn.ConvTranspose1d(2, 3, 2))
    return [m.weight.detach().numpy()]


def program_copy(t: Any) -> list[Any]:
    P = t.nn.utils.parametrize
    m = layer(t)
    P.register_parametrization(m, "weight", symmetric(t))
    other = copy.deepcopy(m)
    return [P.is_parametrized(other), *trained(t, other, t.ones(1, 4)), m.weight.detach().numpy()]


def program_cached(t: Any) -> list[Any]:
    m = layer(t)
    t.nn.utils.parametrize.register_parametrization(m, "weight", doubled(t))
    with t.nn.utils.parametrize.cached():
        inside = m.weight is m.weight
    return [inside, m.weight is m.weight]


PROGRAMS = {name: f for name, f in globals().items() if name.startswith("program_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_pytorch(name: str) -> None:
    pytest.importorskip("torch.nn.utils.parametrizations")
    torch = pytest.importorskip("torch")

    ours, theirs = PROGRAMS[name](allgrad), PROGRAMS[name](torch)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, np.ndarray):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        else:
            assert a == b


WRONG: dict[str, Callable[[Any], Any]] = {
    "no such tensor": lambda t: t.nn.utils.parametrize.register_parametrization(layer(t), "wait", doubled(t)),
    "another shape": lambda t: t.nn.utils.parametrize.register_parametrization(layer(t), "weight", t.nn.Flatten(0)),
    "nothing to remove": lambda t: t.nn.utils.parametrize.remove_parametrizations(layer(t), "weight"),
    "two originals": lambda t: t.nn.utils.parametrize.remove_parametrizations(
        t.nn.utils.parametrizations.weight_norm(layer(t)), "weight", leave_parametrized=False
    ),
    "no rounds": lambda t: t.nn.utils.parametrizations.spectral_norm(layer(t), n_power_iterations=0),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str) -> None:
    with pytest.raises(ValueError):
        WRONG[name](allgrad)
    pytest.importorskip("torch.nn.utils.parametrizations")
    torch = pytest.importorskip("torch")

    with pytest.raises(ValueError):
        WRONG[name](torch)


def test_literal_values() -> None:
    assert program_cached(allgrad) == [True, False]
    assert (program_inverses(allgrad)[-1] == 3.0).all()
    np.testing.assert_allclose(program_old_weight_norm(allgrad)[0], [[1.2, 1.6], [0.0, 3.0]], rtol=1e-6)
    largest = np.linalg.svd(program_spectral_norm(allgrad)[-1], compute_uv=False)[0]
    assert largest == pytest.approx(1.0, abs=1e-3)


def test_a_copy_keeps_its_parametrization_when_the_first_loses_it() -> None:
    """PyTorch's copies share a class, and lose the property together."""
    P = allgrad.nn.utils.parametrize
    m = P.register_parametrization(layer(allgrad), "weight", doubled(allgrad))
    other = copy.deepcopy(m)
    P.remove_parametrizations(m, "weight", leave_parametrized=False)
    np.testing.assert_array_equal(other.weight.detach().numpy(), 2 * m.weight.detach().numpy())


def test_assigning_needs_an_inverse() -> None:
    m = allgrad.nn.utils.parametrize.register_parametrization(layer(allgrad), "weight", doubled(allgrad))
    with pytest.raises(RuntimeError, match="does not implement right_inverse"):
        m.weight = allgrad.ones(4, 4)
