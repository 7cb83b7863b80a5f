"""Reductions by closed forms: accuracy of float32 sums, named results, in-place and out=, gradients at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

import allgrad as ag
from allgrad.errors import InplaceError
from allgrad.ops.reduce_fast import largest, total

R = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1_000_003,), (0,)), ((100_000, 7), (0,)), ((7, 100_000), (1,)), ((40, 3000, 9), (0, 1)), ((3000, 40, 9), (1, 2)),
     ((50_001, 2), (0, 1)), ((3, 4, 5000), (0, 2)), ((2048, 64), (0,)), ((3, 700, 3), (1,))],
)  # fmt: skip
def test_float32_sums_are_as_accurate_as_pairwise(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = (R.random(shape) + 0.5).astype(np.float32)  # all of one sign: naive summation drifts
    exact = x.astype(np.float64).sum(axes)
    error = np.abs(total(x, axes, False) - exact) / exact
    # 2 log2(n) roundings at most; naive summation of 100,000 terms errs a hundred times as much.
    assert error.max() < 2**-24 * 2 * math.log2(x.size)
    assert total(x, axes, False).dtype == np.float32


@given(
    shape=st.lists(st.sampled_from([1, 2, 3, 7, 40, 700]), min_size=1, max_size=4).filter(
        lambda s: math.prod(s) < 60_000
    ),
    order=st.randoms(use_true_random=False),
    keep=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_sum_of_any_shape_in_any_memory_order(shape: list[int], order, keep: bool) -> None:
    x = R.random(shape)
    axes = list(range(len(shape)))
    order.shuffle(axes)
    x = np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))
    if order.random() < 0.3:
        x = x[..., ::-1]
    over = tuple(sorted(order.sample(range(len(shape)), order.randint(0, len(shape)))))
    np.testing.assert_allclose(total(x, over, keep), x.sum(over, keepdims=keep), rtol=1e-12)
    np.testing.assert_array_equal(largest(x, len(shape) - 1), x.max(-1, keepdims=True))


@pytest.mark.parametrize("columns", [2, 10, 24, 25, 100, 511, 600])
def test_largest_of_rows_with_nan_and_infinity(columns: int) -> None:
    x = R.normal(size=(300, columns)).astype(np.float32)
    x[3, 1] = np.nan
    x[4, 0] = np.inf
    x[5] = -np.inf
    np.testing.assert_array_equal(largest(x, 1), np.max(x, 1, keepdims=True))


def test_results_are_named_and_print_as_in_pytorch() -> None:
    found = ag.tensor([[1.0, 5.0], [7.0, 2.0]]).max(dim=1)
    values, indices = found
    assert found.values is values and found.indices is indices and found[1] is indices
    assert type(found).__name__ == "max" and isinstance(found, tuple)
    assert repr(found) == "torch.return_types.max(\nvalues=tensor([5., 7.]),\nindices=tensor([1, 0]))"
    assert repr(ag.sort(ag.tensor([2, 1]))).startswith("torch.return_types.sort(\nvalues=")
    low, high = ag.aminmax(ag.tensor([3, 1, 2]))
    assert (low.item(), high.item()) == (1, 3)


def test_out_and_in_place() -> None:
    x = ag.tensor([[1.0, 2.0], [3.0, 4.0]])
    out = ag.empty(2)
    assert ag.sum(x, 0, out=out) is out and out.tolist() == [4.0, 6.0]
    values, indices = ag.empty(2), ag.empty(2, dtype=ag.int64)
    ag.max(x, 1, out=(values, indices))
    assert values.tolist() == [2.0, 4.0] and indices.tolist() == [1, 1]
    y = x.cumsum_(1)
    assert y is x and x.tolist() == [[1.0, 3.0], [3.0, 7.0]]
    leaf = ag.ones(3, requires_grad=True)
    with pytest.raises(InplaceError):
        leaf.cumsum_(0)
    z = leaf * 2
    z.cumprod_(0)
    z.sum().backward()
    # z = (2a, 4ab, 8abc) at ones
    np.testing.assert_allclose(leaf.grad.numpy(), [2 + 4 + 8, 4 + 8, 8])


def test_ties_share_the_gradient_of_a_full_maximum_and_the_first_takes_all_along_a_dim() -> None:
    x = ag.tensor([1.0, 3.0, 3.0], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0.0, 0.5, 0.5]
    x.grad = None
    x.max(0).values.backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


def test_gradients_at_the_edges() -> None:
    zero = ag.zeros(3, requires_grad=True)
    zero.norm().backward()
    assert zero.grad.tolist() == [0.0, 0.0, 0.0]
    same = ag.ones(4, requires_grad=True)
    same.std().backward()
    assert same.grad.tolist() == [0.0] * 4
    one = ag.tensor([0.0, 2.0, 0.0, 3.0], requires_grad=True)
    one.prod().backward()
    assert one.grad.tolist() == [0.0] * 4
    single = ag.tensor([0.0, 2.0, 3.0], requires_grad=True)
    single.prod().backward()
    assert single.grad.tolist() == [6.0, 0.0, 0.0]
    inf = ag.tensor([[-math.inf, -math.inf], [0.0, -math.inf]], requires_grad=True)
    inf.logsumexp(1).sum().backward()
    assert inf.grad.tolist() == [[0.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("shape", [(200, 10), (5, 3000), (64, 100), (2, 3, 4)])
def test_softmax_against_scipy_in_float32(shape: tuple[int, ...]) -> None:
    x = (50 * R.normal(size=shape)).astype(np.float32)
    y = ag.softmax(ag.from_numpy(x), -1).numpy()
    np.testing.assert_allclose(y, special.softmax(x.astype(float), axis=-1), rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-6)
    z = ag.log_softmax(ag.from_numpy(x), -1).numpy()
    np.testing.assert_allclose(z, special.log_softmax(x.astype(float), axis=-1), rtol=2e-6, atol=2e-5)
    assert y.dtype == z.dtype == np.float32
    assert math.isnan(ag.softmax(ag.full((2,), -math.inf), 0)[0].item())


def test_integers_sum_without_overflow_and_halves_through_float32() -> None:
    assert ag.full((300,), 200, dtype=ag.uint8).sum().item() == 60_000
    assert ag.tensor([True, True, False]).sum().item() == 2
    half = ag.full((5000,), 1.0, dtype=ag.float16)
    assert half.sum().item() == 5000 and half.mean().item() == 1 and half.dtype is ag.float16
    assert half.cumsum(0)[-1].item() == 5000


def test_numpys_argument_names_are_taken() -> None:
    x = ag.ones(2, 3)
    assert x.sum(axis=1, keepdims=True).shape == (2, 1)
    assert x.mean(axis=0).shape == (3,)
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"):
        x.sum(axis=2)
    with pytest.raises(RuntimeError, match=r"could not infer output dtype.*Got: Long"):
        ag.arange(3).mean()
    with pytest.raises(IndexError, match=r"argmax\(\): Expected reduction dim"):
        ag.empty(0).argmax()


def test_scans_of_long_axes_have_exact_gradients() -> None:
    x = ag.from_numpy(R.uniform(0.99, 1.01, 5000)).requires_grad_()
    y = x.cumprod(0)
    (g,) = ag.autograd.grad(y.sum(), x)
    a, p = x.detach().numpy(), np.cumprod(x.detach().numpy())
    expected = np.cumsum(p[::-1])[::-1] / a
    np.testing.assert_allclose(g.numpy(), expected, rtol=1e-11)


def test_a_nan_stays_the_largest_and_the_smallest_so_far() -> None:
    x = ag.tensor([1.0, math.nan, 5.0, math.nan, 2.0])
    for found in (x.cummax(0), x.cummin(0)):
        np.testing.assert_array_equal(found.values.numpy(), [1, math.nan, math.nan, math.nan, math.nan])
        assert found.indices.tolist() == [0, 1, 1, 3, 3]


def test_ranks_out_of_range_are_refused() -> None:
    x = ag.arange(4.0)
    for k in (-1, 5):
        with pytest.raises(RuntimeError, match="out of range"):
            x.topk(k)
    for k in (0, 5):
        with pytest.raises(RuntimeError, match="out of range"):
            x.kthvalue(k)
    with pytest.raises(ValueError, match=r"in the range \[0, 1\]"):
        x.quantile(1.5)
