"""Drawn shapes, keys and chains of views: values and aliasing as in NumPy, gradients as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import allgrad

few = settings(max_examples=120, deadline=None)
shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)
full_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@st.composite
def basic_key(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Ints, slices with positive steps, None, and perhaps one Ellipsis."""
    parts: list[Any] = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        kind = draw(st.sampled_from(["int", "slice", "slice", "all"]))
        if kind == "int" and n:
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            ends = st.one_of(st.none(), st.integers(-n - 2, n + 2))
            parts.append(slice(draw(ends), draw(ends), draw(st.one_of(st.none(), st.integers(1, 3)))))
        else:
            parts.append(slice(None))
        if draw(st.integers(0, 4)) == 0:
            parts.append(None)
    if draw(st.booleans()):
        parts.append(...)
    return tuple(parts)


@st.composite
def mixed_key(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Index arrays that broadcast together, masks, ints, slices and None."""
    common = draw(st.sampled_from([(2,), (3,), (2, 3), (1,)]))
    parts: list[Any] = []
    masked = False
    for n in shape[: draw(st.integers(1, len(shape)))]:
        kind = draw(st.sampled_from(["array", "array", "int", "slice", "mask", "list"]))
        if kind == "mask" and not masked and common == (1,):
            masked = True
            parts.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))))
        elif kind in ("array", "mask", "list"):
            part = common if kind == "array" else common[-1:]
            values = st.lists(st.integers(-n, n - 1), min_size=int(np.prod(part)), max_size=int(np.prod(part)))
            a = np.array(draw(values)).reshape(part)
            parts.append(a.tolist() if kind == "list" else a)
        elif kind == "int":
            parts.append(draw(st.integers(-n, n - 1)))
        else:
            parts.append(slice(draw(st.integers(0, n)), None))
        if draw(st.integers(0, 5)) == 0:
            parts.append(None)
    return tuple(parts)


def counted(shape: tuple[int, ...]) -> Any:
    return np.arange(1.0, np.prod(shape) + 1).reshape(shape)


def in_library(t: Any, key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(t.from_numpy(k.copy()) if isinstance(k, np.ndarray) else k for k in key)


@given(st.data(), shapes)
@few
def test_basic_keys_are_numpy_views(data: Any, shape: tuple[int, ...]) -> None:
    a = counted(shape)
    key = data.draw(basic_key(shape))
    x = allgrad.from_numpy(a)
    y, expected = x[key], a[key]
    np.testing.assert_array_equal(y.numpy(), expected)
    assert y.size() == np.shape(expected)
    if y.numel():
        assert np.shares_memory(y.numpy(), a)
        y.add_(100)
        assert a.max() > 100
        x[key] = -1
        assert (a[key] == -1).all()


def both_gradients(key: tuple[Any, ...], a: Any, act: Any) -> list[tuple[Any, Any]]:
    torch = pytest.importorskip("torch")
    found = []
    for t in (allgrad, torch):
        x = t.from_numpy(a.copy()).requires_grad_()
        try:
            y = act(t, x, in_library(t, key))
        except (IndexError, RuntimeError) as error:
            found.append((type(error).__mro__, None))
            continue
        (g,) = t.autograd.grad((y * y * t.arange(1.0, y.numel() + 1).to(y.dtype).reshape(y.shape)).sum(), x)
        found.append((y.detach().numpy(), g.numpy()))
    return found


@given(st.data(), full_shapes)
@few
def test_mixed_keys_as_in_pytorch(data: Any, shape: tuple[int, ...]) -> None:
    key = data.draw(mixed_key(shape))
    (y, g), (expected, slope) = both_gradients(key, counted(shape), lambda t, x, k: x[k])
    assert (g is None) == (slope is None), f"{key}: allgrad {y}, PyTorch {expected}"
    if g is not None:
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_allclose(g, slope, rtol=1e-12)


def unique_places(shape: tuple[int, ...], key: tuple[Any, ...]) -> bool:
    """Whether a key names no element twice: what stays of several values at one place is not defined."""
    try:
        at = np.arange(int(np.prod(shape))).reshape(shape)[
            tuple(np.asarray(k) if isinstance(k, list) else k for k in key)
        ]
    except IndexError:
        return False
    return len(np.unique(at)) == at.size


@given(st.data(), full_shapes)
@few
def test_writes_as_in_pytorch(data: Any, shape: tuple[int, ...]) -> None:
    key = data.draw(st.one_of(mixed_key(shape), basic_key(shape)))
    if not unique_places(shape, key):
        return
    tail = data.draw(st.booleans())

    def act(t: Any, x: Any, k: Any) -> Any:
        y = x * 2
        y[k] = (y[k] * 3)[..., :1] if tail and y[k].ndim else x.sum()
        return y

    (y, g), (expected, slope) = both_gradients(key, counted(shape), act)
    assert (g is None) == (slope is None), f"{key}: allgrad {y}, PyTorch {expected}"
    if g is not None:
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_allclose(g, slope, rtol=1e-12)


VIEWS = [
    lambda x: x.t() if x.ndim == 2 else x.permute(tuple(range(x.ndim - 1, -1, -1))),
    lambda x: x.unsqueeze(0),
    lambda x: x.squeeze(),
    lambda x: x[..., -1:],
    lambda x: x[0] if x.ndim and x.shape[0] else x,
    lambda x: x.flatten() if x.is_contiguous() else x,
    lambda x: x.view(-1, 1) if x.is_contiguous() and x.numel() else x,
    lambda x: x.diagonal() if x.ndim > 1 else x,
    lambda x: x.unfold(0, 1, 1) if x.ndim and x.shape[0] else x,
    lambda x: x.narrow(0, 1, x.shape[0] - 1) if x.ndim and x.shape[0] else x,
    lambda x: x.transpose(0, -1),
]


@given(full_shapes, st.lists(st.sampled_from(range(len(VIEWS))), min_size=1, max_size=4), st.integers(0, 3))
@few
def test_in_place_through_chains_of_views(shape: tuple[int, ...], chain: list[int], when: int) -> None:
    """A view of a view, changed in place: the base changes, and both gradients are PyTorch's."""

    def act(t: Any, x: Any, key: Any) -> Any:
        base = x * 2
        early = base.view(-1)[:1]
        view = base
        for i, k in enumerate(chain):
            if i == when:
                view = view * 1  # a copy on the way: only what comes after is aliased
            view = VIEWS[k](view)
        view.mul_(3)
        if view.ndim:
            view[..., :1] = x.sum()
        base.add_(1)
        return t.cat([base.reshape(-1), early * view.sum(), view.reshape(-1)])

    (y, g), (expected, slope) = both_gradients((), counted(shape), act)
    assert (g is None) == (slope is None), f"allgrad {y}, PyTorch {expected}"
    if g is None:
        return
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_allclose(g, slope, rtol=1e-12)


@given(st.data(), shapes)
@few
def test_reshape_keeps_the_order_and_the_gradient(data: Any, shape: tuple[int, ...]) -> None:
    a = counted(shape)
    parts = [n for n in shape if n != 1] + [1]
    new = tuple(data.draw(st.permutations(parts)))
    if a.size and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(new) - 1))
        new = (*new[:at], -1, *new[at + 1 :])
    x = allgrad.from_numpy(a).requires_grad_()
    y = x.reshape(new)
    np.testing.assert_array_equal(y.detach().numpy(), a.reshape(new))
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * a)


