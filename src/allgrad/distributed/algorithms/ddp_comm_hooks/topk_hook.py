"""Only the largest gradients travel; what was left out is added to the next step's (error feedback).

Stich, Cordonnier, Jaggi: Sparsified SGD with memory, 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.distributed.hooks import GradBucket
from allgrad.errors import ArgumentError
from allgrad.futures import Future

Array = np.ndarray[Any, Any]


class TopKState:
    """``fraction`` of each bucket is sent; ``memory`` holds, per bucket, what this rank still owes."""

    def __init__(self, fraction: float = 0.01) -> None:
        if not 0 < fraction <= 1:
            raise ArgumentError(f"fraction must lie in (0, 1], found {fraction}")
        self.fraction = fraction
        self.memory: dict[int, Array] = {}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of this rank needs."""
        return {"fraction": self.fraction, "memory": {str(k): wrap(v.copy()) for k, v in self.memory.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken."""
        self.fraction = state["fraction"]
        self.memory = {int(k): v._a.copy() for k, v in state["memory"].items()}


def topk_hook(state: TopKState, bucket: GradBucket) -> Future:
    """The mean over the ranks of each rank's largest entries, 8 bytes each in float32."""
    flat = bucket.buffer()._a
    owed = state.memory.get(bucket.index())
    whole = flat.copy() if owed is None or owed.size != flat.size else flat + owed
    count = max(1, int(np.ceil(state.fraction * flat.size)))
    places = np.sort(np.argpartition(np.abs(whole), flat.size - count)[flat.size - count :]).astype(np.int64)
    if flat.size < 2**31:
        places = places.astype(np.int32)
    values = whole[places]
    bucket.count_sent(places.nbytes + values.nbytes)
    label = f"bucket {bucket.index()}: largest entries"
    all_places, all_values = bucket.comm.all_gather(places, label), bucket.comm.all_gather(values, label)
    whole[places] = 0
    state.memory[bucket.index()] = whole
    mean = np.zeros_like(flat)
    for where, what in zip(all_places, all_values):  # in rank order: the same bits everywhere
        mean[where] += what
    mean /= bucket.comm.size
    done = Future()
    done.set_result(wrap(mean))
    return done
