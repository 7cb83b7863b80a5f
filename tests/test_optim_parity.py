"""Optimizers against PyTorch: values, state, groups, printing, signatures, messages."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn, optim
from allgrad.optim import layout, passes
from optim_cases import CASES, ELEMENTWISE, SHAPES, Case, run, start, title

torch = pytest.importorskip("torch")

NAMES = sorted({name for name, _ in CASES} | {"LBFGS", "SparseAdam"})
DTYPES = {"float64": (1e-10, 1e-12), "float32": (2e-4, 2e-5)}
# Where each optimizer changes course by a jump, float32 may jump one step later: compared in float64 only.
JUMPS = ("Rprop",)


def ours(dtype: str) -> list[Any]:
    return [nn.Parameter(allgrad.tensor(start(s, i).astype(dtype))) for i, s in enumerate(SHAPES)]


def theirs(dtype: str) -> list[Any]:
    return [torch.nn.Parameter(torch.tensor(start(s, i).astype(dtype))) for i, s in enumerate(SHAPES)]


def read(p: Any) -> Any:
    return p.detach().numpy()


def give_ours(p: Any, g: Any) -> None:
    p.grad = None if g is None else allgrad.tensor(g)


def give_theirs(p: Any, g: Any) -> None:
    p.grad = None if g is None else torch.tensor(g)


def same_state(mine: Any, other: Any, a: list[Any], b: list[Any], rtol: float, atol: float) -> None:
    for p, q in zip(a, b):
        one, two = mine.state.get(p, {}), other.state.get(q, {})
        assert list(one) == list(two)
        for key, value in one.items():
            assert str(value.dtype) == str(two[key].dtype) and value.shape == two[key].shape, key
            np.testing.assert_allclose(value.numpy(), two[key].numpy(), rtol=rtol, atol=atol, err_msg=key)


VARIANTS = [
    *((case, "float64", blocks) for case in CASES for blocks in (False, True)),
    *((case, "float32", False) for case in CASES if case[0] not in JUMPS and not case[1].get("maximize")),
]


@pytest.mark.parametrize(
    ("case", "dtype", "blocks"), VARIANTS, ids=lambda v: title(v) if isinstance(v, tuple) else str(v)
)
def test_trajectory_and_state(case: Case, dtype: str, blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name, settings = case
    if blocks:  # parameters of 8 elements and more are updated where they lie, 5 elements at a time
        monkeypatch.setattr(layout, "SMALL", 8)
        monkeypatch.setattr(layout, "BLOCK", 5)
        monkeypatch.setattr(passes, "LONG", 5)
    a, b = ours(dtype), theirs(dtype)
    mine, other = getattr(optim, name)(a, **settings), getattr(torch.optim, name)(b, **settings)
    rtol, atol = DTYPES[dtype]
    for one, two in zip(run(mine, a, read, give_ours), run(other, b, read, give_theirs)):
        np.testing.assert_allclose(one, two, rtol=rtol, atol=atol)
    same_state(mine, other, a, b, rtol, atol)
    assert mine.state_dict()["param_groups"] == other.state_dict()["param_groups"]
    assert repr(mine) == repr(other)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_half_precision_as_torch_fused(name: str, dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    kind = getattr(allgrad, dtype)
    a = [nn.Parameter(allgrad.tensor(start(s, i)).to(kind)) for i, s in enumerate(SHAPES)]
    b = [torch.nn.Parameter(torch.tensor(start(s, i)).to(getattr(torch, dtype))) for i, s in enumerate(SHAPES)]
    settings: dict[str, Any] = {"lr": 0.05, "weight_decay": 0.1} | ({"momentum": 0.9} if name == "SGD" else {})
    mine, other = getattr(optim, name)(a, **settings), getattr(torch.optim, name)(b, fused=True, **settings)
    for step in range(10):
        for i, (p, q) in enumerate(zip(a, b)):
            g = 0.5 * np.sin(np.arange(p.numel()).reshape(p.shape) * (step + 1.0) + i)
            p.grad = allgrad.tensor(g).to(kind)
            q.grad = torch.tensor(g).to(q.dtype)
        mine.step()
        other.step()
    eps = 2.0**-10 if dtype == "float16" else 2.0**-7
    for p, q in zip(a, b):
        assert str(p.dtype) == f"torch.{dtype}"
        np.testing.assert_allclose(np.asarray(p._a, np.float32), q.detach().float().numpy(), atol=4 * eps)


@pytest.mark.parametrize("name", NAMES)
def test_signature(name: str) -> None:
    mine, other = (inspect.signature(getattr(m, name).__init__).parameters for m in (optim, torch.optim))
    assert [(p.name, p.kind, p.default) for p in mine.values()] == [(p.name, p.kind, p.default) for p in other.values()]


BAD: list[Case] = [
    ("SGD", {"lr": -1}),
    ("SGD", {"momentum": -0.5}),
    ("SGD", {"weight_decay": -2}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
    ("SGD", {"fused": True, "foreach": True}),
    ("Adam", {"fused": True, "foreach": True}),
    ("Adam", {"fused": True, "differentiable": True}),
    ("RMSprop", {"alpha": -1}),
    ("RMSprop", {"momentum": -1}),
    ("Adadelta", {"rho": 1.5}),
    ("Adagrad", {"lr_decay": -1}),
    ("Adagrad", {"initial_accumulator_value": -1}),
    ("NAdam", {"momentum_decay": -1}),
    ("Rprop", {"etas": (1.5, 0.5)}),
    ("SparseAdam", {"lr": 0.0}),
    ("Adafactor", {"beta2_decay": 1.0}),
    ("Adafactor", {"d": 0.5}),
    ("Adafactor", {"eps": (-1.0, 1e-3)}),
    *(
        (name, {"eps": -1.0})
        for name in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop")
    ),
    *((name, {"lr": -1.0}) for name in NAMES),
    *((name, {"lr": float("nan")}) for name in NAMES if name not in ("SGD", "SparseAdam")),
    *((name, {"betas": (1.0, 0.9)}) for name in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam")),
    *((name, {"betas": (0.9, -0.1)}) for name in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam")),
    *((name, {"weight_decay": -1}) for name in NAMES if name not in ("Rprop", "LBFGS", "SparseAdam")),
]


@pytest.mark.parametrize("case", BAD, ids=title)
def test_impossible_settings_are_refused_in_the_same_words(case: Case) -> None:
    name, settings = case
    with pytest.raises((ValueError, RuntimeError)) as expected:
        getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(2))], **settings)
    with pytest.raises(type(expected.value)) as found:
        getattr(optim, name)([nn.Parameter(allgrad.zeros(2))], **settings)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("name", sorted({name for name, _ in ELEMENTWISE}))
def test_lr_may_be_a_tensor_that_changes(name: str) -> None:
    a, b = ours("float64"), theirs("float64")
    lr = allgrad.tensor(0.25, dtype=allgrad.float64)
    mine = getattr(optim, name)(a, lr=lr)
    other = getattr(torch.optim, name)(b, lr=0.25)
    np.testing.assert_allclose(
        run(mine, a, read, give_ours, 4)[-1], run(other, b, read, give_theirs, 4)[-1], rtol=1e-10
    )
    lr.fill_(0.125)
    other.param_groups[0]["lr"] = 0.125
    one = run(mine, a, read, give_ours, 4, first=4)[-1]
    np.testing.assert_allclose(one, run(other, b, read, give_theirs, 4, first=4)[-1], rtol=1e-10)
