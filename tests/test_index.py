"""What the sweep against PyTorch cannot say: where allgrad does better, copies nothing, or aliases as promised."""

from __future__ import annotations

import numpy as np
import pytest

import allgrad as t
from allgrad.errors import InplaceError


def numbers(*shape: int) -> t.Tensor:
    return t.arange(float(np.prod(shape)), dtype=t.float64).reshape(shape)


def test_a_source_in_the_same_memory_is_read_before_it_is_written() -> None:
    x = numbers(2000, 100)
    expected = x.numpy().copy()
    expected[1:] += expected[:-1].copy()
    x.index_add_(0, t.arange(1, 2000), x[:1999])
    np.testing.assert_array_equal(x.numpy(), expected)
    y = numbers(4)
    y[1:] = y[:-1]
    assert y.tolist() == [0, 0, 1, 2]


def test_a_longer_source_gets_the_gradient_of_its_part() -> None:
    # PyTorch 2.13 fails in backward when src is larger than index.
    src = numbers(3, 4).requires_grad_()
    out = t.zeros(3, 4, dtype=t.float64).scatter_add(0, t.tensor([[0, 1]]), src)
    (out * numbers(3, 4)).sum().backward()
    expected = np.zeros((3, 4))
    expected[0, :2] = [0, 5]
    np.testing.assert_array_equal(src.grad.numpy(), expected)


def test_an_index_changed_before_backward_is_an_error() -> None:
    x, i = numbers(3).requires_grad_(), t.tensor([0, 1])
    y = x[i].sum()
    i.add_(1)
    with pytest.raises(InplaceError, match="modified by an inplace operation"):
        y.backward()


def test_several_indices_changed_before_backward_leave_the_gradient_where_it_was_read() -> None:
    x, i = numbers(3, 3).requires_grad_(), t.tensor([0, 1])
    y = x[i, i].sum()
    i.add_(1)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.diag([1.0, 1, 0]))


def test_writing_copies_nothing() -> None:
    x = numbers(1000, 100).requires_grad_() * 1
    memory = x.data_ptr()
    x[3] = 1
    x[t.tensor([1, 2])] = 0
    x.masked_fill_(t.zeros(1000, 100, dtype=t.bool), 2.0)
    x.index_add_(0, t.tensor([5]), t.ones(1, 100, dtype=t.float64))
    assert x.data_ptr() == memory
    (x * x).sum().backward()  # the chain of writes is differentiable


def test_writing_through_an_in_place_op_on_a_slice_adds_one_node() -> None:
    x = numbers(3, 4).requires_grad_() * 1
    x[1] += 5
    assert x.grad_fn.name().startswith("ViewScatter")  # x[1] = (that very view) is no second write


def test_slices_in_a_loop_share_one_gradient_buffer() -> None:
    """The gradient of x[t] for all t costs one array of the size of x, not one per slice."""
    import tracemalloc

    x = t.zeros(400, 1000, dtype=t.float64).requires_grad_()
    y = x * 1
    total = sum((y[i] * float(i) for i in range(1, 400)), start=y[0] * 0.0)
    tracemalloc.start()
    total.sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * x.nbytes, f"{peak / x.nbytes:.1f} times the size of x"
    np.testing.assert_array_equal(x.grad.numpy(), np.repeat(np.arange(400.0)[:, None], 1000, 1))


def test_slices_beside_other_uses_and_twice_the_same() -> None:
    x = numbers(4, 3).requires_grad_()
    y = x * 1
    loss = (y * y).sum() + (y[1] * 3).sum() + (y[1, 1:] * 5).sum() + y[::2].sum()
    loss.backward(retain_graph=True)
    expected = 2 * x.detach().numpy()
    expected[1] += 3
    expected[1, 1:] += 5
    expected[::2] += 1
    np.testing.assert_array_equal(x.grad.numpy(), expected)
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * expected)


def test_a_slice_does_not_add_into_a_gradient_that_others_hold() -> None:
    x, w = numbers(3).requires_grad_(), numbers(3).requires_grad_()
    y, v = x * 1, w * 1
    first = y[0] * 7
    (first + (y + v).sum()).backward()  # the sum hands one array to y and v
    np.testing.assert_array_equal(x.grad.numpy(), [8, 1, 1])
    np.testing.assert_array_equal(w.grad.numpy(), [1, 1, 1])


