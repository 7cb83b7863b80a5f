"""Bugs planted into what depends on shards: each must be caught by the test named beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

import test_shards
from allgrad.distributed import shards, shards_sampler, shards_tree, shards_word
from allgrad.distributed.shards import Sharding

Plant = Callable[[pytest.MonkeyPatch], None]


def sum_in_rank_order(patch: pytest.MonkeyPatch) -> None:
    """The ranks' nodes are added from left to right instead of in the tree."""

    def meet(root: Any, have: Any, add: Any) -> Any:
        first, *rest = (have[node] for node in sorted(have))
        for each in rest:
            first = add(first, each)
        return first

    patch.setattr(shards_tree, "meet", meet)


def tree_of_halves_of_the_run(patch: pytest.MonkeyPatch) -> None:
    """A rank adds up its shards as they come."""

    def add_shard(root: Any, k: int, have: Any, add: Any) -> None:
        (node,) = [n for n in have if n[1] == k] or [None]
        if node is not None:
            have[(node[0], k + 1)] = add(have.pop(node), have.pop((k, k + 1)))

    patch.setattr(shards, "add_shard", add_shard)


def random_numbers_of_the_rank(patch: pytest.MonkeyPatch) -> None:
    """Dropout draws from the default generator."""
    patch.setattr(Sharding, "stream", lambda self, purpose, k: contextlib.nullcontext())


def same_random_numbers_in_every_shard(patch: pytest.MonkeyPatch) -> None:
    """The stream depends on the first shard of the run."""
    real = Sharding.stream
    patch.setattr(Sharding, "stream", lambda self, purpose, k: real(self, purpose, self.run[0]))


def own_seed_on_each_rank(patch: pytest.MonkeyPatch) -> None:
    """The seed is not rank 0's."""
    real = Sharding.__init__

    def init(self: Any, model: Any, count: int) -> None:
        real(self, model, count)
        self.seed += model.reducer.comm.rank

    patch.setattr(Sharding, "__init__", init)


def statistics_run_on(patch: pytest.MonkeyPatch) -> None:
    """Each shard begins with the running statistics that the one before it left."""
    patch.setattr(Sharding, "_put_back", lambda self, arrays: None)


def step_not_resumed(patch: pytest.MonkeyPatch) -> None:
    """The random numbers start from step 0 again."""
    patch.setattr(Sharding, "load_state_dict", lambda self, state: None)


def order_of_the_ranks(patch: pytest.MonkeyPatch) -> None:
    """The sampler deals samples to ranks."""
    real = shards_sampler.ShardBatchSampler.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        self.seed += len(self.run)

    patch.setattr(shards_sampler.ShardBatchSampler, "__init__", init)


def many_blas_threads(patch: pytest.MonkeyPatch) -> None:
    """Products use as many threads as the rank has cores."""
    patch.setattr(shards, "set_blas_threads", lambda n: True)


def weights_ignored(patch: pytest.MonkeyPatch) -> None:
    """All shards count the same."""
    real = Sharding.shard
    patch.setattr(Sharding, "shard", lambda self, k, weight=None: real(self, k))


def votes_ignored(patch: pytest.MonkeyPatch) -> None:
    """NaN is handed out."""
    patch.setattr(shards, "first_bad", lambda flat, spans: None)


def misuse_kept_secret(patch: pytest.MonkeyPatch) -> None:
    """A rank that cannot finish its step raises, and says nothing to the others."""
    patch.setattr(Sharding, "fail", lambda self, error: self._reset())


def step_not_compared(patch: pytest.MonkeyPatch) -> None:
    """The words are not judged."""
    patch.setattr(shards, "judge", lambda words: None)


def used_on_this_rank_only(patch: pytest.MonkeyPatch) -> None:
    """A parameter that another rank's shard uses has no gradient here."""
    patch.setattr(
        shards_word.Word, "used_flags", lambda self, count, real=shards_word.Word.used_flags: real(self, count) * (0 in self.done)
    )  # fmt: skip


def loader(size: int) -> Callable[[], None]:
    return lambda: test_shards.test_bits_are_those_of_one_rank("loader", size)


PLANTED: list[tuple[Plant, Callable[[], None]]] = [
    (sum_in_rank_order, lambda: test_shards.test_bits_are_those_of_one_rank("13 shards, float64", 8)),
    (tree_of_halves_of_the_run, loader(2)),
    (random_numbers_of_the_rank, loader(2)),
    (same_random_numbers_in_every_shard, loader(3)),
    (own_seed_on_each_rank, loader(2)),
    (statistics_run_on, loader(4)),
    (step_not_resumed, lambda: test_shards.test_a_run_is_resumed_at_another_number_of_ranks(2, 3)),
    (order_of_the_ranks, lambda: test_shards.test_the_sampler_deals_the_same_shards_to_any_number_of_ranks(False)),
    (many_blas_threads, test_shards.test_random_numbers_outside_of_shards_are_left_alone_and_blas_has_one_thread),
    (weights_ignored, test_shards.test_weights_make_the_mean_exact),
    (votes_ignored, lambda: test_shards.test_a_shard_that_is_not_finite_and_all_skip_the_step(2)),
    (
        misuse_kept_secret,
        lambda: test_shards.test_misuse_on_one_rank_is_an_error_on_all(test_shards.raising, "in the data of rank 1"),
    ),
    (step_not_compared, test_shards.test_ranks_that_have_been_loaded_differently_find_out),
    (used_on_this_rank_only, loader(8)),
]


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Plant, named_test: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    test_shards.virtual.cache_clear()
    plant(monkeypatch)
    try:
        with pytest.raises((Exception, pytest.fail.Exception)):
            named_test()
    finally:
        test_shards.virtual.cache_clear()