@given(st.data(), st.integers(1, 3), st.integers(0, 2))
@few
def test_scatter_add_is_the_adjoint_of_gather(data: Any, ndim: int, dim: int) -> None:
    dim %= ndim
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(ndim))
    short = tuple(data.draw(st.integers(1, 4 if d == dim else n)) for d, n in enumerate(shape))
    index = np.array(
        data.draw(st.lists(st.integers(0, shape[dim] - 1), min_size=int(np.prod(short)), max_size=int(np.prod(short))))
    )
    i = allgrad.from_numpy(index.reshape(short))
    x, g = counted(shape), np.cos(counted(short))
    gathered = allgrad.gather(allgrad.from_numpy(x), dim, i).numpy()
    added = allgrad.from_numpy(np.zeros(shape)).scatter_add(dim, i, allgrad.from_numpy(g)).numpy()
    np.testing.assert_allclose(np.sum(gathered * g), np.sum(x * added), rtol=1e-12)
    for at in np.ndindex(short):
        assert gathered[at] == x[tuple(i._a[at] if d == dim else k for d, k in enumerate(at))]


@given(st.lists(st.integers(-3, 3), max_size=12), st.lists(st.integers(-5, 5), max_size=6))
@few
def test_unique_and_searchsorted_as_in_plain_python(values: list[int], asked: list[int]) -> None:
    found, inverse, counts = allgrad.unique(
        allgrad.tensor(values, dtype=allgrad.int64), return_inverse=True, return_counts=True
    )
    assert found.tolist() == sorted(set(values))
    assert [found.tolist()[i] for i in inverse.tolist()] == values
    assert counts.tolist() == [values.count(v) for v in found.tolist()]
    edges = sorted(values)
    places = allgrad.searchsorted(
        allgrad.tensor(edges, dtype=allgrad.int64), allgrad.tensor(asked, dtype=allgrad.int64), right=True
    )
    assert places.tolist() == [sum(e <= q for e in edges) for q in asked]