def test_gradient_given_to_a_hook_is_not_changed_afterwards() -> None:
    x = numbers(3).requires_grad_()
    y = x * 1
    seen = []
    z = y[:]
    z.register_hook(lambda g: seen.append(g))
    (z.sum() + y[0] * 7 + (y * 2).sum()).backward()
    np.testing.assert_array_equal(seen[0].numpy(), [1, 1, 1])
    np.testing.assert_array_equal(x.grad.numpy(), [10, 3, 3])


@pytest.mark.parametrize("order", ["C", "F"])
def test_in_place_on_a_view_of_a_column_major_base(order: str) -> None:
    base = t.from_numpy(np.asarray(np.arange(12.0).reshape(3, 4), order=order)).requires_grad_() * 1
    view = base.t()[1]
    view.mul_(3)
    (base * base).sum().backward()
    flat = base.t().reshape(-1)
    assert flat.shape == (12,)
    np.testing.assert_array_equal(base.detach().numpy()[:, 1], np.arange(12.0).reshape(3, 4)[:, 1] * 3)


def test_a_reshape_that_is_a_view_in_one_memory_order_only() -> None:
    """The base is column-major, so base.t().view(-1) is a view; its scatter must not assume rows."""
    leaf = t.from_numpy(np.asfortranarray(np.arange(6.0).reshape(2, 3))).requires_grad_()
    base = leaf * 1
    view = base.t().view(-1)
    view[1] = 100.0
    assert base[1, 0].item() == 100
    (base * base).sum().backward()
    expected = 2 * np.arange(6.0).reshape(2, 3)
    expected[1, 0] = 0
    np.testing.assert_array_equal(leaf.grad.numpy(), expected)


def test_expanded_memory_refuses_writes() -> None:
    x = numbers(3, 1).expand(3, 4)
    with pytest.raises(InplaceError, match="more than one element of the written-to tensor"):
        x.add_(1)
    with pytest.raises(InplaceError, match="more than one element"):
        x[0] = 1
    numbers(3).expand(1, 3).add_(1)  # nothing repeated, nothing refused


def test_views_know_their_base_and_copies_do_not() -> None:
    x = numbers(3, 4).clone()
    for view in (x[0], x.t(), x.view(-1), x.diagonal(), x.unfold(0, 2, 1), x.expand(2, 3, 4), x.chunk(2)[0], x.mT):
        assert view._base is x
    for copy in (
        x[[0]],
        x[x > 3],
        x.flip(0),
        x.repeat(1, 1),
        x.t().reshape(-1),
        x.roll(1),
        x.gather(0, t.tensor([[0]])),
    ):
        assert copy._base is not x


def test_float32_stays_float32() -> None:
    x = numbers(3, 4).float().requires_grad_()
    i = t.tensor([[0, 1, 1, 0]])
    for y in (
        x.gather(0, i),
        x[t.tensor([0, 0])],
        x[x > 3],
        x.index_select(1, t.tensor([0])),
        x.tril(),
        x.unfold(1, 2, 1),
    ):
        (g,) = t.autograd.grad(y.sum(), x)
        assert y.dtype == g.dtype == t.float32


def test_messages_say_which_and_where() -> None:
    x = numbers(2, 3)
    for act, text in (
        (lambda: x.reshape(4, 2), r"shape '\[4, 2\]' is invalid for input of size 6"),
        (lambda: x[5], "index 5 is out of bounds for dimension 0 with size 2"),
        (lambda: x[:, t.tensor([0, 7])], "index 7 is out of bounds for dimension 1 with size 3"),
        (lambda: x.transpose(0, 2), r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"),
        (lambda: t.cat([x, x[:, :2]]), "Expected size 3 but got size 2 for tensor number 1 in the list"),
        (lambda: x[::-1], "step must be greater than zero"),
        (lambda: x[t.tensor([True])], r"The shape of the mask \[1\] at index 0 does not match"),
    ):
        with pytest.raises((IndexError, ValueError, RuntimeError), match=text):
            act()
