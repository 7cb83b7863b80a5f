"""One step, one verdict: all ranks use its gradients or none does.

Each rank writes one number into its own place of the ballot; the sum over the ranks shows them all.  0: fine;
k + 1: the gradient of parameter k is NaN or infinite here; ``FAILED``: backward raised here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.comm import Communicator
from allgrad.distributed.buckets import Span
from allgrad.errors import ArgumentError, DistributedError, NonFiniteError, RankFailedError

Array = np.ndarray[Any, Any]

FAILED = -1.0


def first_bad(flat: Array, spans: Sequence[Span]) -> int | None:
    """The lowest number of a parameter whose gradient in ``flat`` holds NaN or infinity.

    One sum shows whether there is any: it is read at the speed of memory, and needs no array of flags.
    """
    total = flat.sum(dtype=np.float32) if flat.dtype.itemsize == 2 else flat.sum()
    if np.isfinite(total):
        return None
    bad = [s.param for s in spans if not np.isfinite(flat[s.start : s.stop]).all()]
    return min(bad, default=None)


class Votes:
    """Counts ballots, and the steps in a row that were not finite; ``limit``: how many are too many, None: no vote."""

    def __init__(self, comm: Communicator, names: Sequence[str], limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise ArgumentError(f"nonfinite_limit must be at least 1, or None for no vote, found {limit}")
        self.comm, self.names, self.limit = comm, names, limit
        self.in_a_row = 0
        self.skipped = 0

    def count(self, ballot: Array, error: BaseException | None) -> tuple[DistributedError | None, bool]:
        """What to raise on every rank, if anything, and whether the gradients are to be used."""
        failed = [r for r in range(self.comm.size) if ballot[r] == FAILED]
        if failed:
            mine = "" if error is None else f"{type(error).__name__}: {error}"
            texts = self.comm.all_gather_bytes(json.dumps(mine).encode(), label="why backward failed")
            why = "; ".join(f"on rank {r}: {json.loads(texts[r])}" for r in failed)
            return RankFailedError(
                f"backward raised {why}. Rank {self.comm.rank} dropped the gradients of this step too; parameters and "
                "optimizer are as they were, and training can go on if every rank catches the error"
            ), False
        bad = [r for r in range(self.comm.size) if ballot[r] > 0]
        if not bad:
            self.in_a_row = 0
            return None, True
        self.in_a_row += 1
        self.skipped += 1
        rank = bad[0]
        where = (
            f"NaN or infinity in the gradient of {self.names[int(ballot[rank]) - 1]!r} on rank {rank}"
            + (f" (in all, on {len(bad)} of {self.comm.size} ranks)" if len(bad) > 1 else "")
        )  # fmt: skip
        if self.limit is not None and self.in_a_row >= self.limit:
            return NonFiniteError(
                f"{where}: {self.in_a_row} such steps in a row. Parameters and optimizer are as before the first of "
                "them. Lower the learning rate, clip gradients, or look at that rank's data; "
                "autograd.detect_anomaly() names the operation"
            ), False
        if self.comm.rank == 0:
            warnings.warn(f"{where}: all ranks skip this step, gradients are set to None", stacklevel=2)
        return None, False
