"""State dicts: what PyTorch saved goes on here, and what is saved here goes on there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn, optim
from optim_cases import CASES, SHAPES, STEPS, Case, run, start, title

torch = pytest.importorskip("torch")

SAVED = [case for case in CASES if not case[1].get("maximize")]
# PyTorch turns these into the dtype of the parameter when it loads them; here they stay what they were.
NUMBERS = ("mu_product", "eta", "mu")


def ours() -> list[Any]:
    return [nn.Parameter(allgrad.tensor(start(s, i))) for i, s in enumerate(SHAPES)]


def theirs() -> list[Any]:
    return [torch.nn.Parameter(torch.tensor(start(s, i))) for i, s in enumerate(SHAPES)]


def read(p: Any) -> Any:
    return p.detach().numpy()


def give_ours(p: Any, g: Any) -> None:
    p.grad = None if g is None else allgrad.tensor(g)


def give_theirs(p: Any, g: Any) -> None:
    p.grad = None if g is None else torch.tensor(g)


def same_state(mine: Any, other: Any, a: list[Any], b: list[Any]) -> None:
    for p, q in zip(a, b):
        one, two = mine.state.get(p, {}), other.state.get(q, {})
        assert set(one) == set(two)
        for key, value in one.items():
            np.testing.assert_array_equal(value.numpy(), two[key].numpy())
            assert key in NUMBERS or str(value.dtype) == str(two[key].dtype)


@pytest.mark.parametrize("case", SAVED, ids=title)
def test_state_dict_written_by_torch_loads_and_goes_on(case: Case) -> None:
    name, settings = case
    a, b = ours(), theirs()
    other = getattr(torch.optim, name)(b, **settings)
    run(other, b, read, give_theirs, 7)
    for p, q in zip(a, b):
        p._a[...] = read(q)
    mine = getattr(optim, name)(a, lr=9.0)
    mine.load_state_dict(other.state_dict())
    same_state(mine, other, a, b)
    seen = run(mine, a, read, give_ours, STEPS, first=7)
    for one, two in zip(seen, run(other, b, read, give_theirs, STEPS, first=7)):
        np.testing.assert_allclose(one, two, rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("case", SAVED, ids=title)
def test_state_dict_loads_into_torch_and_goes_on(case: Case) -> None:
    name, settings = case
    a, b = ours(), theirs()
    mine = getattr(optim, name)(a, **settings)
    run(mine, a, read, give_ours, 7)
    for p, q in zip(a, b):
        q.data.copy_(torch.tensor(read(p)))
    other = getattr(torch.optim, name)(b, lr=9.0)
    other.load_state_dict(as_torch(mine.state_dict()))
    same_state(mine, other, a, b)
    seen = run(mine, a, read, give_ours, STEPS, first=7)
    for one, two in zip(seen, run(other, b, read, give_theirs, STEPS, first=7)):
        np.testing.assert_allclose(one, two, rtol=2e-7, atol=1e-9)


def as_torch(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: as_torch(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_torch(v) for v in value]
    return torch.tensor(value.numpy()) if isinstance(value, allgrad.Tensor) else value
