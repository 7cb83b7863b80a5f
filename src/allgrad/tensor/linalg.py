"""Methods that multiply and factor matrices."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable
from allgrad.functions import matmul as m


class LinalgMethods(Variable):
    """``a @ b`` and its kin."""

    def __matmul__(self, other: Any) -> Any:
        return m.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return m.matmul(other, self)

    matmul = m.matmul
    mm = m.mm
    bmm = m.bmm
    mv = m.mv
    dot = m.dot
    vdot = m.vdot
