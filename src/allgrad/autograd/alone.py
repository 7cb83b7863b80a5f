"""Whether an array is known to one name only, so that it may be written to or kept without a copy.

A reference count is the only proof that needs no bookkeeping: saved values, the user's Tensors, hooks, other edges of
the walk and views all count.  What one holder amounts to depends on the interpreter, so it is measured at import,
by functions of the same form as those that ask.  Anything unforeseen (a debugger, say) raises a count: then a copy is
made, and nothing breaks.
"""

from __future__ import annotations

from sys import getrefcount
from typing import Any

import numpy as np


def _argument(held: Any) -> int:
    return getrefcount(held)


def _local() -> int:
    held = {0: [0]}.pop(0)
    return getrefcount(held)


def _in_dict(holders: dict[int, Any]) -> int:
    held = holders.get(0)
    return getrefcount(held)


def _base(view: Any) -> int:
    base = view.base
    return getrefcount(base)


ARGUMENT = _argument([0].copy())  # the count of an argument that the caller did not keep
LOCAL = _local()  # of what one local name holds
IN_DICT = _in_dict({0: [0].copy()})  # of what one dictionary holds, looked up into a local name
BASE = _base(np.empty(2)[:])  # of the memory under one view, looked up into a local name


def base_alone(view: Any) -> bool:
    """Whether nothing but the array ``view`` uses its memory, given that nothing else uses ``view``."""
    base = view.base
    return base is None or (type(base) is np.ndarray and base.base is None and getrefcount(base) == BASE)
