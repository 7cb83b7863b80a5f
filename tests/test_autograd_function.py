"""autograd.Function: programs in both libraries, and the graph around it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import allgrad as ag
from allgrad.errors import GradientError, GraphFreedError, InplaceError
from function_programs import (
    PROGRAMS,
    cube,
    function,
    leaf,
    program_changed_after_save,
    program_cube_to_third_order,
    program_saved_after_backward,
    program_too_few,
)
from twins import both


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_pytorch(name: str) -> None:
    both(PROGRAMS[name])


def test_gradients_to_third_order_in_closed_form() -> None:
    first, second, third = program_cube_to_third_order(ag)
    np.testing.assert_allclose(first.detach().numpy(), [3.0, 12.0])
    np.testing.assert_allclose(second.detach().numpy(), [6.0, -12.0])
    np.testing.assert_allclose(third.detach().numpy(), [6.0, 6.0])


def test_a_leaf_is_given_back_itself() -> None:
    seen = []

    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * 1

    def backward(ctx: Any, g: Any) -> Any:
        seen.append(ctx.saved_tensors[0])
        return g

    x = leaf(ag, 1.0)
    function(ag, forward, backward).apply(x).sum().backward()
    assert seen[0] is x


def test_it_makes_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:

        def forward(ctx: Any, x: Any) -> Any:
            y = x.exp()
            ctx.save_for_backward(x, y)
            return y

        y = function(ag, forward, lambda ctx, g: g * ctx.saved_tensors[1]).apply(leaf(ag, 1.0, 2.0) * 1)
        node, array = weakref.ref(y.grad_fn), weakref.ref(y._a)
        del y
        assert node() is None
        assert array() is None
    finally:
        gc.enable()


def test_its_name_and_place_in_the_graph() -> None:
    x = leaf(ag, 1.0)
    y = cube(ag).apply(x * 1)
    assert y.grad_fn.name() == "MadeBackward"
    assert y.grad_fn.next_functions[0][0].name() == "MulBackward0"


def test_errors_name_the_function() -> None:
    with pytest.raises(GradientError, match="MadeBackward returned an incorrect number of gradients"):
        program_too_few(ag)
    with pytest.raises(InplaceError, match="MadeBackward with save_for_backward"):
        program_changed_after_save(ag)
    with pytest.raises(GraphFreedError, match="already been freed"):
        program_saved_after_backward(ag)


def test_gradcheck_of_a_function() -> None:
    assert ag.autograd.gradcheck(cube(ag).apply, (leaf(ag, 1.0, -0.5),))
    assert ag.autograd.gradgradcheck(cube(ag).apply, (leaf(ag, 1.0, -0.5),))


def test_saved_hooks_reach_into_functions() -> None:
    seen = []
    with ag.autograd.graph.saved_tensors_hooks(lambda x: seen.append(x.tolist()) or x, lambda x: x):
        y = cube(ag).apply(leaf(ag, 2.0))
    y.sum().backward()
    assert seen == [[2.0]]
