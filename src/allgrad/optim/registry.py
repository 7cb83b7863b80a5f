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
