"""All ranks or none: what one rank could not do is an error on every rank, with the same words.

Work is done on each rank for itself; then the ranks tell each other how it went; then all go on or all raise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from allgrad.comm import Communicator
from allgrad.errors import AllgradError, CheckpointError

T = TypeVar("T")


def exchange(comm: Communicator, message: Any, label: str) -> list[Any]:
    """Every rank's JSON ``message``, in rank order."""
    return [json.loads(raw) for raw in comm.all_gather_bytes(json.dumps(message).encode(), label=label)]


def words(error: BaseException) -> str:
    """An error in one line, as it is told to other ranks."""
    if isinstance(error, OSError) and error.strerror:
        place = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{place}"
    return str(error) if isinstance(error, AllgradError) else f"{type(error).__name__}: {error}"


def host_of(comm: Communicator, rank: int) -> str:
    """``rank 3 on node2``."""
    return f"rank {rank} on {comm.hosts[rank] if rank < len(comm.hosts) else comm.host}"


def judge(
    comm: Communicator, complaints: list[str], what: str, kept: str, mine: BaseException | None = None,
    kind: type[CheckpointError] = CheckpointError,
) -> None:  # fmt: skip
    """Raise the same error on every rank if any has a complaint; ``mine`` is its cause where this rank has one."""
    found = [f"{host_of(comm, r)}: {text}" for r, text in enumerate(complaints) if text]
    if found:
        shown = "; ".join(found[:4]) + (f"; and {len(found) - 4} more ranks" if len(found) > 4 else "")
        raise kind(f"{what}: {shown}. {kept}") from mine


def together(comm: Communicator, work: Callable[[], T], what: str, kept: str, label: str = "") -> T:
    """``work()`` on each rank; CheckpointError on all ranks if it raised on any.  ``kept``: what is still safe.

    ``label`` (else ``what``) is compared over the ranks: it must not hold what may differ, such as a path.
    """
    error: Exception | None = None
    result: Any = None
    try:
        result = work()
    except Exception as trouble:  # told to all and raised below
        error = trouble
    judge(comm, exchange(comm, "" if error is None else words(error), label or what), what, kept, error)
    return result


def from_first(comm: Communicator, work: Callable[[], Any], what: str, kept: str, label: str = "") -> Any:
    """``work()`` on rank 0, its JSON result on every rank; CheckpointError on all ranks if it raised."""
    error: Exception | None = None
    answer: Any = None
    if comm.rank == 0:
        try:
            answer = [work()]
        except Exception as trouble:  # told to all and raised below
            error, answer = trouble, words(trouble)
    answer = json.loads(comm.broadcast_bytes(json.dumps(answer).encode() if comm.rank == 0 else None, 0, label or what))
    if isinstance(answer, str):
        judge(comm, [answer], what, kept, error)
    return answer[0]
