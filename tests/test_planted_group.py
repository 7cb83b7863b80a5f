"""Bugs planted into differentiable collectives, local SGD, metrics, rates: each is caught by the test named beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import test_ddp_equivalence
import test_distributed_nn
import test_large_batch
import test_local_sgd
import test_metrics
from allgrad.distributed import reducer, zero
from allgrad.distributed.algorithms.ddp_comm_hooks import post_localSGD_hook
from allgrad.distributed.algorithms.model_averaging import averagers, hierarchical_model_averager, utils
from allgrad.distributed.metrics import base, classes, exact_sum
from allgrad.distributed.nn import exchanges, passing
from allgrad.distributed.optim import PostLocalSGDOptimizer, large_batch
from allgrad.futures import Future
from allgrad.utils.data import distributed as sampler

Patch = pytest.MonkeyPatch


def gradient_not_summed(patch: Patch) -> None:
    """Each rank's gradient stays its own behind an all-reduce: what DDP users get who sum a loss by hand."""
    patch.setattr(exchanges.AllReduce, "adjoint", lambda self: exchanges.AllToAll(self.comm, (), ()))
    patch.setattr(exchanges.AllToAll, "run", lambda self, arrays: [a.copy() for a in arrays])


def broadcast_is_its_own_adjoint(patch: Patch) -> None:
    """The root gets its own gradient only, the others the root's."""
    patch.setattr(exchanges.Broadcast, "adjoint", lambda self: self)


def reduce_leaves_its_input(patch: Patch) -> None:
    """Ranks other than the root get something that is not in the gradient."""
    real = exchanges.Reduce.run

    def run(self: Any, arrays: Any) -> Any:
        found = real(self, arrays)
        return found if self.comm.rank == self.root else [arrays[0].copy()]

    patch.setattr(exchanges.Reduce, "run", run)


def scale_forgotten_on_the_way_back(patch: Patch) -> None:
    """The gradient of a mean is that of a sum."""
    patch.setattr(exchanges.AllReduce, "adjoint", lambda self: exchanges.AllReduce(self.comm, None))


def nobody_asks_the_others(patch: Patch) -> None:
    """A rank whose input wants no gradient does not come to the backward."""
    patch.setattr(passing, "meet", lambda exchange, mine, alike: mine)


def shapes_not_compared(patch: Patch) -> None:
    """(2, 3) is added to (3, 2)."""
    real = passing.meet
    patch.setattr(passing, "meet", lambda exchange, mine, alike: real(exchange, mine, []))


def parameters_summed(patch: Patch) -> None:
    """Parameters become the sum over the ranks."""
    real = utils.group_of

    def group_of(group: Any) -> Any:
        found = real(group)
        comm = found.comm
        add = type(comm).all_reduce
        comm.all_reduce = lambda flat, *a, scale=None, **k: add(comm, flat, *a, **k)
        return found

    patch.setattr(utils, "group_of", group_of)


def averaged_a_step_late(patch: Patch) -> None:
    """The averager counts from 1."""
    real = averagers.PeriodicModelAverager.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        self.step = 1

    patch.setattr(averagers.PeriodicModelAverager, "__init__", init)


def only_own_gradients_count(patch: Patch) -> None:
    """Each rank averages the parameters that have a gradient here."""

    def average(params: Any, group: Any) -> None:
        utils.average_parameters(utils.get_params_to_average(params), group)

    patch.setattr(utils, "average_parameters_or_parameter_groups", average)


def never_local(patch: Patch) -> None:
    """The hook goes on averaging over all ranks."""
    patch.setattr(post_localSGD_hook.PostLocalSGDState, "maybe_increase_iter", lambda self, bucket: None)


def subgroup_ignored(patch: Patch) -> None:
    """After the warm-up nothing is averaged inside the subgroup."""

    def mean(bucket: Any, comm: Any) -> Any:
        if comm.size == bucket.comm.size:
            return real(bucket, comm)
        done = Future()
        done.set_result(bucket.buffer())
        return done

    real = post_localSGD_hook._mean
    patch.setattr(post_localSGD_hook, "_mean", mean)


def averager_forgotten_in_the_checkpoint(patch: Patch) -> None:
    """A resumed run starts its count again."""
    patch.setattr(PostLocalSGDOptimizer, "load_state_dict", lambda self, state: self.optim.load_state_dict(state))


def smallest_group_first(patch: Patch) -> None:
    """At a step that several periods divide the small group averages."""
    cls = hierarchical_model_averager.HierarchicalModelAverager
    patch.setattr(
        cls, "_find_process_group", lambda self: next(
            (self.period_process_group_dict[p] for p in self._periods if self.step % p == 0), None
        ),
    )  # fmt: skip


def mean_of_means(patch: Patch) -> None:
    """Each rank's mean counts the same."""
    real = base.SumCount.update
    patch.setattr(
        base.SumCount, "update", lambda self, total, count=1: real(self, np.mean(total) / max(np.mean(count), 1e-9), 1)
    )


