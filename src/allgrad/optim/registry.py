"""Which optimizers hold a parameter?  Every optimizer is known here, weakly, from its construction to its end.

What keeps replicas equal asks: the optimizer's state belongs to the replica, but only the optimizer knows its parameters,
not the other way round.  Parameters belong to one rank, so virtual ranks in one process do not see each other's.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allgrad.optim.optimizer import Optimizer

_lock = threading.Lock()
_made: list[weakref.ref[Any]] = []  # in the order of construction, which is the same on every rank


def register(optimizer: Optimizer) -> None:
    """Know ``optimizer`` for as long as it lives; a second call does nothing."""
    with _lock:
        _made[:] = [ref for ref in _made if ref() is not None]
        if not any(ref() is optimizer for ref in _made):
            _made.append(weakref.ref(optimizer))


def optimizers_of(params: Iterable[Any]) -> list[Optimizer]:
    """The living optimizers that hold at least one of ``params``, in the order in which they were made.

    One that is the ``optim`` of another in the list (a share of a sharded optimizer) is not named beside it.
    """
    wanted = {id(p) for p in params}
    with _lock:
        living = [optimizer for ref in _made if (optimizer := ref()) is not None]
    found = [o for o in living if any(id(p) in wanted for group in o.param_groups for p in group["params"])]
    inner = {id(getattr(o, "optim", None)) for o in found}
    return [o for o in found if id(o) not in inner]


_following: list[
    tuple[weakref.ref[Any], int]
] = []  # schedules and loss scalers in order of construction, and their threads


def register_follower(follower: Any) -> None:
    """Know what goes on with an optimizer's steps, for as long as it lives: a schedule, or a loss scaler."""
    with _lock:
        _following[:] = [(ref, thread) for ref, thread in _following if ref() is not None]
        _following.append((weakref.ref(follower), threading.get_ident()))


def followers_of(optimizers: Iterable[Any]) -> list[Any]:
    """The living schedules of ``optimizers``, and this rank's loss scalers: they do not know their optimizers."""
    wanted = {id(o) for o in optimizers}
    with _lock:
        living = [(follower, thread) for ref, thread in _following if (follower := ref()) is not None]
    here = threading.get_ident()  # a virtual rank is a thread
    return [f for f, thread in living if (id(f.optimizer) in wanted if hasattr(f, "optimizer") else thread == here)]
