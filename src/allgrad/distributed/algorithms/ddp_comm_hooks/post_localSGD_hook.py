"""Post-local SGD: after some steps of the plain mean, gradients are averaged inside small groups only.

Goes with a model averager, which brings the groups together again (``distributed.algorithms.model_averaging``).
"""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import wrap
from allgrad.comm import Communicator
from allgrad.distributed.group import ProcessGroup, group_of
from allgrad.distributed.hooks import GradBucket
from allgrad.errors import ArgumentError
from allgrad.futures import Future

__all__ = ["PostLocalSGDState", "post_localSGD_hook"]


class PostLocalSGDState:
    """Gradients are averaged over ``process_group`` for ``start_localSGD_iter`` steps, then over ``subgroup``.

    ``subgroup=None``: the ranks of this node; making it is collective, so all ranks make the state.  With
    ``post_local_gradient_allreduce=False`` each rank keeps its own gradients then.
    """

    def __init__(
        self, process_group: Any, subgroup: Any, start_localSGD_iter: int, post_local_gradient_allreduce: bool = True
    ) -> None:
        if start_localSGD_iter < 0:
            raise ArgumentError(f"start_localSGD_iter must be at least 0, found {start_localSGD_iter}")
        self.process_group = process_group
        self.subgroup: ProcessGroup | None = None
        if subgroup is not None:
            self.subgroup = group_of(subgroup)
        elif post_local_gradient_allreduce:
            self.subgroup = _node(group_of(process_group))
        self.start_localSGD_iter = start_localSGD_iter
        self.post_local_gradient_allreduce = post_local_gradient_allreduce
        self.iter = 0

    def maybe_increase_iter(self, bucket: GradBucket) -> None:
        """Count a step with its last bucket."""
        self.iter += bucket.is_last()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"iter": self.iter, "start_localSGD_iter": self.start_localSGD_iter}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.iter, self.start_localSGD_iter = state["iter"], state["start_localSGD_iter"]


def _node(group: ProcessGroup) -> ProcessGroup:
    """The ranks of ``group`` on this rank's host; collective."""
    comm = group.comm
    members = [r for r, host in enumerate(comm.hosts) if host == comm.hosts[comm.rank]]
    part = comm.split(members[0], comm.rank)
    if part is None:
        raise ArgumentError(f"rank {comm.rank} is on none of the hosts {comm.hosts}")
    return ProcessGroup(part, [group.ranks[r] for r in members], "ranks of a node", group.timeout_s)


def post_localSGD_hook(state: PostLocalSGDState, bucket: GradBucket) -> Future:
    """The mean over all ranks at first, later over those of the subgroup."""
    if state.iter < state.start_localSGD_iter:
        state.maybe_increase_iter(bucket)
        own = state.process_group is None or group_of(state.process_group).comm.size == bucket.comm.size
        return _mean(bucket, bucket.comm if own else group_of(state.process_group).comm)
    if not state.post_local_gradient_allreduce or state.subgroup is None:
        done = Future()
        done.set_result(bucket.buffer())
        return done
    return _mean(bucket, state.subgroup.comm)


def _mean(bucket: GradBucket, comm: Communicator) -> Future:
    flat = bucket.buffer()._a
    bucket.count_sent(flat.nbytes if comm.size > 1 else 0)
    label = f"bucket {bucket.index()}: mean over {comm.size} ranks"
    work = comm.start_all_reduce(flat, scale=1.0 / comm.size, label=label)
    return Future(fetch=lambda: wrap(work.wait()))
