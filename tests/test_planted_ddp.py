"""Bugs planted into the layer between ranks: each must be caught by the test named beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import test_ddp
import test_ddp_hooks
import test_ddp_rounds
import test_ddp_votes
import test_zero
from allgrad.autograd.record import wrap
from allgrad.distributed import agreement, buckets, ddp, global_graph, leases, reducer, votes, zero
from allgrad.distributed.algorithms.ddp_comm_hooks import topk_hook
from allgrad.errors import MismatchError


def no_division(patch: pytest.MonkeyPatch) -> None:
    """The sum is handed out as the mean."""
    start = reducer.Reducer._launch

    def launch(self: Any) -> None:
        comm = self.comm
        real = comm.start_all_reduce
        comm.start_all_reduce = lambda flat, op="sum", *, scale=None, **k: real(flat, op, **k)
        try:
            start(self)
        finally:
            del comm.start_all_reduce

    patch.setattr(reducer.Reducer, "_launch", launch)


def no_broadcast(patch: pytest.MonkeyPatch) -> None:
    """Every rank keeps its own initial weights."""
    patch.setattr(ddp.DistributedDataParallel, "_broadcast", lambda self, tensors: None)


def skipped_bucket(patch: pytest.MonkeyPatch) -> None:
    """The last bucket is never averaged."""
    real = reducer.Reducer._launch

    def launch(self: Any) -> None:
        last = self.buckets[-1]
        flat, last.flat = last.flat, last.flat.copy() if len(self.buckets) > 1 else last.flat
        try:
            real(self)
        finally:
            last.flat = flat

    patch.setattr(reducer.Reducer, "_launch", launch)


def early_launch(patch: pytest.MonkeyPatch) -> None:
    """A bucket starts with its first gradient, not its last."""
    real = reducer.Reducer._on_gradient

    def on_gradient(self: Any, i: int) -> None:
        real(self, i)
        if self.active and self.next < len(self.buckets):
            self.buckets[self.next].missing.clear()
            self._launch()

    patch.setattr(reducer.Reducer, "_on_gradient", on_gradient)


def forgotten_zeros(patch: pytest.MonkeyPatch) -> None:
    """A rank without a gradient contributes whatever lay in the bucket."""
    real = reducer.Reducer._settle

    def settle(self: Any, i: int) -> None:
        if self.params[i]._grad is None:
            self.home[i][1].fill(7)
        else:
            real(self, i)

    patch.setattr(reducer.Reducer, "_settle", settle)


def replaced_gradient_ignored(patch: pytest.MonkeyPatch) -> None:
    """Another Tensor in .grad is not copied into the bucket."""

    def settle(self: Any, i: int) -> None:
        if self.params[i]._grad is None:
            self.home[i][1].fill(0)
        self.params[i]._grad = wrap(self.home[i][1])

    patch.setattr(reducer.Reducer, "_settle", settle)


def sync_despite_no_sync(patch: pytest.MonkeyPatch) -> None:
    """Every micro-batch is averaged, and divided again."""
    patch.setattr(reducer.Reducer, "enabled", property(lambda self: True, lambda self, value: None), raising=False)


def overlapping_spans(patch: pytest.MonkeyPatch) -> None:
    """Two gradients share their last element."""
    real = buckets.plan_buckets

    def plan(*args: Any) -> Any:
        plans = real(*args)
        first = plans[0]
        if len(first.spans) > 1:
            a, b = first.spans[:2]
            moved = b._replace(start=a.stop - 1, stop=a.stop - 1 + b.stop - b.start)
            plans[0] = first._replace(spans=(a, moved, *first.spans[2:]))
        return plans

    patch.setattr(reducer, "plan_buckets", plan)


def buffers_stay_local(patch: pytest.MonkeyPatch) -> None:
    """Running statistics differ from rank to rank."""
    real = ddp.DistributedDataParallel.forward

    def forward(self: Any, *inputs: Any, **kwargs: Any) -> Any:
        self.broadcast_buffers = False
        return real(self, *inputs, **kwargs)

    patch.setattr(ddp.DistributedDataParallel, "forward", forward)


def raise_on_one_rank(patch: pytest.MonkeyPatch) -> None:
    """Only rank 0 says that the models differ."""
    real = agreement.check_same_model

    def check(comm: Any, *args: Any) -> None:
        try:
            real(comm, *args)
        except MismatchError:
            if comm.rank == 0:
                raise

    patch.setattr(ddp, "check_same_model", check)


def low_bits_by_rank(patch: pytest.MonkeyPatch) -> None:
    """Each rank adds in an order of its own: close, but not the same."""
    real = reducer.Reducer._finish

    def finish(self: Any) -> None:
        real(self)
        if self.comm.rank == 1:
            for bucket in self.buckets:
                np.nextafter(bucket.flat, np.inf, out=bucket.flat)

    patch.setattr(reducer.Reducer, "_finish", finish)


def weights_ignored(patch: pytest.MonkeyPatch) -> None:
    """Every rank counts the same whatever it says."""
    patch.setattr(reducer.Reducer, "_find_share", lambda self: 1.0 / self.comm.size)


def vote_of_one_rank(patch: pytest.MonkeyPatch) -> None:
    """Only the rank with the bad gradient skips the step."""
    real = votes.Votes.count

    def count(self: Any, ballot: Any, error: Any) -> Any:
        mine = np.where(np.arange(ballot.size) == self.comm.rank, ballot, 0)
        return real(self, mine, error)

    patch.setattr(votes.Votes, "count", count)


def failure_kept_secret(patch: pytest.MonkeyPatch) -> None:
    """A rank whose backward failed contributes what it has, and says nothing."""
    real = reducer.Reducer.start_rest
    patch.setattr(reducer.Reducer, "start_rest", lambda self, error=None: real(self))


def idle_rank_not_awaited(patch: pytest.MonkeyPatch) -> None:
    """A rank whose loss uses no parameter does not take part."""
    patch.setattr(ddp, "begins_round", lambda output, reducer: output)


def one_stream_for_two_models(patch: pytest.MonkeyPatch) -> None:
    """Buckets of two models go through one communicator in the order in which they get ready."""
    real = leases.Leases.enter

    def enter(self: Any, model: Any) -> Any:
        lease = real(self, model)
        lease.stream = self.comm
        return lease

    patch.setattr(leases.Leases, "enter", enter)


def graph_of_the_local_gradient(patch: pytest.MonkeyPatch) -> None:
    """Under create_graph the value is global but its graph is this rank's."""
    patch.setattr(
        global_graph._Mean, "forward", staticmethod(lambda ctx, comm, share, *xs: tuple(x.clone() for x in xs))
    )


