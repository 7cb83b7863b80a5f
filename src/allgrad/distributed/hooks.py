"""Communication hooks: the user's own way of making one bucket of gradients the same on all ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.comm import Work
from allgrad.errors import DtypeError, ShapeError
from allgrad.futures import Future

if TYPE_CHECKING:
    from allgrad.distributed.reducer import Bucket, Reducer

Array = np.ndarray[Any, Any]
Hook = Callable[[Any, "GradBucket"], Future]


class GradBucket:
    """What a hook is given: the gradients of some parameters of this rank, flat, not yet divided by anything."""

    def __init__(self, reducer: Reducer, bucket: Bucket) -> None:
        self.comm = reducer.comm
        self._reducer, self._bucket = reducer, bucket

    def index(self) -> int:
        """The bucket's number; buckets come in this order."""
        return self._bucket.plan.number

    def is_last(self) -> bool:
        """Whether no further bucket comes in this step."""
        return self.index() == len(self._reducer.buckets) - 1

    def buffer(self) -> Any:
        """All gradients of the bucket as one flat Tensor; between them may lie zeros."""
        return wrap(self._bucket.flat)

    def set_buffer(self, tensor: Any) -> None:
        """Replace the values of ``buffer()``."""
        fill(self._bucket.flat, tensor)

    def gradients(self) -> list[Any]:
        """The gradients one by one: views of ``buffer()`` in the shapes of the parameters."""
        return [wrap(self._reducer.home[s.param][1]) for s in self._bucket.plan.spans]

    def parameters(self) -> list[Any]:
        """The parameters that the gradients belong to."""
        return [self._reducer.params[s.param] for s in self._bucket.plan.spans]

    def count_sent(self, nbytes: int) -> None:
        """Note that this rank gives ``nbytes`` to the communication instead of the whole buffer."""
        self._reducer.sent_bytes += nbytes

    def start_mean(self, flat: Array, what: str) -> Future:
        """The mean of ``flat`` (n,) over the ranks, in place; a future of that array."""
        self.count_sent(flat.nbytes)
        label = f"bucket {self.index()}: {what}"
        work = self.comm.start_all_reduce(flat, scale=1.0 / self.comm.size, label=label)
        return Future(fetch=work.wait)


def fill(flat: Array, tensor: Any) -> None:
    """Copy a Tensor into a bucket's memory, if it does not lie there already."""
    found = tensor[0] if isinstance(tensor, (list, tuple)) and len(tensor) == 1 else tensor
    if not isinstance(found, Variable):
        raise DtypeError(f"a communication hook's future must hold a Tensor, found {type(found).__name__}")
    if found._a.size != flat.size:
        raise ShapeError(f"a communication hook returned {found._a.size} elements for a bucket of {flat.size}")
    if found._a.__array_interface__["data"] != flat.__array_interface__["data"] or found._a.dtype != flat.dtype:
        np.copyto(flat, found._a.reshape(-1), casting="same_kind")


class HookWork(Work):
    """A bucket in the hands of a hook."""

    def __init__(self, flat: Array, future: Future) -> None:
        self.result, self._future = flat, future

    def test(self) -> bool:
        return self._future.done()

    def wait(self) -> Array:
        fill(self.result, self._future.wait())
        return self.result


def run_hook(hook: Hook, state: Any, reducer: Reducer, bucket: Bucket) -> HookWork:
    """Give the bucket to the hook."""
    future = hook(state, GradBucket(reducer, bucket))
    if not isinstance(future, Future):
        raise DtypeError(f"a communication hook must return a futures.Future, found {type(future).__name__}")
    return HookWork(bucket.flat, future)


def lets_replicas_differ(state: Any) -> bool:
    """Whether a hook with this state has stopped to make the gradients equal on all ranks: post-local SGD after its start."""
    start = getattr(state, "start_localSGD_iter", None)
    return start is not None and getattr(state, "iter", 0) >= start
