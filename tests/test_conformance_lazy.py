"""Lazy layers against PyTorch's: the same numbers from the same seed, the ordinary class after the first forward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("LazyConv1d", (4, 3), {"padding": 1}, (2, 3, 7)),
    ("LazyConv2d", (4, (3, 2)), {"groups": 2, "bias": False}, (2, 4, 5, 5)),
    ("LazyConv2d", (3, 3), {"padding": 1, "padding_mode": "reflect"}, (2, 4, 5, 5)),
    ("LazyConv3d", (2, 2), {"stride": 2}, (1, 3, 4, 4, 4)),
    ("LazyConvTranspose1d", (4, 3), {"stride": 2}, (2, 3, 5)),
    ("LazyConvTranspose2d", (4, 2), {"groups": 2}, (2, 4, 3, 3)),
    ("LazyConvTranspose3d", (2, 2), {}, (1, 3, 2, 2, 2)),
    ("LazyBatchNorm1d", (), {}, (5, 3)),
    ("LazyBatchNorm2d", (), {"momentum": None}, (2, 3, 4, 4)),
    ("LazyBatchNorm3d", (), {"affine": False, "track_running_stats": False}, (2, 3, 2, 2, 2)),
]


def outcome(t: Any, name: str, args: tuple[Any, ...], settings: dict[str, Any], shape: tuple[int, ...]) -> list[Any]:
    t.manual_seed(3)
    layer = getattr(t.nn, name)(*args, **settings)
    found: list[Any] = [type(layer).__name__, [k for k, _ in layer.named_parameters()]]
    x = t.linspace(-1.0, 1.0, int(np.prod(shape))).reshape(shape).requires_grad_()
    optimizer = t.optim.SGD(layer.parameters(), lr=0.1) if found[1] else None
    (layer(x) ** 2).sum().backward()
    if optimizer is not None:
        optimizer.step()
    found += [type(layer).__name__, list(layer.state_dict()), layer(x).detach().numpy(), x.grad.numpy()]
    return [*found, *[v.numpy() for v in layer.state_dict().values()]]


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
@pytest.mark.parametrize(("name", "args", "settings", "shape"), LAYERS)
def test_as_pytorch(name: str, args: tuple[Any, ...], settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = outcome(allgrad, name, args, settings, shape), outcome(torch, name, args, settings, shape)
    assert ours[:4] == theirs[:4]
    for a, b in zip(ours[4:], theirs[4:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "args", "settings", "shape"), LAYERS)
def test_becomes_the_ordinary_layer(name: str, args: Any, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    before, _, after, *_ = outcome(allgrad, name, args, settings, shape)
    assert before == name and "Lazy" + after == name
