"""Bugs planted into the layer between ranks: each must be caught by the test named beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import test_ddp
from allgrad.autograd.record import wrap
from allgrad.distributed import agreement, buckets, ddp, reducer
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
    (low_bits_by_rank, lambda: test_ddp.test_replicas_are_bitwise_equal("mlp", 3)),
]


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Any, named_test: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    test_ddp.virtual.cache_clear()
    plant(monkeypatch)
    try:
        with pytest.raises(Exception):  # noqa: B017 - whatever the named test fails with
            named_test()
    finally:
        test_ddp.virtual.cache_clear()
