"""Bugs planted into the sharded step and the step within backward: each must be caught by the test named beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import test_sharded_step
from allgrad.distributed import sharded_state, sharded_step
from allgrad.distributed.sharded_step import ShardedOptimizer

Plant = Callable[[pytest.MonkeyPatch], None]


def values_not_gathered(patch: pytest.MonkeyPatch) -> None:
    """Each rank keeps its new values to itself."""
    patch.setattr(ShardedOptimizer, "_gather", lambda self, present: None)


def unused_parameters_stepped(patch: pytest.MonkeyPatch) -> None:
    """A parameter that no rank used is stepped with what lay in the bucket."""
    real = ShardedOptimizer.take

    def take(self: Any, valid: bool) -> None:
        real(self, valid)
        for piece, part in self._parts.items():
            part._grad = sharded_step.wrap(self._reducer.buckets[piece.bucket].work.result[piece.lo : piece.hi])

    patch.setattr(ShardedOptimizer, "take", take)
    patch.setattr(ShardedOptimizer, "_present", lambda self: self._reducer.params)


def dropped_step_taken(patch: pytest.MonkeyPatch) -> None:
    """NaN on one rank, and the step is taken all the same."""
    real = ShardedOptimizer.take

    def take(self: Any, valid: bool) -> None:
        for p in self._reducer.params:
            p._grad = sharded_step.wrap(p._a) if p._grad is None and not valid else p._grad
        real(self, True)

    patch.setattr(ShardedOptimizer, "take", take)


def wrong_offset(patch: pytest.MonkeyPatch) -> None:
    """A piece in the middle of a parameter begins at its beginning."""
    real = ShardedOptimizer._cut

    def cut(self: Any) -> Any:
        for piece in real(self):
            yield piece._replace(start=0, stop=piece.stop - piece.start)

    patch.setattr(ShardedOptimizer, "_cut", cut)


def schedule_ignored(patch: pytest.MonkeyPatch) -> None:
    """The learning rate of the construction stays."""
    real = ShardedOptimizer.step

    def step(self: Any, closure: Any = None) -> Any:
        kept = [g["lr"] for g in self.param_groups]
        for group in self.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        real(self)
        for group, lr in zip(self.param_groups, kept):
            group["lr"] = lr

    patch.setattr(ShardedOptimizer, "step", step)


def norm_of_this_rank(patch: pytest.MonkeyPatch) -> None:
    """Clipping by the norm of this rank's elements."""
    real = ShardedOptimizer.clip_grad_norm_

    def clip(self: Any, *args: Any) -> Any:
        comm = self._comm
        comm.all_gather_bytes = lambda payload, label="": [payload]
        try:
            return real(self, *args)
        finally:
            del comm.all_gather_bytes

    patch.setattr(ShardedOptimizer, "clip_grad_norm_", clip)


def state_of_one_rank(patch: pytest.MonkeyPatch) -> None:
    """Moments of pieces are put where the first piece lies."""
    real = sharded_state.merged

    def merged(pieces: Any, shapes: Any, moments: Any) -> Any:
        return real([[n, 0, stop - start, e] for n, start, stop, e in pieces], shapes, moments)

    patch.setattr(sharded_step, "merged", merged)


def moments_not_loaded(patch: pytest.MonkeyPatch) -> None:
    """Loading takes the first elements of each moment."""
    real = sharded_step.part_of
    patch.setattr(sharded_step, "part_of", lambda entry, start, stop, names: real(entry, 0, stop - start, names))


def plain(name: str, size: int) -> Callable[[], None]:
    return lambda: test_sharded_step.test_it_is_the_plain_optimizer(name, size)


PLANTED: list[tuple[Plant, Callable[[], None]]] = [
    (values_not_gathered, plain("one bucket", 2)),
    (unused_parameters_stepped, plain("one bucket", 3)),
    (dropped_step_taken, test_sharded_step.test_a_step_that_is_not_finite_changes_nothing),
    (wrong_offset, plain("one bucket", 3)),
    (schedule_ignored, plain("a few buckets", 2)),
    (norm_of_this_rank, lambda: test_sharded_step.test_clipping(2, 2.0)),
    (
        state_of_one_rank,
        lambda: test_sharded_step.test_the_state_has_the_plain_layout_and_loads_at_any_number_of_ranks(3, 2, "AdamW"),
    ),
    (
        moments_not_loaded,
        lambda: test_sharded_step.test_the_state_has_the_plain_layout_and_loads_at_any_number_of_ranks(1, 3, "AdamW"),
    ),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Plant, named_test: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    test_sharded_step.virtual.cache_clear()
    plant(monkeypatch)
    try:
        with pytest.raises((Exception, pytest.fail.Exception)):
            named_test()
    finally:
        test_sharded_step.virtual.cache_clear()
