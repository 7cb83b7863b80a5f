"""What runs in place of the general case where nothing is out of the ordinary, at the edges of "ordinary"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad as torch
from allgrad.autograd.record import apply
from allgrad.ops.op import Op

LAYOUTS = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, 1)[:, ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 37, 2000])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_and_its_gradients_in_closed_form(count: int, layout: str, reduction: str) -> None:
    rng = np.random.default_rng(count)
    scores, labels = rng.standard_normal((count, 5)).astype(np.float32), rng.integers(0, 5, count)
    wide = scores.astype(np.float64)
    p = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    chosen = np.eye(5)[labels]
    losses = -np.log(p[np.arange(count), labels])
    expected = {"mean": losses.mean(), "sum": losses.sum(), "none": losses}[reduction]
    x = torch.from_numpy(LAYOUTS[layout](scores)).requires_grad_()
    loss = torch.nn.functional.cross_entropy(x, torch.from_numpy(labels), reduction=reduction)
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-5)
    scale = 1 / count if reduction == "mean" else 1.0
    (g,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
    np.testing.assert_allclose(g.numpy(), (p - chosen) * scale, rtol=1e-4, atol=1e-6 * scale)
    (g,) = torch.autograd.grad(loss.sum(), x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), (p - chosen) * scale, rtol=1e-4, atol=1e-6 * scale)
    (h,) = torch.autograd.grad(g[:, 2].sum(), x)  # one column of each row's Hessian, diag(p) - p p'
    np.testing.assert_allclose(h.numpy(), p[:, 2:3] * (np.eye(5)[2] - p) * scale, rtol=1e-4, atol=1e-6 * scale)


def test_labels_that_change_after_the_forward_do_not_change_the_gradient() -> None:
    x, labels = torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 1])
    loss = torch.nn.functional.cross_entropy(x, labels, reduction="sum")
    labels.numpy()[:] = 2
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full((2, 3), 1 / 3) - np.eye(3)[:2], rtol=1e-6)


class Silent(torch.autograd.Function):
    """Gives no gradient to its input."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return None


def test_a_product_that_gets_no_gradient_still_reports_to_its_leaves() -> None:
    x, w = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    (Silent.apply(x * w).sum() + (x * 3).sum()).backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert w.grad is None


def test_a_gradient_of_the_wrong_shape_is_told_with_its_index() -> None:
    wrong = Op(lambda a, b: a + b, name="wrong", view=False, ufunc=None, multi=False)
    wrong.pull(a=lambda g: g, b=lambda g: np.ones(7, np.float32))
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"WrongBackward0 returned an invalid gradient at index 1 - got \[7\]"):
        apply(wrong, (x, y), {}).sum().backward()


def test_linear_takes_a_weight_that_is_no_parameter() -> None:
    layer = torch.nn.Linear(2, 2, bias=False)
    del layer.weight
    layer.weight = torch.eye(2) * 2
    assert layer(torch.ones(1, 2)).tolist() == [[2.0, 2.0]]
