"""``model.step_in_backward(optimizer)``: each bucket's parameters are stepped as soon as their mean is there.

While backward goes on through earlier layers, so the step costs no time after it, and reads gradients that are still in
cache.  The same bits as a step after ``backward()``: the update of a parameter depends on that parameter only.  What is
decided over all gradients, at the end of backward, comes too late and is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allgrad.distributed.taking import Taken, Taker, check_can_take, check_same_parameters, taken
from allgrad.errors import ArgumentError, DistributedError, GradientError, RankFailedError
from allgrad.optim.elementwise import Elementwise

if TYPE_CHECKING:
    from allgrad.distributed.ddp import DistributedDataParallel

_WORDS = "step_in_backward"


class BucketStep(Taker):
    """Steps the parameters of one bucket after the other; the state stays in the user's optimizer, in its layout."""

    def __init__(self, model: DistributedDataParallel, optimizer: Elementwise) -> None:
        check_can_take(model, type(optimizer), _WORDS)
        check_same_parameters(model, [p for g in optimizer.param_groups for p in g["params"]], _WORDS)
        if model.reducer.votes.limit is not None:
            raise ArgumentError(
                f"{_WORDS} needs DistributedDataParallel(..., nonfinite_limit=None): whether a step with NaN is dropped is voted "
                "on at the end of backward, when most buckets have been stepped"
            )
        self.optimizer, self._reducer = optimizer, model.reducer
        self._next = 0  # the bucket that is stepped next
        self._broken = ""  # why parameters are stepped in part; until a state is loaded
        self._parts = [self._part({span.param for span in b.plan.spans}) for b in self._reducer.buckets]
        optimizer.register_load_state_dict_post_hook(lambda _: self._mend())
        model.reducer.taker = self

    def _part(self, wanted: set[int]) -> list[tuple[int, Any]]:
        """For each group that has parameters in a bucket: its number, and an optimizer of those only."""
        mine = {id(self._reducer.params[i]) for i in wanted}
        found = []
        for g, group in enumerate(self.optimizer.param_groups):
            params = [p for p in group["params"] if id(p) in mine]
            if params:
                part = object.__new__(type(self.optimizer))  # no copy: those are optimizers in their own right
                part.__dict__.update(self.optimizer.__dict__)
                part._forget()
                part.param_groups = [{**group, "params": params}]
                found.append((g, part))
        return found

    def _mend(self) -> None:
        self._broken, self._next = "", 0

    def poll(self) -> None:
        """Step the buckets that are there, in order; those with a parameter that this rank did not use wait for the end."""
        reducer = self._reducer
        if self._next and reducer.buckets[self._next - 1].work is None:
            self._broken = "backward ended by an error between ranks"
        if self._broken:
            raise DistributedError(
                f"{self._broken} after some buckets had been stepped: parameters and optimizer are neither those of one step "
                "nor of the next. Load the last checkpoint, into model and optimizer, on all ranks"
            )
        if reducer._recorded is not None:
            raise GradientError(
                f"create_graph=True cannot be combined with {_WORDS}: a graph would need the old parameters"
            )
        if reducer._weighing is not None and reducer._weighing[1][0] == 0:
            return  # no rank has a sample, or it is not known yet
        while self._next < len(reducer.buckets):
            bucket = reducer.buckets[self._next]
            used = all(reducer.used[span.param] for span in bucket.plan.spans)
            if bucket.work is None or not used or not bucket.work.test():
                return
            self._step()

    def take(self, valid: bool) -> None:
        """All buckets are there, and how backward went on all ranks."""
        if not valid:
            if isinstance(self._reducer.verdict, RankFailedError):
                self._broken = "backward failed on a rank"
                self._reducer.verdict = RankFailedError(
                    f"{self._reducer.verdict}. No: with {_WORDS} some buckets may have been stepped; load the last checkpoint"
                )
            self._next = 0
            return
        while self._next < len(self._reducer.buckets):
            self._step()
        self._next = 0

    def _step(self) -> None:
        reducer, optimizer = self._reducer, self.optimizer
        bucket = reducer.buckets[self._next]
        for g, part in self._parts[self._next]:
            part.state = optimizer.state
            part.param_groups[0].update({k: v for k, v in optimizer.param_groups[g].items() if k != "params"})
            part._step()
        optimizer._opt_called = True
        for span in bucket.plan.spans:
            p = reducer.params[span.param]
            if p._grad is not None and not isinstance(p._grad, Taken):
                p._grad = taken(
                    f"the gradient of {reducer.names[span.param]!r} was used by {_WORDS}: the step is done, do not call "
                    "optimizer.step(); clipping, loss scaling and accumulation over several backward() need a step after "
                    "backward; call zero_grad() before the next one"
                )
        self._next += 1


class StepsInBackward:
    """The part of ``DistributedDataParallel`` that lets an optimizer step within backward."""

    def step_in_backward(self, optimizer: Any) -> None:
        """Let ``optimizer`` step each bucket of gradients as soon as it is averaged; do not call its ``step()`` any more.

        For elementwise optimizers (SGD, Adam, AdamW, …) of all trained parameters, with ``nonfinite_limit=None``.
        Schedulers, ``no_sync()`` and ``sync(weight=n)`` work as always.
        """
        BucketStep(self, optimizer)  # type: ignore[arg-type]
