"""``nn.functional`` beyond single calls: running statistics, random masks, in-place arguments, dtypes, special values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
import allgrad.nn.functional as F

rng = np.random.default_rng(11)


def test_batch_norm_running_statistics_by_hand() -> None:
    x = rng.standard_normal((4, 3, 5)).astype(np.float32)
    mean, var = allgrad.zeros(3), allgrad.ones(3)
    F.batch_norm(allgrad.tensor(x), mean, var, training=True, momentum=0.3)
    np.testing.assert_allclose(mean.numpy(), 0.3 * x.mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(var.numpy(), 0.7 + 0.3 * x.var((0, 2), ddof=1), rtol=1e-5)


def test_batch_norm_without_training_uses_the_running_statistics() -> None:
    x = rng.standard_normal((4, 3, 5))
    mean, var = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    weight, bias = rng.standard_normal(3), rng.standard_normal(3)
    y = F.batch_norm(*map(allgrad.tensor, (x, mean, var, weight, bias)), eps=0.01)
    column = (slice(None), None)
    expected = (x - mean[column]) / np.sqrt(var[column] + 0.01) * weight[column] + bias[column]
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)


def test_batch_norm_far_from_zero_keeps_its_precision() -> None:
    x = (1000 + rng.standard_normal((64, 2, 9))).astype(np.float32)
    y = F.batch_norm(allgrad.tensor(x), None, None, training=True).numpy()
    wide = x.astype(np.float64)
    expected = (wide - wide.mean((0, 2), keepdims=True)) / np.sqrt(wide.var((0, 2), keepdims=True) + 1e-5)
    assert np.abs(y - expected).max() < 2e-3


def test_norms_follow_pytorch_in_state_and_evaluation() -> None:
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((4, 3, 5)).astype(np.float32)
    for name in ("batch_norm", "instance_norm"):
        for key in ("training", "use_input_stats"):
            if (key == "training") != (name == "batch_norm"):
                continue
            for live in (True, False):
                states = []
                for library, functional in ((allgrad, F), (torch, torch.nn.functional)):
                    t = [library.tensor(a) for a in (x, np.full(3, 0.5, np.float32), np.full(3, 2.0, np.float32))]
                    y = getattr(functional, name)(*t, momentum=0.2, **{key: live})
                    states.append([y.numpy(), t[1].numpy(), t[2].numpy()])
                for ours, theirs in zip(*states):
                    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=f"{name} {live}")


def test_dropout_keeps_the_mean_and_scales_the_gradient() -> None:
    allgrad.manual_seed(0)
    x = allgrad.ones(20000, requires_grad=True)
    y = F.dropout(x, 0.3)
    assert set(np.unique(y.detach().numpy()).tolist()) == {0.0, np.float32(1 / 0.7)}
    assert abs(float(y.detach().numpy().mean()) - 1) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert F.dropout(x, 0.3, training=False) is x
    assert not F.dropout(x, 1.0).detach().numpy().any()


def test_feature_dropout_drops_whole_channels() -> None:
    allgrad.manual_seed(0)
    y = F.dropout2d(allgrad.ones(8, 16, 3, 3), 0.5).numpy().reshape(8 * 16, 9)
    assert (y == y[:, :1]).all()
    assert 0 < (y[:, 0] == 0).mean() < 1


MASKED: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("dropout", (5, 7), {"p": 0.3}),
    ("dropout", (5, 7), {"p": 0.3, "inplace": True}),
    ("dropout1d", (4, 5, 3), {"p": 0.4}),
    ("dropout1d", (5, 3), {"p": 0.4}),
    ("dropout2d", (4, 5, 3, 2), {"p": 0.4}),
    ("dropout3d", (2, 5, 3, 2, 2), {"p": 0.4}),
    ("alpha_dropout", (5, 7), {"p": 0.3, "training": True}),
    ("feature_alpha_dropout", (5, 7, 2), {"p": 0.3, "training": True}),
    ("rrelu", (5, 7), {"training": True}),
    ("gumbel_softmax", (5, 7), {}),
    ("gumbel_softmax", (5, 7), {"tau": 0.3, "hard": True, "dim": 0}),
]


@pytest.mark.parametrize(("name", "shape", "settings"), MASKED, ids=lambda v: str(v))
def test_random_functions_draw_what_pytorch_draws(name: str, shape: Any, settings: Any) -> None:
    torch = pytest.importorskip("torch")
    x = rng.standard_normal(shape).astype(np.float32)
    allgrad.manual_seed(7)
    torch.manual_seed(7)
    ours = getattr(F, name)(allgrad.tensor(x), **settings).numpy()
    theirs = getattr(torch.nn.functional, name)(torch.tensor(x), **settings).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_inplace_arguments_change_their_input() -> None:
    for name in ("relu", "relu6", "elu", "selu", "celu", "leaky_relu", "hardtanh", "silu", "mish", "hardswish"):
        x = allgrad.tensor(rng.standard_normal(6))
        expected = getattr(F, name)(x.clone()).numpy()
        y = getattr(F, name)(x, inplace=True)
        assert y is x, name
        np.testing.assert_array_equal(x.numpy(), expected)
    for name in ("relu_", "elu_", "selu_", "celu_", "leaky_relu_", "hardtanh_"):
        x = allgrad.tensor(rng.standard_normal(6))
        assert getattr(F, name)(x) is x


def test_embedding_max_norm_shortens_the_rows_it_reads() -> None:
    weight = allgrad.tensor(np.array([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]]))
    y = F.embedding(allgrad.tensor([0, 2]), weight, max_norm=1.0)
    np.testing.assert_allclose(y.numpy(), [[0.6, 0.8], [0.3, 0.4]], atol=1e-6)
    np.testing.assert_allclose(weight.numpy(), [[0.6, 0.8], [6.0, 8.0], [0.3, 0.4]], atol=1e-6)


def test_half_precision_stays_half() -> None:
    x = allgrad.tensor(rng.standard_normal((2, 4, 6, 6)).astype(np.float16))
    w = allgrad.tensor(rng.standard_normal((3, 4, 3, 3)).astype(np.float16), requires_grad=True)
    y = F.conv2d(x, w)
    y.sum().backward()
    assert y.dtype == w.grad.dtype == allgrad.float16
    for found in (
        F.layer_norm(x, (6,)), F.batch_norm(x, None, None, training=True), F.rms_norm(x, (6,)), F.max_pool2d(x, 2),
        F.avg_pool2d(x, 2), F.scaled_dot_product_attention(x, x, x), F.group_norm(x, 2), F.interpolate(x, size=(3, 3)),
    ):  # fmt: skip
        assert found.dtype == allgrad.float16


def test_nan_and_infinity_pass_through() -> None:
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 1, 2] = np.nan
    found = F.max_pool2d(allgrad.tensor(x), 2).numpy()
    assert np.isnan(found).tolist() == [[[[False, True], [False, False]]]]
    t = allgrad.tensor(x, requires_grad=True)
    F.max_pool2d(t, 2).sum().backward()
    assert t.grad.numpy()[0, 0, 1, 2] == 1
    found = F.avg_pool2d(allgrad.tensor(np.where(np.isnan(x), np.inf, x)), 2).numpy()
    assert np.isinf(found).sum() == 1
    assert np.isnan(F.cross_entropy(allgrad.tensor(np.full((2, 3), np.nan)), allgrad.tensor([0, 1])).item())


def test_empty_batches() -> None:
    w = allgrad.tensor(rng.standard_normal((3, 2, 3, 3)), requires_grad=True)
    y = F.conv2d(allgrad.zeros(0, 2, 5, 5, dtype=allgrad.float64), w, padding=1)
    assert y.shape == (0, 3, 5, 5)
    y.sum().backward()
    assert not w.grad.numpy().any()
    assert F.max_pool2d(allgrad.zeros(0, 2, 4, 4), 2).shape == (0, 2, 2, 2)
    scores, labels = allgrad.zeros(0, 5), allgrad.zeros(0, dtype=allgrad.int64)
    assert np.isnan(F.cross_entropy(scores, labels).item())
    assert F.cross_entropy(scores, labels, reduction="sum").item() == 0
    assert F.layer_norm(allgrad.zeros(0, 4), (4,)).shape == (0, 4)


def test_all_labels_ignored() -> None:
    x = allgrad.tensor(rng.standard_normal((3, 4)), requires_grad=True)
    loss = F.cross_entropy(x, allgrad.tensor([-100, -100, -100]), reduction="sum")
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.numpy().any()
    assert np.isnan(F.cross_entropy(x, allgrad.tensor([-100, -100, -100])).item())


def test_max_pool_indices_find_the_maxima_again() -> None:
    x = allgrad.tensor(rng.standard_normal((2, 3, 7, 8)))
    y, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    flat = x.numpy().reshape(2, 3, -1)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, places.numpy().reshape(2, 3, -1), 2), y.numpy().reshape(2, 3, -1)
    )
    back = F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(7, 8)).numpy()
    kept = back != 0
    np.testing.assert_array_equal(back[kept], x.numpy()[kept])


def test_multi_head_attention_follows_pytorch() -> None:
    torch = pytest.importorskip("torch")
    e, heads, n, length, sources = 8, 2, 3, 4, 5
    arrays = {
        "query": rng.standard_normal((length, n, e)),
        "key": rng.standard_normal((sources, n, e)),
        "in_w": rng.standard_normal((3 * e, e)),
        "in_b": rng.standard_normal(3 * e),
        "bias_k": rng.standard_normal((1, 1, e)),
        "bias_v": rng.standard_normal((1, 1, e)),
        "out_w": rng.standard_normal((e, e)),
        "out_b": rng.standard_normal(e),
        "mask": rng.random((length, sources)) < 0.3,
        "ends": np.arange(sources) >= np.array([[5], [4], [3]]),
    }
    for biased in (False, True):
        for zero in (False, True):
            for need in (False, True):
                found = []
                for library, functional in ((allgrad, F), (torch, torch.nn.functional)):
                    t = {k: library.tensor(v) for k, v in arrays.items()}
                    t["query"].requires_grad_()
                    y, weights = functional.multi_head_attention_forward(
                        t["query"], t["key"], t["key"], e, heads, t["in_w"], t["in_b"],
                        t["bias_k"] if biased else None, t["bias_v"] if biased else None, zero, 0.0, t["out_w"], t["out_b"],
                        key_padding_mask=t["ends"], attn_mask=t["mask"] if biased else None, need_weights=need,
                    )  # fmt: skip
                    y.sum().backward()
                    found.append([y, t["query"].grad, *([weights] if need else [])])
                for a, b in zip(*found):
                    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_public_names_are_sorted_and_there() -> None:
    assert sorted(F.__all__) == list(F.__all__)
    assert all(callable(getattr(F, name)) for name in F.__all__)
