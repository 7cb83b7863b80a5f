"""backward, grad, modes, leaves: the semantics of torch.autograd, in both libraries and in closed form."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import allgrad as ag
from allgrad.errors import GradientError
from twins import both


def leaf(t: Any, *values: float) -> Any:
    return t.tensor(list(values), dtype=t.float64, requires_grad=True)


# -- backward and grad ---------------------------------------------------------------------------------


def program_accumulates(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    first = (x * 2).sum()
    first.backward()
    kept = x.grad
    (x * x).sum().backward()
    return kept is x.grad, x.grad


def program_two_roots(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    t.autograd.backward([x * 2, (x * x).sum()], [t.ones(2, dtype=t.float64), None])
    return x.grad


def program_root_is_a_leaf(t: Any) -> Any:
    x = leaf(t, 3.0)
    x.backward()
    (x * 2 + x).sum().backward()
    t.autograd.backward([x, x * 2], [t.ones(1, dtype=t.float64), t.ones(1, dtype=t.float64)])
    return x.grad


def program_same_root_twice(t: Any) -> Any:
    x = leaf(t, 3.0)
    y = x * x
    t.autograd.backward([y, y])
    return x.grad


def program_inputs(t: Any) -> Any:
    x, w = leaf(t, 1.0, 2.0), leaf(t, 3.0, 4.0)
    y = x * w
    z = (y * y).sum()
    z.backward(inputs=[w, y], retain_graph=True)
    z.backward(inputs=w)
    return x.grad, w.grad, y.grad


def program_no_inputs(t: Any) -> Any:
    leaf(t, 1.0).sum().backward(inputs=[])


def program_grad_of_several(t: Any) -> Any:
    x, w = leaf(t, 1.0, 2.0), leaf(t, 3.0, 4.0)
    y = x * w
    found = t.autograd.grad([y.sum(), (x * x).sum()], [w, y, x, w])
    return found, x.grad


def program_grad_outputs(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    return t.autograd.grad(x * x, x, grad_outputs=t.tensor([10.0, 100.0], dtype=t.float64))


def program_grad_outputs_of_wrong_shape(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    t.autograd.grad(x * x, x, grad_outputs=t.ones(3, dtype=t.float64))


def program_unused(t: Any) -> Any:
    x, w = leaf(t, 1.0), leaf(t, 2.0)
    t.autograd.grad((x * 2).sum(), [x, w])


def program_unused_allowed(t: Any) -> Any:
    x, w = leaf(t, 1.0), leaf(t, 2.0)
    y = (x * 2).sum()
    return t.autograd.grad(y, [x, w], allow_unused=True, retain_graph=True), t.autograd.grad(
        y, [x, w], materialize_grads=True
    )


def program_materialize_and_not_allowed(t: Any) -> Any:
    x = leaf(t, 1.0)
    t.autograd.grad(x.sum(), x, allow_unused=False, materialize_grads=True)


def program_input_without_gradient(t: Any) -> Any:
    x = leaf(t, 1.0)
    t.autograd.grad((x * 2).sum(), [t.ones(1)], allow_unused=True)


def program_root_without_gradient(t: Any) -> Any:
    t.ones(1).sum().backward()


def program_not_scalar(t: Any) -> Any:
    (leaf(t, 1.0, 2.0) * 2).backward()


def program_wrong_gradient_type(t: Any) -> Any:
    (leaf(t, 1.0, 2.0) * 2).backward([1.0, 2.0])


def program_wrong_gradient_shape(t: Any) -> Any:
    (leaf(t, 1.0, 2.0) * 2).backward(t.ones(1, dtype=t.float64))


def program_second_backward(t: Any) -> Any:
    y = leaf(t, 1.0).exp()
    y.backward()
    y.backward()


def program_retained_graph(t: Any) -> Any:
    x = leaf(t, 1.0)
    y = x.exp()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


def program_grads_batched(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    return t.autograd.grad(x * x, x, t.eye(2, dtype=t.float64), is_grads_batched=True)


def program_dtype_of_gradients(t: Any) -> Any:
    a = t.ones(2, requires_grad=True)
    b = t.ones(2, dtype=t.float64, requires_grad=True)
    (a * b + b.float()).sum().backward()
    return a.grad, b.grad


def program_broadcast(t: Any) -> Any:
    a, b, c = leaf(t, 1.0, 2.0, 3.0), leaf(t, 2.0), t.tensor(3.0, dtype=t.float64, requires_grad=True)
    d = t.ones(4, 1, dtype=t.float64, requires_grad=True)
    ((a * b + c) * d).pow(2).sum().backward()
    return a.grad, b.grad, c.grad, d.grad


def program_diamond(t: Any) -> Any:
    x = leaf(t, 2.0)
    a = x * x
    b, c = a * 3, a.exp()
    d = b * c + a
    d.sum().backward()
    return x.grad


def program_create_graph_accumulates(t: Any) -> Any:
    x = leaf(t, 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of the cycle that this makes between x and its gradient
        (x**3).sum().backward(create_graph=True)
    first = x.grad
    (first * 2).sum().backward()
    return x.grad


def program_unbroadcast_to_second_order(t: Any) -> Any:
    a, b = leaf(t, 1.0, 2.0, 3.0), leaf(t, 2.0)
    (g,) = t.autograd.grad(((a * b) ** 3).sum(), b, create_graph=True)
    return g, t.autograd.grad(g.sum(), [a, b])


# -- leaves --------------------------------------------------------------------------------------------


def program_leaves(t: Any) -> Any:
    x = leaf(t, 1.0)
    y = x * 2
    z = t.ones(1)
    return [[v.is_leaf, v.requires_grad, v.grad_fn is None] for v in (x, y, z, y.detach(), z * 2, x.data)]


def program_requires_grad_of_integers(t: Any) -> Any:
    t.ones(2, dtype=t.int64).requires_grad_()


def program_stop_requiring_grad_of_a_result(t: Any) -> Any:
    (leaf(t, 1.0) * 2).requires_grad_(False)


def program_requires_grad_of_a_result(t: Any) -> Any:
    y = leaf(t, 1.0) * 2
    return y.requires_grad_(True) is y


def program_numpy_of_a_leaf(t: Any) -> Any:
    leaf(t, 1.0).numpy()


def program_gradient_assigned(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    x.grad = t.ones(2, dtype=t.float64)
    (x * 2).sum().backward()
    kept = x.grad
    x.grad = None
    return kept, x.grad


def program_gradient_of_wrong_shape_assigned(t: Any) -> Any:
    leaf(t, 1.0, 2.0).grad = t.ones(3, dtype=t.float64)


def program_gradient_of_wrong_dtype_assigned(t: Any) -> Any:
    leaf(t, 1.0, 2.0).grad = t.ones(2, dtype=t.float32)


def program_detach_in_place(t: Any) -> Any:
    x = leaf(t, 1.0)
    y = x * 2
    y.detach_()
    return y.requires_grad, y.is_leaf


def program_detach_a_view_in_place(t: Any) -> Any:
    (leaf(t, 1.0, 2.0) * 2)[0].detach_()


def program_variable(t: Any) -> Any:
    x = t.autograd.Variable(t.ones(2), requires_grad=True)
    (x * 3).sum().backward()
    return x, x.grad, isinstance(x, t.autograd.Variable), isinstance(3, t.autograd.Variable)


def program_variable_of_a_list(t: Any) -> Any:
    t.autograd.Variable([1.0])


PROGRAMS = {name: f for name, f in globals().items() if name.startswith("program_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_pytorch(name: str) -> None:
    both(PROGRAMS[name])


def test_programs_in_closed_form() -> None:
    """Some of the programs again where PyTorch is missing."""
    np.testing.assert_allclose(program_diamond(ag).item(), 4 * np.exp(4) * 3 * 1 + 12 * np.exp(4) * 4 + 4)
    np.testing.assert_allclose(program_accumulates(ag)[1].numpy(), [4.0, 6.0])
    np.testing.assert_allclose(program_same_root_twice(ag).item(), 12.0)
    x_grad, w_grad, y_grad = program_inputs(ag)
    assert x_grad is None
    np.testing.assert_allclose(w_grad.numpy(), [12.0, 64.0])  # twice 2 x^2 w
    np.testing.assert_allclose(y_grad.numpy(), [12.0, 32.0])  # twice 2 x w


def test_errors_say_what_to_do() -> None:
    with pytest.raises(GradientError, match=r"shape \[2\].*loss\.mean\(\)"):
        program_not_scalar(ag)
    with pytest.raises(GradientError, match=r"element 1 of tensors does not require grad"):
        ag.autograd.backward([leaf(ag, 1.0).sum(), ag.ones(())])
    x = leaf(ag, 1.0, 2.0)
    with pytest.raises(GradientError, match="1 tensors and 2 gradients"):
        ag.autograd.grad([x * x], [x], grad_outputs=[ag.ones(2), ag.ones(2)])
    with pytest.raises(GradientError, match="allow_unused=True"):
        program_unused(ag)
    with pytest.raises(GradientError, match=r"x\.float\(\)"):
        program_requires_grad_of_integers(ag)


def test_the_order_of_the_walk_is_that_of_the_graph() -> None:
    """Nodes made out of order by a refreshed view still wait for all their consumers."""
    w = leaf(ag, 1.0, 2.0, 3.0)
    y = w * 1
    v = y[:2]
    late = v * 10
    y.mul_(2)
    again = v * 100  # v was recorded again, after `late`
    (late.sum() + again.sum() + y.sum()).backward()
    np.testing.assert_allclose(w.grad.numpy(), [10 + 200 + 2, 10 + 200 + 2, 2])


def test_public_names() -> None:
    for name in ag.autograd.__all__:
        assert hasattr(ag.autograd, name), name
    for name in ("backward", "grad", "Variable", "Function", "gradcheck", "gradgradcheck", "functional", "graph"):
        assert name in ag.autograd.__all__
