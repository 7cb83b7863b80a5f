"""The reducer: from "this gradient is final" to "it is the mean over all ranks", while backward goes on.

Follow one gradient: its leaf's hook calls ``_on_gradient`` → the last of its bucket makes the bucket ready → buckets
start strictly in order of their number, never of arrival (``_launch``) → backward goes on, later hooks poke the
communication → at the end of backward ``start_rest`` adds what is missing, ``_finish`` waits and hands out the means.

A gradient *is* a span of its bucket's flat buffer, so nothing is copied on the way.  Whoever puts another Tensor
in ``.grad`` is noticed: its values are copied in.  With the last bucket goes the *tail*: how many ranks have a gradient
of each parameter, and each rank's vote (fine, not finite, failed), so that all do the same with the step.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.autograd.walk import queue_callback
from allgrad.comm import Communicator, Work
from allgrad.comm.work import Buffer, DoneWork
from allgrad.context import ctx
from allgrad.distributed.buckets import BucketPlan, Spec, plan_buckets
from allgrad.distributed.global_graph import with_graph
from allgrad.distributed.hooks import Hook, lets_replicas_differ, run_hook
from allgrad.distributed.rounds import join_round, number_of_next
from allgrad.distributed.sentinel import Sentinel
from allgrad.distributed.taking import Taken, Taker
from allgrad.distributed.votes import FAILED, Votes, first_bad
from allgrad.distributed.weights import Weights, scaled
from allgrad.errors import DistributedError, GradientError

if TYPE_CHECKING:
    from allgrad.distributed.loss_weights import Weigher
    from allgrad.distributed.step_word import Gate

Array = np.ndarray[Any, Any]


class Bucket:
    """A flat buffer of the communicator, and the parameters whose gradients lie in it."""

    def __init__(self, plan: BucketPlan, comm: Communicator) -> None:
        self.plan = plan
        self.memory = comm.allocate(plan.nbytes)
        self.flat: Array = self.memory.array(plan.dtype)
        self.missing: set[int] = set()
        self.work: Work | None = None


class Reducer:
    """Averages the gradients of ``params`` over the ranks of ``comm``; made the same way on every rank."""

    def __init__(
        self,
        named: Sequence[tuple[str, Any]],
        comm: Communicator,
        *,
        cap_bytes: int,
        first_cap_bytes: int,
        nonfinite_limit: int | None = None,
    ) -> None:
        self.comm = comm
        self.number = number_of_next()
        self.names = [name for name, _ in named]
        self.params = [p for _, p in named]
        self.specs = [Spec(name, tuple(p.shape), p._a.dtype.name) for name, p in named]
        self.enabled = True  # False under no_sync: gradients only accumulate
        self.weights: Weights | None = None  # None: every rank counts the same
        plans = plan_buckets(self.specs, cap_bytes, first_cap_bytes)
        self.buckets = [Bucket(plan, comm) for plan in plans]
        self.tail = comm.allocate(8 * (len(self.params) + comm.size))
        whole = self.tail.array(np.float64)
        self.used: Array = whole[: len(self.params)]  # how many ranks have a gradient of each parameter
        self.ballot: Array = whole[len(self.params) :]
        self.votes = Votes(comm, self.names, nonfinite_limit)
        self.home: list[tuple[Bucket, Array]] = [None] * len(self.params)  # type: ignore[list-item]
        for bucket in self.buckets:
            for span in bucket.plan.spans:
                view = bucket.flat[span.start : span.stop].reshape(self.specs[span.param].shape)
                self.home[span.param] = (bucket, view)
        self.hook: Hook | None = None
        self.hook_state: Any = None
        self.sent_bytes = self.plain_bytes = (
            0  # what this rank gave to the communication, and what it would without hook
        )
        self.active = False
        self.next = 0
        self.verdict: DistributedError | None = None
        self.sentinel: Sentinel | None = None  # looks at the replicas when a round is over
        self.gate: Gate | None = None  # where ranks say what they are about to do; None: all do the same
        self.slot = 0  # this model's number there
        self._active = comm.size  # how many ranks have data in this step
        self.weigher: Weigher | None = None  # takes the weight of a step from its losses
        self.views = True  # gradients lie in the buckets; False: in memory of their own after each step
        self.lost = False  # a hook raised here: the ranks are out of step
        self.accumulated = False  # under no_sync, since the last synchronized backward
        self._outputs: deque[int] = deque(maxlen=64)  # numbers of the nodes that forwards returned
        self.taker: Taker | None = None  # who takes the gradients in place of the user
        self._error: BaseException | None = None
        self._recorded: dict[int, Any] | None = None  # under create_graph: this rank's gradients with their graph
        self._weighing: tuple[Work, Array] | None = None
        self._share: float | None = None  # what this rank's gradients are multiplied by; None: all the same
        self._tail_work: Work | None = None
        self._warned: set[str] = set()
        self._handles = []
        self.given_up: set[int] = set()  # parameters that a model wrapped later averages
        for i, p in enumerate(self.params):
            if p._averager is not None:
                p._averager.give_up(p)
            p._averager = self
            p._grad_buffer = self.home[i][1]
            self._handles.append(p.register_post_accumulate_grad_hook(lambda p, i=i: self._on_gradient(i)))

    def give_up(self, param: Any) -> None:
        """``param`` was wrapped again, alone or in another model: from now on only that one averages its gradient.

        Two would write into each other's buckets while messages are under way.
        """
        i = next(i for i, p in enumerate(self.params) if p is param)
        self._handles[i].remove()
        self.given_up.add(i)
        if param._grad is not None and np.may_share_memory(param._grad._a, self.home[i][1]):
            param._grad = wrap(param._grad._a.copy())

    def _own(self) -> list[Any]:
        """The parameters that no other model averages."""
        return [p for i, p in enumerate(self.params) if i not in self.given_up]

    def prepare(self) -> None:
        """Before a forward whose backward is to be synchronized."""
        if self.active:
            raise DistributedError("a forward was started inside a backward that is being synchronized")
        if not any(failed == self._failed_early for _, failed in ctx.after_backward):
            queue_callback(lambda: None, self._failed_early)

    def _failed_early(self, error: BaseException) -> None:
        """Backward raised before it came to this model, but would have: the other ranks are waiting."""
        if isinstance(error, Exception) and not isinstance(error, DistributedError):
            walk = ctx.walk
            if walk is not None and any(walk.reaches(p) for p in self.params):
                self.begin()

    def begin(self, alone: bool = False) -> None:
        """A synchronized backward has begun; a second call in it does nothing.

        Called by the first gradient, or, on a rank whose loss may use no parameter, by the gradient of the output.
        """
        if self.active or not self.enabled or (ctx.walk is not None and not ctx.walk.accumulate):
            return
        if self.weigher is not None:
            self.weigher.weigh(self)
        self.active = True
        self.accumulated = False
        self.next = 0
        self.verdict = self._error = self._tail_work = self._weighing = self._share = None
        self._recorded = {} if ctx.walk is not None and ctx.walk.create_graph else None
        if self.sentinel is not None:
            self.sentinel.synchronizing()
        self.used.fill(0)
        self.ballot.fill(0)
        for bucket in self.buckets:
            bucket.missing = {s.param for s in bucket.plan.spans if self.params[s.param]._rg} - self.given_up
            bucket.work = None
        if not alone:
            join_round(self)
        if self.gate is not None:
            self.gate.begin(self, skip=alone)
        elif self.weights is not None:
            self._weigh()

    def _weigh(self) -> None:
        total = np.array([self.weights.total if self.weights is not None else 0.0])
        self._weighing = (self.comm.start_all_reduce(total, label="weights of the ranks"), total)

    def _settle_word(self, gate: Gate) -> None:
        """All ranks have said what they do: how many have data, and what these weigh."""
        self._active = gate.settle()
        if self.weights is not None and self._weighing is None:
            total = gate.total_weight()
            if total is None:
                self._weigh()
            else:
                found = np.array([total])
                self._weighing = (DoneWork(found), found)

    def forward_made(self, number: int) -> None:
        """A forward returned the node of that number."""
        self._outputs.append(number)

    def reached(self, walk: Any) -> bool:
        """Whether a backward goes through this model: to its parameters, or through what its forward returned."""
        if self.active or not self.enabled or self.gate is None:
            return False
        if any(walk.reaches(p) for p in self._own()):
            return True
        return bool(self._outputs) and any(n.seq in self._outputs for n in walk.reached)

    def stand_in(self) -> None:
        """Take part in the others' backward without one of one's own; what lies in the gradients counts."""
        self.begin(alone=True)
        try:
            self.start_rest()
            self._finish()
        except BaseException:
            self.forget()
            raise
        if self.verdict is not None:
            raise self.verdict

    def _on_gradient(self, i: int) -> None:
        """Parameter ``i`` has its gradient: nothing more is coming in this backward."""
        if not self.enabled:
            self.accumulated = True
            if self.sentinel is not None:
                self.sentinel.unsynchronized()
            return
        self.begin()
        bucket, _ = self.home[i]
        if i not in bucket.missing:
            raise GradientError(
                f"parameter {self.names[i]!r} on rank {self.comm.rank} got a gradient twice in one synchronized backward; "
                "call backward() once per step, and put earlier micro-batches under model.no_sync()"
            )
        self._settle(i)
        bucket.missing.discard(i)
        self._launch()
        self.comm.progress()
        if self.taker is not None:
            self.taker.poll()

    def _settle(self, i: int) -> None:
        """See that the gradient of parameter ``i`` lies in its bucket; zeros where there is none."""
        p, (_, view) = self.params[i], self.home[i]
        if i in self.given_up:
            view.fill(0)
            return
        if self.weights is not None and self.weights.aside is not None:  # this micro-batch does not count
            before = self.weights.aside.get(id(p))
            p._grad = None if before is None else wrap(before)
        grad = p._grad
        if grad is None:
            view.fill(0)
            return
        self.used[i] = 1
        if self._recorded is not None and (grad._node is not None or grad._rg):
            self._recorded[i] = grad
        if grad._a is not view:
            if grad._a.__array_interface__["data"] != view.__array_interface__["data"] or grad._a.shape != view.shape:
                np.copyto(view, grad._a)
            p._grad = wrap(view)

    def _launch(self, last: bool = False) -> None:
        """Start every bucket that is ready and whose predecessors have started; ``last``: all will have, so it may wait."""
        while self.next < len(self.buckets) and not self.buckets[self.next].missing:
            bucket = self.buckets[self.next]
            for span in bucket.plan.spans:
                if not self.used[span.param]:
                    self._settle(span.param)
            if self.next == 0 and self.gate is not None:
                self._settle_word(self.gate)
            if not last and self._weighing is not None and self._share is None and not self._weighing[0].test():
                return  # another rank may begin with another model: waiting for it here could be for ever
            if self.votes.limit is not None:
                bad = first_bad(bucket.flat, bucket.plan.spans)
                mine = self.ballot[self.comm.rank]
                if bad is not None and (mine == 0 or bad + 1 < mine):
                    self.ballot[self.comm.rank] = bad + 1
                if bad is not None and self.hook is not None:
                    bucket.flat.fill(0)  # nobody will use this step, but a hook's memory would keep the NaN
            scale: float | None = 1.0 / self._active
            if self.weights is not None:
                share = self._find_share() * (self.comm.size if self.hook else 1)  # a hook divides by the size itself
                bucket.flat[...] = scaled(bucket.flat, share) if share else 0
                scale = None
            elif self.hook is not None and self._active != self.comm.size:
                bucket.flat[...] = scaled(bucket.flat, self.comm.size / self._active)
            self.next += 1
            self.plain_bytes += bucket.flat.nbytes
            if self.hook is not None:
                bucket.work = run_hook(self.hook, self.hook_state, self, bucket)
                continue
            self.sent_bytes += bucket.flat.nbytes
            first = self.names[bucket.plan.spans[0].param]
            halves = self.taker is not None and self.taker.halves
            bucket.work = self.comm.start_all_reduce(
                bucket.flat, scale=scale, shared_result=halves, own_span=halves,
                label=f"bucket {bucket.plan.number} ({first}, …)",
            )  # fmt: skip

    def _find_share(self) -> float:
        """This rank's weight over that of all ranks."""
        if self._share is None and self.weights is not None and self._weighing is not None:
            work, total = self._weighing
            work.wait()
            self._share = self.weights.last / total[0] if total[0] > 0 else 0.0
        return self._share or 0.0

    def start_rest(self, error: BaseException | None = None) -> None:
        """Start what waits for gradients that will not come, and the tail; ``error``: why backward failed here."""
        self._error = error
        for bucket in self.buckets:
            bucket.missing.clear()
        self._launch(last=True)
        if error is not None:
            self.ballot[self.comm.rank] = FAILED
        self._tail_work = self.comm.start_all_reduce(
            self.tail.array(np.float64), label="which parameters were used, and how it went"
        )

    def _finish(self) -> None:
        """The end of backward: wait for all, vote, hand out."""
        for bucket in self.buckets:
            if bucket.work is None:
                raise DistributedError(f"bucket {bucket.plan.number} was never started on rank {self.comm.rank}")
            bucket.work.wait()
        if self._tail_work is not None:
            self._tail_work.wait()
        self.active = False
        self.verdict, valid = self.votes.count(self.ballot, self._error)
        empty = self._weighing is not None and self._weighing[1][0] == 0  # no rank had a sample
        ctx.overflowed.difference_update(map(id, self.params))
        if not valid or empty:
            for p in self._own():
                p._grad = None
            if not valid:
                ctx.overflowed.update(map(id, self.params))
        else:
            self._hand_out()
        if self.taker is not None:
            self.taker.take(valid and not empty)
        if self.sentinel is not None and self.verdict is None:
            self.verdict = self.sentinel.round_ended(self.comm, valid, lets_replicas_differ(self.hook_state))
        self.forget()

    def _hand_out(self) -> None:
        unused = []
        for i, p in enumerate(self.params):
            if not p._rg or i in self.given_up:
                continue
            if self.used[i]:
                if not self.views:
                    p._grad = wrap(self.home[i][1].copy())
                elif p._grad is None:
                    p._grad = wrap(self.home[i][1])
                p._grad._cell[0] += 1
            else:
                unused.append(self.names[i])
                p._grad = None
        if self._recorded is not None:
            having = [i for i in range(len(self.params)) if self.used[i]]
            share = self._find_share() if self.weights is not None else 1.0 / self._active
            values = [self.home[i][1] for i in having]
            made = with_graph(self.comm, share, values, [self._recorded.get(i) for i in having])
            for i, grad in zip(having, made):
                if grad._node is not None:  # a rank that had no gradient comes to the next backward by this alone
                    grad._node.register_prehook(lambda _: self.begin())
                self.params[i]._grad = grad
        new = [n for n in unused if n not in self._warned]
        if new and self.comm.rank == 0:
            warnings.warn(
                f"{len(new)} parameters took no part in the loss on any rank and got no gradient: {', '.join(new[:5])}"
                + (", …" if len(new) > 5 else ""),
                stacklevel=2,
            )
        self._warned.update(new)

    def forget(self) -> None:
        """The round is over, however it ended: the next backward starts anew."""
        self.active = False
        self._active = self.comm.size
        self._outputs.clear()
        if self.gate is not None:
            self.gate.over(self)
        self.weights = self._weighing = self._share = self._recorded = self._error = self._tail_work = None
        for bucket in self.buckets:
            bucket.work = None

    def close(self) -> list[Buffer]:
        """Take the hooks away; gradients stay, in memory of their own.  The memory, which is still to be freed."""
        for handle in self._handles:
            handle.remove()
        for i, p in enumerate(self.params):
            grad, view = p._grad, self.home[i][1]
            if grad is not None and not isinstance(grad, Taken) and np.may_share_memory(grad._a, view):
                p._grad = wrap(grad._a.copy())
            if p._averager is self:
                p._averager = p._grad_buffer = None
        memory = [*(bucket.memory for bucket in self.buckets), self.tail]
        self.home, self.buckets, self.taker = [], [], None
        self.used = self.ballot = np.empty(0)
        return memory
