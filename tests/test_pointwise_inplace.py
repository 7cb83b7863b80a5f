"""In-place twins of the pointwise functions: same values and gradients, versions, views, copies."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import allgrad as ag

TWINS = [
    "sin_",
    "exp_",
    "sqrt_",
    "tanh_",
    "sigmoid_",
    "abs_",
    "neg_",
    "square_",
    "reciprocal_",
    "rsqrt_",
    "erf_",
    "lgamma_",
    "log1p_",
    "clamp_min_",
    "pow_",
]


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("through_view", [False, True])
def test_recorded_twins_equal_their_functions(name: str, through_view: bool) -> None:
    more = {"clamp_min_": (0.7,), "pow_": (3,)}.get(name, ())
    a = np.random.default_rng(3).uniform(0.3, 2, (3, 4))

    def run(in_place: bool) -> tuple[np.ndarray, np.ndarray]:
        x = ag.from_numpy(a.copy()).requires_grad_()
        y = x * 1
        if in_place:
            getattr(y[1] if through_view else y, name)(*more)
        elif through_view:
            y = ag.stack([y[0], getattr(y[1], name[:-1])(*more), y[2]])
        else:
            y = getattr(y, name[:-1])(*more)
        (y * y).sum().backward()
        return y.detach().numpy(), x.grad.numpy()

    for found, wanted in zip(run(True), run(False)):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("name", ["sin_", "addcmul_", "floor_", "eq_", "copy_"])
def test_twins_raise_the_version(name: str) -> None:
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    z = y * y
    other = (ag.ones(2),) * {"addcmul_": 2, "eq_": 1, "copy_": 1}.get(name, 0)
    getattr(y, name)(*other)
    with pytest.raises(RuntimeError, match=f"modified by an inplace operation.*{name}"):
        z.sum().backward()


def test_operators_write_in_place() -> None:
    t = ag.tensor([6, 5, 3])
    keep = t
    t &= 6
    t |= ag.tensor([1, 0, 0])
    t ^= 1
    t <<= 2
    t >>= 1
    t %= 7
    t **= 2
    t //= 3
    assert t is keep
    wanted = np.array([6, 5, 3])
    for f, k in (
        (operator.and_, 6),
        (operator.or_, np.array([1, 0, 0])),
        (operator.xor, 1),
        (operator.lshift, 2),
        (operator.rshift, 1),
        (operator.mod, 7),
        (operator.pow, 2),
        (operator.floordiv, 3),
    ):
        wanted = f(wanted, k)
    np.testing.assert_array_equal(t.numpy(), wanted)


def test_copy_and_fill_pass_gradients() -> None:
    src = ag.tensor([1.0, 2.0], dtype=ag.float64, requires_grad=True)
    x = ag.tensor([[5.0, 6.0], [7.0, 8.0]], requires_grad=True)
    y = x * 2
    arriving = []
    between = src * 1
    between.register_hook(lambda g: arriving.append(g.dtype))
    y[0].copy_(between)
    value = ag.tensor(3.0, requires_grad=True)
    z = y * 1
    z[1].fill_(value)
    (z * ag.tensor([[1.0, 10.0], [100.0, 1000.0]])).sum().backward()
    np.testing.assert_array_equal(src.grad.numpy(), [1, 10])
    assert arriving == [ag.float64]  # back in the dtype that it left
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0], [0, 0]])
    assert value.grad.item() == 1100
