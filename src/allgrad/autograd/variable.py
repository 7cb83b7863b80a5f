"""``autograd.Variable``: the name that Tensors had before PyTorch 0.4; programs still call it."""

from __future__ import annotations

import warnings
from typing import Any

from allgrad.autograd import record
from allgrad.errors import DtypeError


class VariableMeta(type):
    """Makes every Tensor an instance of ``Variable``."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, record.Variable)


class Variable(metaclass=VariableMeta):
    """``Variable(tensor, requires_grad)``: a leaf Tensor on the same memory."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: Any = None) -> Any:
        if not isinstance(data, record.Variable):
            raise DtypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if volatile is not None:
            warnings.warn(
                "volatile was removed and now has no effect. Use `with torch.no_grad():` instead.",
                UserWarning,
                stacklevel=2,
            )
        leaf: Any = record.wrap(data._a)
        leaf._cell = data._cell
        return leaf.requires_grad_(requires_grad)
