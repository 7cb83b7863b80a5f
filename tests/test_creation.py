"""Creation functions: shapes, dtypes, ranges, errors; against NumPy, and against PyTorch where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad as ag


def test_sizes_in_every_spelling() -> None:
    for f in (ag.zeros, ag.ones, ag.empty, ag.rand, ag.randn):
        assert f(2, 3).shape == f((2, 3)).shape == f([2, 3]).shape == f(size=(2, 3)).shape == (2, 3)
        assert f(()).shape == ()
        assert f(ag.tensor(2), 0).shape == (2, 0)
        with pytest.raises(TypeError, match='missing 1 required positional argument: "size"'):
            f()
        with pytest.raises(TypeError, match="twice"):
            f(2, size=3)
        with pytest.raises(TypeError, match="unexpected keyword argument 'shape'"):
            f(2, shape=3)
        with pytest.raises(TypeError, match="tuple of ints"):
            f(2.5)
        with pytest.raises(RuntimeError, match="negative dimension"):
            f(2, -1)


def test_out_and_requires_grad() -> None:
    out = ag.empty(3, dtype=ag.float64)
    assert ag.arange(3, out=out) is out
    np.testing.assert_array_equal(out.numpy(), [0, 1, 2])
    ag.linspace(0, 1, 5, out=out)
    np.testing.assert_array_equal(out.numpy(), [0, 0.25, 0.5, 0.75, 1])
    ag.zeros(2, out=out)
    assert out.shape == (2,) and out.dtype is ag.float64
    assert ag.zeros(2, requires_grad=True).is_leaf
    with pytest.raises(RuntimeError, match="floating point"):
        ag.arange(3, requires_grad=True)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1, 2], ag.int64), ([1.0, 2], ag.float32), ([True, False], ag.bool_), ([True, 2], ag.int64), ([], ag.float32),
        (np.ones(2), ag.float64), (np.float64(1), ag.float64), ([np.float64(1)], ag.float32), (3, ag.int64),
        ([ag.tensor(1), ag.tensor(2.5)], ag.float32), ([[1], [2]], ag.int64), (np.ones(2, np.int16), ag.int16),
    ],
)  # fmt: skip
def test_tensor_infers_the_dtype(data: Any, dtype: Any) -> None:
    assert ag.tensor(data).dtype is dtype


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ag.tensor("a"), TypeError, "str"),
        (lambda: ag.tensor(None), RuntimeError, "NoneType"),
        (lambda: ag.tensor([[1], [1, 2]]), ValueError, "equal length"),
        (lambda: ag.tensor(2**70), RuntimeError, "Overflow"),
        (lambda: ag.tensor([300], dtype=ag.uint8), RuntimeError, "uint8 without overflow: 300"),
        (lambda: ag.full((2,), 300, dtype=ag.uint8), RuntimeError, "without overflow"),
        (lambda: ag.full((2,), "a"), TypeError, "str"),
        (lambda: ag.arange(3, 0), RuntimeError, "inconsistent with step sign"),
        (lambda: ag.arange(0, 3, 0), RuntimeError, "nonzero"),
        (lambda: ag.arange(0, float("inf")), RuntimeError, "unsupported range"),
        (lambda: ag.arange(), TypeError, "end"),
        (lambda: ag.linspace(0, 1, -1), RuntimeError, "non-negative"),
        (lambda: ag.eye(-1), RuntimeError, "greater or equal to 0"),
        (lambda: ag.zeros_like([1]), TypeError, "must be Tensor, not list"),
        (lambda: ag.from_numpy([1]), TypeError, "expected np.ndarray"),
        (lambda: ag.from_numpy(np.ones(2, complex)), TypeError, "complex128"),
        (lambda: ag.rand(2, dtype=ag.int64), RuntimeError, "floating point"),
        (lambda: ag.randint(3, 3, (2,)), RuntimeError, "from=3 >= to=3"),
    ],
)
def test_errors(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_like_and_filled() -> None:
    x = ag.tensor([[1, 2]], dtype=ag.int32)
    assert ag.zeros_like(x).dtype is ag.int32
    assert ag.ones_like(x, dtype=ag.float64).numpy().tolist() == [[1.0, 1.0]]
    assert ag.full_like(x, 2.7).numpy().tolist() == [[2, 2]]
    assert ag.full((2,), 1).dtype is ag.int64 and ag.full((2,), True).dtype is ag.bool_
    assert ag.full((2,), 1.0).dtype is ag.float32 and ag.full((2,), ag.tensor(3)).numpy().tolist() == [3, 3]
    assert ag.empty_like(x).shape == (1, 2)
    assert ag.scalar_tensor(2).dtype is ag.float32


def test_sharing_memory() -> None:
    a = np.zeros(3, np.float32)
    for t in (ag.from_numpy(a), ag.as_tensor(a), ag.asarray(a), ag.asarray(a, copy=False)):
        t.add_(1)
    assert a.tolist() == [4, 4, 4]
    assert ag.asarray(a, copy=True).add_(1) is not None and a[0] == 4
    with pytest.raises(ValueError, match="copy=False"):
        ag.asarray([1.0], copy=False)
    assert ag.frombuffer(b"\x01\x02\x03", dtype=ag.uint8).tolist() == [1, 2, 3]
    assert ag.as_tensor(ag.ones(2), dtype=ag.float64).dtype is ag.float64


RANGES = [
    "arange(5)", "arange(0, 1, 0.1)", "arange(1, 2.5, 0.3)", "arange(5, 0, -1)", "arange(2.0)", "arange(0, 5, dtype=M.int32)",
    "arange(1, 10, 2, dtype=M.float16)", "arange(0.5, 4.5, dtype=M.int64)", "arange(end=3)", "arange(start=1, end=3)",
    "arange(M.tensor(3))", "linspace(0, 1, 11)", "linspace(-3, 7, 1000)", "linspace(0, 1, 7, dtype=M.float64)",
    "linspace(0, 10, 4, dtype=M.int64)", "linspace(5, -5, 9, dtype=M.int32)", "linspace(0, 1, 1)", "linspace(2, 1, 0)",
    "linspace(-10, 10, 501)", "linspace(0, 1, 100003)", "linspace(0, 1, 5, dtype=M.float16)", "logspace(0, 1, 5)",
    "logspace(-3, 3, 50, 2)", "eye(3, 2)", "eye(2, dtype=M.int64)", "full((2,), 3)", "zeros(2, dtype=float)",
    "ones(2, dtype=int)", "empty(0)", "linspace(M.tensor(1.0), 2, 3)",
]  # fmt: skip


@pytest.mark.parametrize("expression", RANGES)
def test_ranges_are_those_of_torch(expression: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = (eval(f"M.{expression}", {"M": m}).numpy() for m in (ag, torch))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


def test_long_arange_is_rounded_once() -> None:
    """PyTorch rounds the start of each vector of eight too, and is off by one unit in the last place here and there."""
    found = ag.arange(0, 100000, 0.37).numpy()
    exact = np.arange(270271) * 0.37
    np.testing.assert_array_equal(found, exact.astype(np.float32))


def test_default_dtype_is_followed() -> None:
    ag.set_default_dtype(ag.float64)
    try:
        for t in (ag.zeros(1), ag.tensor(1.0), ag.rand(1), ag.arange(1.0), ag.linspace(0, 1, 2), ag.full((1,), 1.0),
                  ag.tensor([1]) / 2, ag.exp(ag.tensor([1])), ag.tensor([1]) + 1.5):  # fmt: skip
            assert t.dtype is ag.float64
        assert (ag.ones(1, dtype=ag.float32) * 1.5).dtype is ag.float32
    finally:
        ag.set_default_dtype(ag.float32)
