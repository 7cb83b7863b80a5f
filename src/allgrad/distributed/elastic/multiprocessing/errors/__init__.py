"""``record``: PyTorch programs decorate their main function with it, so that a failing rank's traceback is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["record"]


def record(fn: Function, error_handler: Any = None) -> Function:
    """``fn`` itself: every launch path of allgrad keeps and prints the first failing rank's traceback."""
    return fn
