"""Indexing: ``x[key]``, ``x[key] = value``."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable
from allgrad.functions import index as f


class IndexMethods(Variable):
    """Methods that pick elements by position."""

    def __getitem__(self, key: Any) -> Any:
        return f.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        f.setitem(self, key, value)
