"""``Tensor.untyped_storage()``: the memory below a Tensor, which its views share."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable


class UntypedStorage:
    """The bytes of the array that owns the memory; two Tensors share it if ``data_ptr()`` is the same."""

    def __init__(self, array: Any) -> None:
        while isinstance(array.base, np.ndarray):
            array = array.base
        self._owner = array

    def data_ptr(self) -> int:
        """Address of the first byte."""
        return int(self._owner.__array_interface__["data"][0])

    def nbytes(self) -> int:
        """Size in bytes."""
        return int(self._owner.nbytes)

    size = __len__ = nbytes

    def element_size(self) -> int:
        """1: bytes."""
        return 1

    def tolist(self) -> list[int]:
        """All bytes."""
        return list(self._owner.tobytes())

    def __repr__(self) -> str:
        return f"[allgrad.UntypedStorage of size {self.nbytes()}]"


class TypedStorage(UntypedStorage):
    """The same memory counted in elements of the Tensor's dtype."""

    def __init__(self, array: Any) -> None:
        super().__init__(array)
        self._kind = array.dtype

    def element_size(self) -> int:
        """Bytes of an element."""
        return int(self._kind.itemsize)

    def size(self) -> int:
        """Number of elements."""
        return self.nbytes() // self.element_size()

    __len__ = size

    def tolist(self) -> list[Any]:
        """All elements, in the order of memory."""
        return np.frombuffer(self._owner.tobytes(), self._kind).tolist()

    def untyped(self) -> UntypedStorage:
        """The bytes."""
        return UntypedStorage(self._owner)


class StorageMethods(Variable):
    """What lies below, and on which device it does not lie."""

    is_cpu = True
    is_xpu = is_xla = is_ipu = is_mtia = is_maia = is_vulkan = is_mkldnn = is_sparse_csr = False

    def untyped_storage(self) -> UntypedStorage:
        """The memory below, in bytes."""
        return UntypedStorage(self._a)

    def storage(self) -> TypedStorage:
        """The memory below, in elements."""
        return TypedStorage(self._a)

    def is_set_to(self, tensor: Any) -> bool:
        """Whether both are the same view of the same memory."""
        a, b = self._a.__array_interface__, tensor._a.__array_interface__
        return (
            a["data"][0] == b["data"][0] and self._a.shape == tensor._a.shape and self._a.strides == tensor._a.strides
        )
