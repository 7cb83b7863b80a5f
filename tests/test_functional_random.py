"""Convolutions and pooling with drawn geometries against PyTorch: what a table of chosen cases leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
import allgrad.nn.functional as F
from allgrad.ops import conv_columns, conv_compute

torch = pytest.importorskip("torch")


def drawn(rng: np.random.Generator, low: int, high: int, count: int) -> tuple[int, ...]:
    return tuple(int(v) for v in rng.integers(low, high, count))


def compare(name: str, arrays: list[Any], settings: dict[str, Any], rng: np.random.Generator) -> None:
    """Value and gradients, or an error in both."""
    ours = [allgrad.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    told = f"{name}{[a.shape for a in arrays]} {settings}"
    try:
        expected = getattr(torch.nn.functional, name)(*theirs, **settings)
    except RuntimeError as error:
        if "smaller than kernel" not in str(error):  # PyTorch forgets the padding there
            with pytest.raises(RuntimeError):
                getattr(F, name)(*ours, **settings)
        return
    found = getattr(F, name)(*ours, **settings)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-9, err_msg=told)
    if not np.isfinite(expected.detach().numpy()).all():
        return  # a window wholly in the padding: PyTorch writes its gradient outside the memory of the input
    direction = rng.standard_normal(expected.shape)
    found.backward(allgrad.tensor(direction))
    expected.backward(torch.tensor(direction))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-9, err_msg=told)


@pytest.mark.parametrize("seed", range(60))
def test_convolution(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    d, groups, inner = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3])), int(rng.choice([1, 2, 5]))
    outer = groups * int(rng.choice([1, 2, 9, 30]))
    kernel, size = drawn(rng, 1, 4, d), drawn(rng, 1, 10, d)
    geometry = {"stride": drawn(rng, 1, 4, d), "padding": drawn(rng, 0, 4, d), "dilation": drawn(rng, 1, 4, d)}
    monkeypatch.setattr(conv_columns, "BLOCK", int(rng.choice([20, 300, 1 << 17])))
    monkeypatch.setattr(conv_compute, "SMALL", int(rng.choice([500, 1_000_000])))
    x, w = rng.standard_normal((2, groups * inner, *size)), rng.standard_normal((outer, inner, *kernel))
    compare(f"conv{d}d", [x, w, rng.standard_normal(outer)], {**geometry, "groups": groups}, rng)
    extra = tuple(int(rng.integers(0, max(s, e))) for s, e in zip(geometry["stride"], geometry["dilation"]))
    w = rng.standard_normal((groups * inner, outer // groups, *kernel))
    settings = {**geometry, "groups": groups, "output_padding": extra}
    compare(f"conv_transpose{d}d", [x, w, rng.standard_normal(outer)], settings, rng)


@pytest.mark.parametrize("seed", range(60))
def test_pooling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 4))
    kernel = drawn(rng, 1, 5, d)
    settings = {
        "kernel_size": list(kernel),
        "stride": list(drawn(rng, 1, 5, d)),
        "padding": [int(rng.integers(0, k // 2 + 1)) for k in kernel],
        "ceil_mode": bool(rng.integers(0, 2)),
    }
    x = np.round(rng.standard_normal((2, 2, *drawn(rng, 1, 12, d))) * 2) / 2  # with ties
    compare(f"max_pool{d}d", [x], {**settings, "dilation": list(drawn(rng, 1, 3, d))}, rng)
    compare(f"avg_pool{d}d", [x], {**settings, "count_include_pad": bool(seed % 2)}, rng)
