"""An op with several outputs keeps only those that its backward reads: the others may be changed in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import allgrad as ag
from allgrad.nn import functional as F

CHANGED: dict[str, Callable[[Any], Any]] = {
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "layer_norm": lambda x: F.layer_norm(x, (3,)),
    "rms_norm": lambda x: F.rms_norm(x, (3,)),
    "sort": lambda x: ag.sort(x, dim=0)[0],
    "topk": lambda x: ag.topk(x, 2, dim=0)[0],
    "max": lambda x: ag.max(x, 0)[0],
    "median": lambda x: ag.median(x, 0)[0],
    "kthvalue": lambda x: ag.kthvalue(x, 2, 0)[0],
    "cummax": lambda x: ag.cummax(x, 0)[0],
}


def values() -> Any:
    return ag.tensor(np.random.default_rng(3).standard_normal((5, 3)), requires_grad=True)


@pytest.mark.parametrize("name", sorted(CHANGED))
@pytest.mark.parametrize("create_graph", [False, True])
def test_an_activation_in_place_after_it(name: str, create_graph: bool) -> None:
    made = CHANGED[name]
    x, y = values(), values()
    weight = ag.arange(3.0, dtype=ag.float64) + 1
    apart = (F.leaky_relu(made(x), 0.2) * weight).sum()
    (expected,) = ag.autograd.grad(apart, x)
    out = made(y)
    F.leaky_relu_(out, 0.2)
    (found,) = ag.autograd.grad((out * weight).sum(), y, create_graph=create_graph)
    np.testing.assert_allclose(found.detach().numpy(), expected.numpy(), rtol=1e-12)


def test_under_saved_tensor_hooks_only_what_is_read_is_packed() -> None:
    x = values()
    shapes = []

    def pack(t: Any) -> Any:
        shapes.append(tuple(t.shape))
        return t.clone()

    with ag.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = F.batch_norm(x, None, None, training=True)
    assert shapes.count((5, 3)) == 1  # the input; the normalized values are not kept
    out.pow(3).sum().backward()
    y = values()
    F.batch_norm(y, None, None, training=True).pow(3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.grad.numpy())


def test_what_is_read_may_not_change() -> None:
    x = values()
    ordered, places = ag.sort(x, dim=0)
    places.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        ordered.sum().backward()
