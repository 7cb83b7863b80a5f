"""Communication hooks: the user's own way of making one bucket of gradients the same on all ranks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.comm import Communicator, Work
from allgrad.errors import DistributedError, DtypeError, MismatchError, RankFailedError, ShapeError
from allgrad.futures import Future

if TYPE_CHECKING:
    from allgrad.distributed.reducer import Bucket, Reducer

Array = np.ndarray[Any, Any]
Hook = Callable[[Any, "GradBucket"], Future]
FAILED = "the hook raised "  # begins the text of the call by which a rank says so


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
        try:
            fill(self.result, self._future.wait())
        except MismatchError as error:
            raise failed_elsewhere(error) from error
        return self.result


def run_hook(hook: Hook, state: Any, reducer: Reducer, bucket: Bucket) -> HookWork:
    """Give the bucket to the hook.  If it raises here, the other ranks get a RankFailedError."""
    try:
        future = hook(state, GradBucket(reducer, bucket))
        if not isinstance(future, Future):
            raise DtypeError(f"a communication hook must return a futures.Future, found {type(future).__name__}")
    except MismatchError as error:
        raise failed_elsewhere(error) from error
    except DistributedError:
        raise
    except Exception as error:
        reducer.lost = True
        _tell(reducer.comm, f"{FAILED}{type(error).__name__}: {error}")
        raise
    return HookWork(bucket.flat, future)


def _tell(comm: Communicator, text: str) -> None:
    """Meet the others' next call with a call of another text: what they wait for will not come, and they see why."""
    with contextlib.suppress(MismatchError):  # expected here too: this rank raises what its hook raised
        comm.start_all_reduce(np.zeros(1), label=text).wait()


def failed_elsewhere(error: MismatchError) -> DistributedError:
    """RankFailedError if the ranks disagree because a hook raised on one of them; else ``error`` itself."""
    if FAILED not in str(error):
        return error
    return RankFailedError(
        f"a communication hook raised on another rank, so the gradients of this step are lost: {error} Load the last "
        "checkpoint: hooks may have changed their states"
    )


def lets_replicas_differ(state: Any) -> bool:
    """Whether a hook with this state has stopped to make the gradients equal on all ranks: post-local SGD after its start."""
    start = getattr(state, "start_localSGD_iter", None)
    return start is not None and getattr(state, "iter", 0) >= start
