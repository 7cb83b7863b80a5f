"""Bugs planted into step words, catching up and weights of losses: each must be caught by the test named beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import test_ddp_arguments
import test_ddp_uneven
import test_loss_weights
from allgrad.distributed import hooks, late_join, loss_weights, reducer, step_word


def mean_over_all(patch: pytest.MonkeyPatch) -> None:
    """A rank that is out counts as zeros."""
    real = step_word.Gate.settle
    patch.setattr(step_word.Gate, "settle", lambda self: (real(self), self.comm.size)[1])


def hook_divides_by_all(patch: pytest.MonkeyPatch) -> None:
    """A hook's mean is over all ranks, not over those with data."""
    patch.setattr(reducer, "scaled", lambda a, factor: a)


def stays_as_it_is(patch: pytest.MonkeyPatch) -> None:
    """The late ranks do not catch up."""
    patch.setattr(step_word, "catch_up", lambda *args: None)


def optimizers_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Parameters are copied, optimizers are not."""
    patch.setattr(late_join, "optimizers_of", lambda params: [])


def schedules_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The late ranks' schedules count on from where they were."""
    patch.setattr(late_join, "followers_of", lambda optimizers: [])


def buffers_of_rank_0(patch: pytest.MonkeyPatch) -> None:
    """Running statistics come from rank 0 although it has no data."""
    real = step_word.Gate.buffers
    patch.setattr(step_word.Gate, "buffers", lambda self, model: (real(self, model), 0)[1])


def places_not_compared(patch: pytest.MonkeyPatch) -> None:
    """A collective in the loop is combined with the one after it."""
    patch.setattr(step_word, "_call_site", lambda what: (1, what))


def no_word_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """A rank whose program is over is gone."""
    patch.setattr(step_word.Gate, "_end_of_program", lambda self: None)


def one_model_per_word(patch: pytest.MonkeyPatch) -> None:
    """Two models in one backward send their words in the order in which they come."""
    patch.setattr(reducer.Reducer, "reached", lambda self, walk: False)


def ignored_tokens_count(patch: pytest.MonkeyPatch) -> None:
    """The weight is the number of rows."""
    patch.setattr(loss_weights.Weigher, "_weight_of", lambda self, walk: 8.0)


def failure_of_a_hook_is_kept(patch: pytest.MonkeyPatch) -> None:
    """The others are not told that a hook raised."""
    patch.setattr(hooks, "_tell", lambda comm, text: None)


def accumulated_silently(patch: pytest.MonkeyPatch) -> None:
    """Gradients that no step used vanish without a word."""
    patch.setattr(reducer.Reducer, "accumulated", property(lambda self: False, lambda self, v: None), raising=False)


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[], None]]] = [
    (mean_over_all, lambda: test_ddp_uneven.test_it_is_one_process_with_the_same_rows([1, 3], False)),
    (hook_divides_by_all, test_ddp_uneven.test_a_hook_and_two_models_in_one_backward),
    (stays_as_it_is, lambda: test_ddp_uneven.test_it_is_one_process_with_the_same_rows([1, 3], False)),
    (optimizers_forgotten, lambda: test_ddp_uneven.test_it_is_one_process_with_the_same_rows([1, 3], False)),
    (schedules_forgotten, lambda: test_ddp_uneven.test_it_is_one_process_with_the_same_rows([1, 3], False)),
    (buffers_of_rank_0, lambda: test_ddp_uneven.test_buffers_come_from_who_has_data([2, 4])),
    (places_not_compared, test_ddp_uneven.test_a_collective_in_the_loop_is_told_from_the_one_after_it),
    (no_word_at_the_end, test_ddp_uneven.test_the_end_of_the_program_is_enough),
    (one_model_per_word, test_ddp_uneven.test_a_hook_and_two_models_in_one_backward),
    (accumulated_silently, test_ddp_uneven.test_gradients_that_no_step_used_are_named),
    (ignored_tokens_count, lambda: test_loss_weights.test_masked_tokens_over_ranks_are_one_process(2, "tokens", False)),
    (failure_of_a_hook_is_kept, lambda: test_ddp_arguments.test_a_hook_that_raises_is_told_to_all_ranks(2, "fp16", 25.0)),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Any, named_test: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    named_test()  # green as it is
    plant(monkeypatch)
    with np.errstate(all="ignore"), pytest.raises(Exception):  # noqa: B017 - whatever the named test fails with
        named_test()
