"""The reducer: from "this gradient is final" to "it is the mean over all ranks", while backward goes on.

Follow one gradient: its leaf's hook calls ``_on_gradient`` → the last of its bucket makes the bucket ready → buckets
start strictly in order of their number, never of arrival (``_launch``) → backward goes on, later hooks poke the
communication → at the end of backward ``_finish`` adds what is missing, waits, and hands out the means.

A gradient *is* a span of its bucket's flat buffer, so nothing is copied on the way.  Whoever puts another Tensor
in ``.grad`` is noticed: its values are copied in.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.autograd.walk import queue_callback
from allgrad.comm import Communicator, Work
from allgrad.distributed.buckets import BucketPlan, Spec, plan_buckets
from allgrad.errors import DistributedError

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
        self, named: Sequence[tuple[str, Any]], comm: Communicator, *, cap_bytes: int, first_cap_bytes: int
    ) -> None:
        self.comm = comm
        self.names = [name for name, _ in named]
        self.params = [p for _, p in named]
        self.specs = [Spec(name, tuple(p.shape), p._a.dtype.name) for name, p in named]
        self.enabled = True  # False under no_sync: gradients only accumulate
        plans = plan_buckets(self.specs, cap_bytes, first_cap_bytes)
        self.buckets = [Bucket(plan, comm) for plan in plans]
        # One more buffer for how many ranks used each parameter: it tells what no rank has a gradient for.
        self.tail = comm.allocate(8 * max(1, len(self.params)))
        self.used: Array = self.tail.array(np.float64)
        self.home: list[tuple[Bucket, Array]] = [None] * len(self.params)  # type: ignore[list-item]
        for bucket in self.buckets:
            for span in bucket.plan.spans:
                view = bucket.flat[span.start : span.stop].reshape(self.specs[span.param].shape)
                self.home[span.param] = (bucket, view)
        self.active = False
        self.next = 0
        self.hidden_bytes = 0
        self._warned: set[str] = set()
        self._handles = []
        for i, p in enumerate(self.params):
            p._grad_buffer = self.home[i][1]
            self._handles.append(p.register_post_accumulate_grad_hook(lambda p, i=i: self._on_gradient(i)))

    def prepare(self) -> None:
        """Before a forward whose backward is to be synchronized: gradients kept from before go into the buckets."""
        for bucket in self.buckets:
            if bucket.work is not None:
                raise DistributedError("a forward was started inside a backward that is being synchronized")

    def _begin(self) -> None:
        self.active = True
        self.next = 0
        self.used.fill(0)
        for bucket in self.buckets:
            bucket.missing = {s.param for s in bucket.plan.spans if self.params[s.param]._rg}
            bucket.work = None
        queue_callback(self._finish)

    def _on_gradient(self, i: int) -> None:
        """Parameter ``i`` has its gradient: nothing more is coming in this backward."""
        if not self.enabled:
            return
        if not self.active:
            self._begin()
        bucket, _ = self.home[i]
        if i not in bucket.missing:
            raise DistributedError(
                f"parameter {self.names[i]!r} on rank {self.comm.rank} got a gradient twice in one synchronized backward; "
                "call backward() once per step, and put earlier micro-batches under model.no_sync()"
            )
        self._settle(i)
        self.used[i] = 1
        bucket.missing.discard(i)
        self._launch()
        self.comm.progress()

    def _settle(self, i: int) -> None:
        """See that the gradient of parameter ``i`` lies in its bucket; zeros where there is none."""
        p, (_, view) = self.params[i], self.home[i]
        grad = p._grad
        if grad is None:
            view.fill(0)
        elif grad._a is not view:
            if grad._a.__array_interface__["data"] != view.__array_interface__["data"] or grad._a.shape != view.shape:
                np.copyto(view, grad._a)
            p._grad = wrap(view)

    def _launch(self) -> None:
        """Start every bucket that is ready and whose predecessors have started."""
        while self.next < len(self.buckets) and not self.buckets[self.next].missing:
            bucket = self.buckets[self.next]
            for span in bucket.plan.spans:
                if not self.used[span.param]:
                    self._settle(span.param)
            first = self.names[bucket.plan.spans[0].param]
            bucket.work = self.comm.start_all_reduce(
                bucket.flat, scale=1.0 / self.comm.size, label=f"bucket {bucket.plan.number} ({first}, …)"
            )
            self.next += 1

    def _finish(self) -> None:
        """The end of backward: start what waits for gradients that will not come, wait for all, hand out."""
        self.active = False
        alone = [i for i, p in enumerate(self.params) if p._rg and not self.used[i]]
        for i in alone:
            self.home[i][0].missing.discard(i)
        self._launch()
        tail = self.comm.start_all_reduce(self.used, label="which parameters were used")
        kept = {i: self.params[i]._grad for i in alone}
        for bucket in self.buckets:
            if bucket.work is None:
                raise DistributedError(f"bucket {bucket.plan.number} was never started on rank {self.comm.rank}")
            bucket.work.wait()
            bucket.work = None
        tail.wait()
        unused = []
        for i, p in enumerate(self.params):
            if not p._rg:
                continue
            if self.used[i]:
                if p._grad is None:
                    p._grad = wrap(self.home[i][1])
                p._grad._version[0] += 1
            else:
                unused.append(self.names[i])
                p._grad = kept.get(i)
        new = [n for n in unused if n not in self._warned]
        if new and self.comm.rank == 0:
            warnings.warn(
                f"{len(new)} parameters took no part in the loss on any rank and got no gradient: {', '.join(new[:5])}"
                + (", …" if len(new) > 5 else ""),
                stacklevel=2,
            )
        self._warned.update(new)

    def close(self) -> None:
        """Take the hooks away; the gradients stay where they are, in memory of their own."""
        for handle in self._handles:
            handle.remove()
        for i, p in enumerate(self.params):
            if p._grad is not None and p._grad._a is self.home[i][1]:
                p._grad = wrap(p._grad._a.copy())
            p._grad_buffer = None
        for bucket in self.buckets:
            bucket.memory.free()
        self.tail.free()
