"""Constructors of older PyTorch programs, and methods that make Tensors like another."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.absent import on_cpu
from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import bool_ as bool_dtype
from allgrad.dtypes import dtype as Dtype
from allgrad.dtypes import float16, float32, float64, int8, int16, int32, int64, uint8
from allgrad.errors import ArgumentError, UnsupportedError
from allgrad.functions.creation import finish, shape_of, tensor
from allgrad.tensor.size import Size


class LegacyMethods(Variable):
    """``new_*``, and questions that have one answer on a CPU."""

    def _kind(self, dtype: Any) -> Any:
        return self._a.dtype if dtype is None else dtype.np

    def new_zeros(
        self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any
    ) -> Any:
        """Zeros of shape ``size`` in the dtype of this Tensor."""
        on_cpu(device)
        return finish(np.zeros(shape_of(size), self._kind(dtype)), requires_grad)

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any) -> Any:
        """Ones of shape ``size`` in the dtype of this Tensor."""
        on_cpu(device)
        return finish(np.ones(shape_of(size), self._kind(dtype)), requires_grad)

    def new_empty(
        self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any
    ) -> Any:
        """Memory of shape ``size`` in the dtype of this Tensor."""
        on_cpu(device)
        return finish(np.empty(shape_of(size), self._kind(dtype)), requires_grad)

    def new_full(
        self, size: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Any:
        """``fill_value`` in shape ``size`` and the dtype of this Tensor."""
        on_cpu(device)
        return finish(np.full(shape_of((size,)), fill_value, self._kind(dtype)), requires_grad)

    def new_tensor(self, data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
        """A new leaf with a copy of ``data`` in the dtype of this Tensor."""
        on_cpu(device)
        made = tensor(data)
        return finish(made._a.astype(self._kind(dtype)), requires_grad)

    def new(self, *data: Any) -> Any:
        """The old ``new_empty`` and ``new_tensor`` in one."""
        if len(data) == 1 and not isinstance(data[0], (int, Size)):
            return self.new_tensor(data[0])
        return self.new_zeros(*data) if data else self.new_zeros(0)

    def pin_memory(self, device: Any = None) -> Any:
        """Itself: no device copies from it."""
        on_cpu(device)
        return self

    def is_pinned(self, device: Any = None) -> bool:
        """False."""
        on_cpu(device)
        return False

    def share_memory_(self) -> Any:
        """Itself: ranks share through the communicator."""
        return self

    def is_shared(self) -> bool:
        """False."""
        return False

    def is_nonzero(self) -> bool:
        """Whether the only element is not zero."""
        return bool(self)

    def is_same_size(self, other: Any) -> bool:
        """Whether the shapes are equal."""
        return self._a.shape == other._a.shape

    def to_dense(self, *args: Any, **kwargs: Any) -> Any:
        """Itself: every Tensor is dense."""
        return self

    def to_sparse(self, *args: Any, **kwargs: Any) -> Any:
        """An error: there are no sparse Tensors."""
        raise UnsupportedError("sparse tensors are not in allgrad; stay dense, or use index_add for a few rows")

    @property
    def real(self) -> Any:
        """Itself: there are no complex dtypes."""
        return self

    @property
    def volatile(self) -> bool:
        """False; the flag means nothing since PyTorch 0.4, as in PyTorch."""
        return False

    @property
    def name(self) -> None:
        """None."""
        return None

    def apply_(self, callable: Any) -> Any:
        """Replace each element by ``callable(element)``."""
        flat = [callable(v) for v in self._a.reshape(-1).tolist()]
        self._a[...] = np.array(flat, self._a.dtype).reshape(self._a.shape)
        self._cell[0] += 1
        return self

    def map_(self, tensor: Any, callable: Any) -> Any:
        """Replace each element by ``callable(element, element of tensor)``."""
        other = np.broadcast_to(tensor._a, self._a.shape).reshape(-1).tolist()
        flat = [callable(a, b) for a, b in zip(self._a.reshape(-1).tolist(), other)]
        self._a[...] = np.array(flat, self._a.dtype).reshape(self._a.shape)
        self._cell[0] += 1
        return self


class _TypedMeta(type):
    """``isinstance(x, FloatTensor)`` asks for the dtype."""

    kind: Dtype

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Variable) and x._a.dtype == cls.kind.np


class _Typed(metaclass=_TypedMeta):
    """An old constructor for one dtype: of a shape (zeros) or of values."""

    kind = float32

    def __new__(cls, *data: Any, **settings: Any) -> Any:
        kind = cls.kind.np
        if len(data) == 1 and not isinstance(data[0], (int, Size)):
            source = data[0]
            return wrap(np.array(source._a if isinstance(source, Variable) else tensor(source)._a, dtype=kind))
        if any(not isinstance(n, int) for n in data) and not isinstance(data[0], Size):
            raise ArgumentError(f"{cls.__name__}{data}: give a shape, or one sequence of values")
        return wrap(np.zeros(shape_of(data) if data else (0,), kind))


class FloatTensor(_Typed):
    """float32."""

    kind = float32


class DoubleTensor(_Typed):
    """float64."""

    kind = float64


class HalfTensor(_Typed):
    """float16."""

    kind = float16


class LongTensor(_Typed):
    """int64."""

    kind = int64


class IntTensor(_Typed):
    """int32."""

    kind = int32


class ShortTensor(_Typed):
    """int16."""

    kind = int16


class CharTensor(_Typed):
    """int8."""

    kind = int8


class ByteTensor(_Typed):
    """uint8."""

    kind = uint8


class BoolTensor(_Typed):
    """bool."""

    kind = bool_dtype