def counts_of_this_rank(patch: Patch) -> None:
    """compute() shows each rank its own part."""
    patch.setattr(base, "communicator", lambda group: None)


def floating_sums(patch: Patch) -> None:
    """Sums are rounded as they grow."""
    patch.setattr(
        exact_sum.ExactSum, "add", lambda self, numbers: setattr(self, "parts", [sum(self.parts) + sum(numbers)])
    )


def padded_evaluation(patch: Patch) -> None:
    """The sampler repeats samples so that all ranks get equally many."""
    real = sampler.DistributedSampler.__init__
    patch.setattr(sampler.DistributedSampler, "__init__", lambda self, *a, exact=False, **k: real(self, *a, **k))


def every_class_counts(patch: Patch) -> None:
    """A class that nobody has or names pulls the macro average down."""
    real = classes._PerClass._result

    def result(self: Any, sums: Any, counts: Any) -> Any:
        return real(self, sums, counts + (self.average == "macro") * 1e-9)

    patch.setattr(classes._PerClass, "_result", result)


def ties_are_right(patch: Patch) -> None:
    """Equal scores count as right for every class."""
    patch.setattr(
        classes.Accuracy, "_right", lambda self, scores, labels: (
            (scores > np.take_along_axis(scores, labels[:, None], 1)).sum(1) < self.top_k
        ),
    )  # fmt: skip


def warm_up_ends_late(patch: Patch) -> None:
    """The goal is reached one step after it should be."""
    real = large_batch.ScaledLR._share
    patch.setattr(large_batch.ScaledLR, "_share", lambda self, step: real(self, max(0, step - 1)))


def ranks_count_the_same(patch: Patch) -> None:
    """Weights are sent and ignored."""
    patch.setattr(reducer.Reducer, "_find_share", lambda self: 1.0 / self.comm.size)


def waits_for_weights_inside_backward(patch: Patch) -> None:
    """A bucket waits for the weights although another model's ranks may wait for this one."""
    real = reducer.Reducer._launch
    patch.setattr(reducer.Reducer, "_launch", lambda self, last=True: real(self, True))


def shares_kept_to_themselves(patch: Patch) -> None:
    """The sharded optimizer does not gather."""
    patch.setattr(zero.ZeroRedundancyOptimizer, "_share", lambda self: None)


def drawn(**what: Any) -> Callable[[], None]:
    return lambda: test_ddp_equivalence.check(test_ddp_equivalence.UNEVEN._replace(**what))


def differentiated(name: str, size: int = 3) -> Callable[[], None]:
    return lambda: test_distributed_nn.test_it_is_the_computation_of_one_process(name, size)


def local(kind: str, size: int = 2) -> Callable[[], None]:
    return lambda: test_local_sgd.test_it_is_what_one_process_computes(kind, size)


same_bits: Callable[[], None] = lambda: test_metrics.test_the_bits_do_not_depend_on_ranks_and_batches(3, 4)

PLANTED: list[tuple[Callable[[Patch], None], Callable[[], None]]] = [
    (gradient_not_summed, differentiated("all_reduce")),
    (broadcast_is_its_own_adjoint, differentiated("broadcast")),
    (reduce_leaves_its_input, differentiated("reduce")),
    (scale_forgotten_on_the_way_back, differentiated("all_reduce avg")),
    (nobody_asks_the_others, test_distributed_nn.test_only_one_rank_wants_a_gradient),
    (shapes_not_compared, test_distributed_nn.test_other_shapes_modes_and_ops_are_errors_on_every_rank),
    (parameters_summed, local("by hand")),
    (averaged_a_step_late, local("all local")),
    (only_own_gradients_count, test_local_sgd.test_a_gradient_on_one_rank_is_enough_and_frozen_parameters_stay),
    (never_local, local("all local")),
    (subgroup_ignored, local("pairs", 4)),
    (averager_forgotten_in_the_checkpoint, lambda: test_local_sgd.test_a_resumed_optimizer_averages_when_it_would_have("by hand")),
    (smallest_group_first, local("two levels", 4)),
    (mean_of_means, test_metrics.test_uneven_ranks_and_a_mean_of_no_samples),
    (counts_of_this_rank, same_bits),
    (floating_sums, same_bits),
    (padded_evaluation, same_bits),
    (every_class_counts, test_metrics.test_f1_by_hand),
    (ties_are_right, test_metrics.test_ties_and_nan_scores),
    (ranks_count_the_same, drawn()),
    (waits_for_weights_inside_backward, drawn(models=2, tied=True)),
    (shares_kept_to_themselves, drawn(optimizer="sharded Adam")),
    (warm_up_ends_late, test_large_batch.test_warm_up_is_a_straight_line_to_the_goal),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Any, named_test: Any, monkeypatch: Patch) -> None:
    plant(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017 - whatever the named test fails with
        named_test()


@pytest.mark.parametrize("named_test", {id(t): t for _, t in PLANTED if t.__name__ != "<lambda>"}.values())
def test_without_a_bug_it_passes(named_test: Any) -> None:
    """What is caught above is the bug, not the way the test is called."""
    named_test()
