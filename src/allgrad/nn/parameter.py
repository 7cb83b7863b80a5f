"""Parameters and buffers: Tensors that a module knows by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable
from allgrad.errors import ShapeError
from allgrad.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a module lists among its parameters when it is set as an attribute; requires grad by default.

    Shares the memory of ``data``.
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        t = object.__new__(cls)
        t._a = (
            np.zeros((0,), np.float32) if data is None else data._a if isinstance(data, Variable) else np.asarray(data)
        )
        t._cell = [0]
        t.requires_grad_(requires_grad)
        return t

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        super().__init__()

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (type(self), self._a, self._rg)


def _rebuild(cls: type[Parameter], array: Any, requires_grad: bool) -> Parameter:
    return cls(array, requires_grad)


class Buffer(Tensor):
    """A Tensor that a module lists among its buffers when it is set as an attribute."""

    persistent: bool = True

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        t = object.__new__(cls)
        t._a = np.zeros((0,), np.float32) if data is None else data._a
        t._cell = [0]
        t.persistent = persistent
        return t

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        super().__init__()


class UninitializedParameter(Parameter):
    """A parameter whose shape is not known before the first forward."""

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return super().__new__(cls, None, requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give it memory of ``shape`` and make it an ordinary Parameter."""
        kind = self._a.dtype if dtype is None else dtype.np
        self._a = np.zeros(tuple(shape), kind)
        self.__class__ = Parameter  # type: ignore[assignment]

    @property
    def shape(self) -> Any:
        """An error: the shape is not known yet."""
        raise ShapeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "load_state_dict when trying to load an uninitialized parameter into an initialized one. "
            "Call forward with a batch first to initialize the shapes."
        )


def is_lazy(parameter: Any) -> bool:
    """Whether the shape of a parameter is not known yet."""
    return isinstance(parameter, UninitializedParameter)
