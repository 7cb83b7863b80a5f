"""What a rank without data does for its wrapped model: meet the others' messages with zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allgrad.distributed.algorithms.join import OUT, WEIGHTED, Join, JoinHook
from allgrad.distributed.weights import Weights

if TYPE_CHECKING:
    from allgrad.distributed.ddp import DistributedDataParallel


class DDPJoinHook(JoinHook):
    """Takes part in each step; with ``optimizer`` it steps too, without it gets the final model."""

    def __init__(self, model: DistributedDataParallel, mean_of_all: bool, optimizer: Any) -> None:
        self.model, self.mean_of_all, self.optimizer = model, mean_of_all, optimizer

    def main_hook(self) -> None:
        """One step of the others: their buffers, their gradients, and their optimizer's step."""
        model = self.model
        for p in model.reducer.params:
            p._grad = None
        model.reducer.gate = None  # join() has words of its own
        model.meet_buffers(first_active(self.join))
        model.reducer.weights = weights_of(model, self.join, self.mean_of_all)
        model.reducer.stand_in()
        if self.optimizer is not None:
            self.optimizer.step()
        else:
            model.sentinel.away = True  # from now on the others step without this rank

    def post_hook(self, is_last_joiner: bool) -> None:
        """The same parameters everywhere: those of a rank that had the most batches."""
        if self.optimizer is None:
            comm = self.model.process_group.comm
            said = comm.all_gather_bytes(b"1" if is_last_joiner else b"0", label="who has the final model")
            self.model._broadcast([*self.model.module.parameters(), *self.model.module.buffers()], said.index(b"1"))
            self.model.sentinel.away = False


def first_active(join: Join | None) -> int:
    """Whose buffers count: rank 0's, or under Join those of the first rank that has data."""
    if join is None or not join.found:
        return 0
    return next(r for r, said in enumerate(join.found) if said != OUT)


def weights_of(model: DistributedDataParallel, join: Join, mean_of_all: bool) -> Weights | None:
    """A rank that is out weighs nothing: against the others' samples, or against 1 each if only they are to be averaged."""
    if WEIGHTED not in join.found and mean_of_all:
        return None
    weights = Weights()
    weights.add(0, model.reducer.params)
    return weights
