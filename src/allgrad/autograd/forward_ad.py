"""``autograd.forward_ad``: names for a forward mode that is not there, so that a program learns why it stops."""

from __future__ import annotations

from typing import Any, NoReturn

from allgrad.errors import UnsupportedError

__all__ = ["dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]


def _unsupported(*args: Any, **kwargs: Any) -> NoReturn:
    raise UnsupportedError(
        "allgrad has no forward-mode AD; func.jvp, func.jacfwd and func.linearize give the same numbers by backward passes"
    )


dual_level = enter_dual_level = exit_dual_level = make_dual = unpack_dual = _unsupported