def error_feedback_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Top-k drops what it does not send."""
    patch.setattr(topk_hook.TopKState, "memory", property(lambda self: {}, lambda self, value: None), raising=False)


def stale_shares(patch: pytest.MonkeyPatch) -> None:
    """The sharded optimizer keeps its new values to itself."""
    patch.setattr(zero.ZeroRedundancyOptimizer, "_share", lambda self: None)


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[], None]]] = [
    (no_division, lambda: test_ddp.test_shards_together_are_the_whole_batch("mlp", 2)),
    (no_broadcast, lambda: test_ddp.test_shards_together_are_the_whole_batch("mlp", 3)),
    (skipped_bucket, lambda: test_ddp.test_shards_together_are_the_whole_batch("cnn, small buckets", 2)),
    (early_launch, lambda: test_ddp.test_shards_together_are_the_whole_batch("mlp", 2)),
    (forgotten_zeros, lambda: test_ddp.test_unused_parameters_are_right(3)),
    (replaced_gradient_ignored, test_ddp.test_a_replaced_gradient_is_noticed),
    (sync_despite_no_sync, test_ddp.test_no_sync_sends_nothing),
    (overlapping_spans, lambda: test_ddp.test_shards_together_are_the_whole_batch("mlp", 2)),
    (buffers_stay_local, lambda: test_ddp.test_replicas_are_bitwise_equal("running statistics", 2)),
    (
        raise_on_one_rank,
        lambda: test_ddp.test_different_models_are_an_error_on_every_rank(
            test_ddp.wrong_dtype, "parameter 'weight' has dtype float64"
        ),
    ),
    (weights_ignored, test_ddp_votes.test_weights_make_the_mean_exact),
    (vote_of_one_rank, lambda: test_ddp_votes.test_one_bad_rank_and_all_skip_the_step(2, np.nan)),
    (failure_kept_secret, lambda: test_ddp_rounds.test_a_backward_that_raises_is_told_to_all_ranks(2, None, True)),
    (idle_rank_not_awaited, lambda: test_ddp_rounds.test_a_loss_that_uses_no_parameter(2, "input")),
    (
        one_stream_for_two_models,
        lambda: test_ddp_rounds.test_two_models_whose_gradients_come_in_another_order_on_each_rank(2),
    ),
    (graph_of_the_local_gradient, lambda: test_ddp_rounds.test_the_global_gradient_is_a_graph(2)),
    (
        error_feedback_forgotten,
        lambda: test_ddp_hooks.test_nothing_is_lost(2, lambda: (topk_hook.TopKState(0.1), topk_hook.topk_hook)),
    ),
    (stale_shares, lambda: test_zero.test_it_is_the_plain_optimizer(2, "SGD", False)),
    (low_bits_by_rank, lambda: test_ddp.test_replicas_are_bitwise_equal("mlp", 3)),
]


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Any, named_test: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    test_ddp.virtual.cache_clear()
    plant(monkeypatch)
    try:
        with pytest.raises((Exception, pytest.fail.Exception)):  # whatever the named test fails with
            named_test()
    finally:
        test_ddp.virtual.cache_clear()
