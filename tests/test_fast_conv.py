"""Convolution by compiled tiles agrees with its NumPy twin, at every shape that reaches a tile's edges; nan stays where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad as t
from allgrad import fast
from allgrad.ops import conv_tiles

F = t.nn.functional
pytestmark = pytest.mark.skipif(not fast.installed(), reason="numba is not installed: pip install 'allgrad[fast]'")
Array = np.ndarray[Any, Any]


def draws(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def both(f: Any, *arrays: Any) -> tuple[list[Array], list[Array]]:
    """Value and gradients of ``f`` by the twins and by the kernels."""
    found = []
    for on in (False, True):
        with fast.use(on):
            leaves = [t.tensor(a, requires_grad=True) for a in arrays]
            y = f(*leaves)
            y.backward(t.tensor(draws(*y.shape)))
            found.append([y.detach().numpy(), *[x.grad.numpy() for x in leaves]])
    return found[0], found[1]


def agree(twins: list[Array], kernels: list[Array]) -> None:
    for twin, kernel in zip(twins, kernels):
        assert kernel.shape == twin.shape and kernel.dtype == twin.dtype
        # Sums of up to 10,000 terms in another order.
        np.testing.assert_allclose(kernel, twin, rtol=1e-5, atol=1e-5 * float(np.abs(twin).max()))


# images, weights, settings
SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3 x 3, width of a vector": ((3, 16, 16, 16), (16, 16, 3, 3), {"padding": 1}),
    "half a vector": ((9, 32, 8, 8), (32, 32, 3, 3), {"padding": 1}),
    "odd everything": ((3, 13, 11, 13), (29, 13, 3, 3), {"padding": 1}),
    "one channel in, six out": ((8, 1, 28, 28), (6, 1, 5, 5), {"padding": 2}),
    "no padding": ((8, 6, 14, 14), (16, 6, 5, 5), {}),
    "stride 2": ((4, 8, 17, 18), (27, 8, 3, 3), {"padding": 1, "stride": 2}),
    "stride 3 and 2, dilation": (
        (2, 9, 21, 40),
        (14, 9, 3, 2),
        {"stride": (3, 2), "dilation": (2, 3), "padding": (2, 1)},
    ),
    "padding beyond the image": ((6, 9, 5, 9), (15, 9, 3, 3), {"padding": 6, "dilation": 2}),
    "a kernel of one row": ((4, 9, 6, 40), (13, 9, 1, 5), {"padding": (0, 2)}),
    "a kernel of one column": ((4, 9, 40, 6), (13, 9, 5, 1), {"padding": (3, 0)}),
    "ten outputs": ((4, 8, 20, 20), (10, 8, 3, 3), {}),
    "four outputs": ((4, 8, 20, 20), (4, 8, 3, 3), {}),
    "few places": ((16, 30, 6, 6), (30, 30, 3, 3), {}),
    "many channels, few places": ((2, 256, 4, 5), (16, 256, 3, 3), {"padding": 1}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_tiles_agree_with_products(name: str) -> None:
    image, kernel, settings = SHAPES[name]
    agree(*both(lambda x, w, b: F.conv2d(x, w, b, **settings), draws(*image), draws(*kernel), draws(kernel[0])))


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1, "output_padding": 1}, {"dilation": 2}])
def test_transposed_convolution(settings: dict[str, Any]) -> None:
    agree(*both(lambda x, w: F.conv_transpose2d(x, w, **settings), draws(4, 15, 9, 12), draws(15, 14, 3, 3)))


def test_bands_of_a_large_image_and_several_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small buffer makes every image several bands, the last of them shorter; a larger one takes images in threes."""
    for block in (1500, 30000):
        monkeypatch.setattr(conv_tiles, "BLOCK", block)
        conv_tiles._plan.cache_clear()
        agree(*both(lambda x, w: F.conv2d(x, w, padding=1), draws(7, 9, 19, 15), draws(15, 9, 3, 3)))
    conv_tiles._plan.cache_clear()


def test_tiles_are_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparisons above compare two things: with a kernel planted wrong they see a difference."""
    kernels = fast.kernels("convolve")
    monkeypatch.setattr(kernels, "correlate", lambda *a: a[-1].fill(3.0))
    monkeypatch.setattr(kernels, "weight_grad", lambda *a: a[-1].fill(4.0))
    _, (y, g_x, g_w) = both(lambda x, w: F.conv2d(x, w, padding=1), draws(4, 8, 16, 16), draws(16, 8, 3, 3))
    assert (y == 3).all() and (g_x == 3).all() and (g_w == 4).all()


@pytest.mark.parametrize("settings", [{"padding": 1}, {"padding": 1, "stride": 2}, {}])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_stays_in_its_window(settings: dict[str, Any], bad: float) -> None:
    """At ends of rows and images and beside the padding; in windows that do not see it, and in other images, nothing."""
    x, w = draws(3, 14, 18, 17), draws(14, 14, 3, 3)
    x[1, 0, 0, 16] = x[1, 3, 4, 0] = x[1, 9, 17, 16] = bad
    with np.errstate(all="ignore"):
        (y, _, g_w), (fast_y, fast_g_x, fast_g_w) = both(lambda x, w: F.conv2d(x, w, **settings), x, w)
    assert (np.isnan(fast_y) == np.isnan(y)).all() and (np.isinf(fast_y) == np.isinf(y)).all()
    assert not np.isfinite(y[1]).all() and np.isfinite(fast_y[::2]).all() and np.isfinite(fast_g_x).all()
    assert (np.isfinite(fast_g_w) == np.isfinite(g_w)).all() and np.isfinite(g_w).any()


def test_an_endless_weight_does_not_reach_other_outputs() -> None:
    x, w = draws(2, 9, 12, 12), draws(13, 9, 3, 3)
    w[5, 0, 0, 0] = np.inf
    with np.errstate(all="ignore"):
        (y, *_), (fast_y, *_) = both(lambda x, w: F.conv2d(x, w, padding=1), x, w)
    assert (np.isfinite(fast_y) == np.isfinite(y)).all()
    assert np.isfinite(fast_y[:, [0, 4, 6, 12]]).all() and np.isinf(fast_y[:, 5, 1:, 1:]).all()


def test_views_and_frozen_arrays() -> None:
    """Images and weights that are not contiguous, or broadcast; numbers of a tensor in another order."""
    f = lambda x, w: F.conv2d(x.permute(0, 3, 1, 2), w.transpose(0, 1).flip(3), padding=1)
    agree(*both(f, draws(3, 12, 14, 9), draws(9, 13, 3, 3)))
    agree(*both(lambda x, w: F.conv2d(x.expand(4, 9, 12, 12), w), draws(1, 9, 1, 12), draws(16, 9, 3, 3)))


def test_second_derivatives_agree() -> None:
    """Through both adjoints, which are operations of their own."""

    def penalty(x: Any, w: Any) -> Any:
        g_x, g_w = t.autograd.grad(F.conv2d(x, w, padding=1).tanh().sum(), (x, w), create_graph=True)
        return (g_x * g_x).sum() + (g_w * g_w).sum()

    agree(*both(penalty, draws(2, 8, 12, 12), 0.1 * draws(16, 8, 3, 3)))
