"""Bugs planted in the engine, each caught by a named test of the suite: what proves the proofs.

A bug is a monkeypatch.  The named test must pass as things are and fail with the bug in place.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import allgrad as ag
import test_autograd
import test_autograd_checkpoint
import test_autograd_functional
import test_autograd_hooks
import test_autograd_inplace
import test_autograd_memory
import test_autograd_modes
import test_ops
from allgrad.autograd import inplace, leaf, modes, pulling, record, walk
from allgrad.autograd.node import FREED, Node
from allgrad.errors import GraphFreedError
from allgrad.ops.op import TABLE
from allgrad.utils import checkpoint

Patch = pytest.MonkeyPatch


def lost_fan_out_sum(patch: Patch) -> None:
    add = walk.Walk._add

    def last_one_wins(self: Any, target: Any, g: Any) -> None:
        self.grads.pop(target, None)
        add(self, target, g)

    patch.setattr(walk.Walk, "_add", last_one_wins)


def wrong_transpose_in_matmul(patch: Patch) -> None:
    op = TABLE["matmul"]
    patch.setattr(op, "_plans", {})
    patch.setattr(
        op.pulls[1], "call", lambda g, a, b_shape: (op(a, g) if a.shape[-1] == g.shape[-2] else g).reshape(b_shape)
    )


def early_leaf_hook(patch: Patch) -> None:
    report = walk.Walk._report

    def at_the_first_report(self: Any, leaf: Any) -> None:
        self.waiting[leaf] = 1
        report(self, leaf)

    patch.setattr(walk.Walk, "_report", at_the_first_report)


def version_check_off(patch: Patch) -> None:
    def only_freed(self: Any) -> None:
        if self.saved is FREED:
            raise GraphFreedError("freed")

    patch.setattr(Node, "check_alive", only_freed)


def versions_not_carried_into_recorded_gradients(patch: Patch) -> None:
    join = pulling.join
    patch.setattr(pulling, "join", lambda array, parent, version: join(array, parent, None))


def hook_result_ignored(patch: Patch) -> None:
    def deaf(hooks: Any, g: Any, create_graph: bool) -> Any:
        run(hooks, g, create_graph)
        return g

    run = leaf.run_hooks
    patch.setattr(leaf, "run_hooks", deaf)
    patch.setattr(walk, "run_hooks", deaf)


def unbroadcast_takes_the_first_row(patch: Patch) -> None:
    def first(g: Any, shape: Any) -> Any:
        lead = len(g.shape) - len(shape)
        g = g[(0,) * lead]
        return g[tuple(slice(0, n) for n in shape)]

    patch.setattr(walk, "_unbroadcast", first)


def base_of_a_changed_view_not_rebased(patch: Patch) -> None:
    def own_node_only(x: Any, node: Any) -> None:
        x._node = node
        x._rg = False
        if x._view is not None:
            x._view.version = x._cell[0]

    patch.setattr(inplace, "rebase", own_node_only)


def stale_views(patch: Patch) -> None:
    patch.setattr(record, "refresh", lambda x: None)
    patch.setattr(sys.modules["allgrad.tensor.core"], "refresh", lambda x: None)


def saved_values_never_freed(patch: Patch) -> None:
    init = walk.Walk.__init__
    patch.setattr(walk.Walk, "__init__", lambda self, **settings: init(self, **{**settings, "retain_graph": True}))


def every_array_taken_for_our_own(patch: Patch) -> None:
    patch.setattr(walk, "getrefcount", lambda g: walk.IN_DICT)
    patch.setattr(walk, "base_alone", lambda g: True)


def graph_cut_under_create_graph(patch: Patch) -> None:
    join = pulling.join
    patch.setattr(pulling, "join", lambda array, parent, version: join(array, None, version))


def leaf_gradient_overwritten(patch: Patch) -> None:
    accumulate = leaf.accumulate_leaf

    def overwrite(target: Any, g: Any, **settings: Any) -> None:
        target._grad = None
        accumulate(target, g, **settings)

    patch.setattr(walk, "accumulate_leaf", overwrite)


def no_grad_never_ends(patch: Patch) -> None:
    patch.setattr(modes.GradMode, "__exit__", lambda self, *exc: None)


def visited_in_the_wrong_order(patch: Patch) -> None:
    patch.setattr(walk, "_age", lambda node: -node.seq)


def second_run_draws_new_numbers(patch: Patch) -> None:
    patch.setattr(checkpoint, "_replayed", lambda state: contextlib.nullcontext())


def inputs_ignored(patch: Patch) -> None:
    init = walk.Walk.__init__

    def all_of_them(self: Any, **settings: Any) -> None:
        init(self, **{**settings, "stops": None})

    patch.setattr(walk.Walk, "__init__", all_of_them)


def old_value_not_kept_in_place(patch: Patch) -> None:
    patch.setattr(inplace, "_keep_old", lambda inputs, kept: inputs)


class Planted(NamedTuple):
    bug: Callable[[Patch], None]
    test: Callable[..., None]
    arguments: tuple[Any, ...] = ()


PLANTED = [
    Planted(lost_fan_out_sum, test_autograd.test_programs_in_closed_form),
    Planted(wrong_transpose_in_matmul, test_ops.test_first_derivative, ("matmul", 0)),
    Planted(early_leaf_hook, test_autograd_hooks.test_a_leaf_hook_sees_the_final_gradient),
    Planted(version_check_off, test_autograd_inplace.test_the_error_names_who_saved_and_who_changed),
    Planted(
        versions_not_carried_into_recorded_gradients,
        test_autograd_inplace.test_versions_reach_into_recorded_gradients,
    ),
    Planted(hook_result_ignored, test_autograd_hooks.test_a_leaf_hook_sees_the_final_gradient),
    Planted(unbroadcast_takes_the_first_row, test_ops.test_broadcasting, ("mul", 0)),
    Planted(base_of_a_changed_view_not_rebased, test_autograd_inplace.test_row_of_a_result_changed),
    Planted(stale_views, test_autograd_inplace.test_views_made_before_follow_their_base),
    Planted(saved_values_never_freed, test_autograd_memory.test_saved_arrays_go_while_the_walk_passes),
    Planted(saved_values_never_freed, test_autograd_memory.test_a_second_backward_is_an_error_that_says_what_to_do),
    Planted(every_array_taken_for_our_own, test_autograd_memory.test_the_gradient_that_a_user_gave_is_not_written_to),
    Planted(graph_cut_under_create_graph, test_ops.test_second_derivative, ("tanh", 0)),
    Planted(graph_cut_under_create_graph, test_autograd_functional.test_hessian_of_rosenbrock),
    Planted(leaf_gradient_overwritten, test_autograd.test_programs_in_closed_form),
    Planted(no_grad_never_ends, test_autograd_modes.test_modes_nest),
    Planted(visited_in_the_wrong_order, test_autograd.test_the_order_of_the_walk_is_that_of_the_graph),
    Planted(second_run_draws_new_numbers, test_autograd_checkpoint.test_random_numbers_are_replayed, (False,)),
    Planted(inputs_ignored, test_autograd.test_programs_in_closed_form),
    Planted(old_value_not_kept_in_place, test_autograd_inplace.test_squares_of_themselves_by_hand),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda p: f"{p.bug.__name__}-{p.test.__name__}")
def test_a_planted_bug_is_caught(planted: Planted, monkeypatch: Patch) -> None:
    planted.test(*planted.arguments)
    with monkeypatch.context() as patch:
        planted.bug(patch)
        try:
            planted.test(*planted.arguments)
            caught = False
        except (Exception, pytest.fail.Exception):  # the latter from pytest.raises
            caught = True
        finally:
            ag.set_grad_enabled(True)
    assert caught, f"{planted.bug.__name__} is not noticed by {planted.test.__name__}"
    planted.test(*planted.arguments)


def test_there_are_enough_bugs() -> None:
    assert len({p.bug for p in PLANTED}) >= 15
