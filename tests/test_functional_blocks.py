"""Computation in blocks: the same numbers whatever the size of a block, and the fast paths of float32 against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
import allgrad.nn.functional as F
from allgrad.ops import attention, conv_columns, conv_compute, conv_depthwise, norm, pool_max

rng = np.random.default_rng(21)


def value_and_gradients(call: Any, arrays: Any, dtype: Any) -> list[Any]:
    inputs = [allgrad.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    y = call(*inputs)
    direction = np.cos(np.arange(y._a.size)).reshape(y.shape).astype(dtype)
    return [y.detach().numpy(), *(g.numpy() for g in allgrad.autograd.grad(y, inputs, allgrad.tensor(direction)))]


CONVOLUTIONS = [
    ((3, 4, 13, 11), (6, 4, 3, 3), {"padding": 1}),
    ((3, 4, 13, 11), (6, 4, 3, 3), {"padding": 2, "stride": 2, "dilation": (1, 2)}),
    ((3, 2, 12, 10), (40, 2, 3, 3), {"padding": 1}),
    ((2, 6, 12, 8), (24, 3, 3, 3), {"padding": 1, "groups": 2}),
    ((3, 6, 9, 10), (6, 1, 3, 3), {"padding": 1, "groups": 6}),
    ((3, 3, 40), (4, 3, 5), {"padding": 2}),
    ((2, 2, 6, 7, 5), (3, 2, 3, 2, 3), {"padding": 1}),
]


@pytest.mark.parametrize(("x", "w", "settings"), CONVOLUTIONS, ids=lambda v: str(v))
def test_convolution_by_bands_and_pieces(x: Any, w: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call = (F.conv1d, F.conv2d, F.conv3d)[len(x) - 3]
    arrays = [rng.standard_normal(x), rng.standard_normal(w)]
    whole = value_and_gradients(lambda a, b: call(a, b, **settings), arrays, np.float64)
    monkeypatch.setattr(conv_columns, "BLOCK", 50)  # a band of rows of one image at a time
    monkeypatch.setattr(conv_depthwise, "BLOCK", 50)
    banded = value_and_gradients(lambda a, b: call(a, b, **settings), arrays, np.float64)
    monkeypatch.undo()
    monkeypatch.setattr(conv_compute, "SMALL", 6000)
    pieces = value_and_gradients(lambda a, b: call(a, b, **settings), arrays, np.float64)
    monkeypatch.undo()
    single = value_and_gradients(lambda a, b: call(a, b, **settings), arrays, np.float32)
    for a, b, c, d in zip(whole, banded, pieces, single):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(c, a, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(d, a, rtol=1e-4, atol=1e-4)


def test_pieces_and_bands_are_really_taken() -> None:
    taps = conv_columns.convolution_taps((64, 64), (3, 3), (1, 1), (1, 1), (1, 1))
    assert conv_columns.blocks(taps, 8, 256, False)[1] < 64
    assert conv_compute._pieces((1, 64, 192), (56, 56), 56 * 56) == 56
    assert conv_compute._pieces((1, 16, 48), (32, 32), 32 * 32) == 1


@pytest.mark.parametrize("shape", [(3, 4, 8, 10), (3, 4, 9, 11), (2, 2, 5, 7), (1, 1, 2, 2), (30, 10, 28, 28)])
@pytest.mark.parametrize("kind", ["distinct", "ties", "rectified"])
def test_max_pooling_in_words_equals_tap_by_tap(shape: Any, kind: str) -> None:
    x = rng.standard_normal(shape).astype(np.float32)
    x = {"distinct": x, "ties": np.round(x), "rectified": np.maximum(x, 0)}[kind]
    call = lambda a: F.max_pool2d(a, 2)
    narrow = value_and_gradients(call, [x], np.float32)
    wide = value_and_gradients(call, [x], np.float64)
    for a, b in zip(narrow, wide):
        np.testing.assert_array_equal(a, b.astype(np.float32))


def test_other_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = rng.standard_normal((6, 8, 12))
    calls = [
        lambda a: F.layer_norm(a, (12,)),
        lambda a: F.rms_norm(a, (12,)),
        lambda a: F.batch_norm(a, None, None, training=True),
        lambda a: F.max_pool1d(a, 3, 2, 1),
        lambda a: F.scaled_dot_product_attention(a, a, a, is_causal=True),
    ]
    whole = [value_and_gradients(call, [x], np.float64) for call in calls]
    monkeypatch.setattr(norm, "BLOCK", 30)
    monkeypatch.setattr(pool_max, "PLANE_BLOCK", 30)
    monkeypatch.setattr(attention, "SCORES", 30)
    monkeypatch.setattr(attention, "ROWS", 3)
    for before, call in zip(whole, calls):
        for a, b in zip(before, value_and_gradients(call, [x], np.float64)):
            np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)


def test_attention_with_large_scores() -> None:
    q, k, v = (rng.standard_normal((2, 5, 4)) * 30 for _ in range(3))
    y = F.scaled_dot_product_attention(*map(allgrad.tensor, (q, k, v)), scale=1.0).numpy()
    scores = q @ k.swapaxes(1, 2)
    p = np.exp(scores - scores.max(2, keepdims=True))
    np.testing.assert_allclose(y, p / p.sum(2, keepdims=True) @ v, rtol=1e-10)


def test_cross_entropy_with_large_and_small_scores() -> None:
    for scale in (1e-3, 1.0, 1e3):
        x = (rng.standard_normal((4, 7)) * scale).astype(np.float32)
        t = np.array([0, 6, 3, 3])
        found = F.cross_entropy(allgrad.tensor(x), allgrad.tensor(t), reduction="none").numpy()
        wide = x.astype(np.float64)
        top = wide.max(1, keepdims=True)
        expected = np.log(np.exp(wide - top).sum(1)) + top[:, 0] - wide[np.arange(4), t]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
