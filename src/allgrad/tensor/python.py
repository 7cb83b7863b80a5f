"""A Tensor where Python expects a number, a sequence or a truth value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from allgrad.autograd.record import Variable
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions.promote import to as cast_to


class PythonMethods(Variable):
    """``float(x)``, ``bool(x)``, ``len(x)``, ``for row in x``, ``3 in x``."""

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self._a.size != 1:
            raise ShapeError(f"a Tensor with {self._a.size} elements cannot be converted to Scalar")
        found = self._a.item()
        return found if isinstance(found, (bool, int, float)) else float(found)

    def type_as(self, other: Any) -> Any:
        """In the dtype of ``other``."""
        return cast_to(self, other.dtype)

    def cpu(self, memory_format: Any = None) -> Any:
        """Itself."""
        return self

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self._a.size != 1:
            what = "no values" if self._a.size == 0 else "more than one value"
            raise ShapeError(f"Boolean value of Tensor with {what} is ambiguous")
        return bool(self._a.item())

    def __index__(self) -> int:
        if self._a.dtype.kind not in "iub" or self._a.size != 1:
            raise DtypeError("only integer tensors of a single element can be converted to an index")
        return int(self._a.item())

    def __len__(self) -> int:
        if self._a.ndim == 0:
            raise DtypeError("len() of a 0-d tensor")
        return self._a.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if self._a.ndim == 0:
            raise DtypeError("iteration over a 0-d tensor")
        return iter([self[i] for i in range(self._a.shape[0])])  # type: ignore[index]

    def __contains__(self, element: Any) -> bool:
        return bool((self._a == (element._a if isinstance(element, Variable) else element)).any())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self._a.ndim == 0 and spec else str(self)
