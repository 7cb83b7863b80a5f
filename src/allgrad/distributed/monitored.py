"""``monitored_barrier``: a barrier with a time limit, at which rank 0 says who is missing."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from allgrad.comm import Work
from allgrad.comm.agreement import name_ranks
from allgrad.distributed.group import entered, group_of, seconds
from allgrad.errors import CollectiveTimeoutError, MismatchError

_TAG = 32766  # beside the tags of the user's own messages
_NAP_S = 0.0005


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """Return when every rank has called it; CollectiveTimeoutError after ``timeout`` (timedelta or seconds).

    On rank 0 the error names the first rank that is missing, with ``wait_all_ranks`` all of them.  With a timeout it does not
    stand in for ranks that still train: after an uneven loop use ``barrier()`` first.  Without, it is a ``barrier()``, whose
    missing ranks the watchdog names when the time limit of the group is over.  All ranks give a timeout, or none does.
    """
    limit = seconds(timeout)
    if limit is None:
        entered(group, "monitored_barrier").comm.barrier("monitored_barrier")
        return
    comm = group_of(group).comm
    if comm.size == 1:
        return
    deadline = time.monotonic() + limit
    if comm.rank:
        comm.isend(np.zeros(1, np.uint8), 0, _TAG)
        if not _done(comm.irecv(np.zeros(1, np.uint8), 0, _TAG), deadline):
            raise CollectiveTimeoutError(
                f"Rank {comm.rank} reached monitoredBarrier, but rank 0 did not answer in {limit:g} s; its message names the "
                "missing ranks"
            )
        return
    arrivals = {r: comm.irecv(np.zeros(1, np.uint8), r, _TAG) for r in range(1, comm.size)}
    missing = []
    for rank, work in arrivals.items():
        if not _done(work, deadline):
            missing.append(rank)
            if not wait_all_ranks:
                break
    if missing:
        raise CollectiveTimeoutError(
            f"[Rank 0]: {name_ranks(missing).capitalize()} failed to pass monitoredBarrier in {limit * 1000:g} ms"
        )
    for answer in [comm.isend(np.zeros(1, np.uint8), r, _TAG) for r in arrivals]:
        answer.wait()


def _done(work: Work, deadline: float) -> bool:
    """Whether the message came in time."""
    try:
        while not work.test():
            if time.monotonic() > deadline:
                return False
            time.sleep(_NAP_S)
    except MismatchError:  # virtual ranks see at once that nobody will come
        return False
    return True
