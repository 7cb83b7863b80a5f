"""What the data plane hands out: memory it owns, and handles of work under way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.errors import ArgumentError

Array = np.ndarray[Any, Any]


class Work(ABC):
    """A communication under way.  ``result`` may be read after ``wait()`` returned or ``test()`` said True."""

    result: Array

    @abstractmethod
    def test(self) -> bool:
        """Push the communication on as far as it goes without waiting; True once it is done."""

    @abstractmethod
    def wait(self) -> Array:
        """Wait until it is done and return ``result``."""


class DoneWork(Work):
    """Work that was done when it was started."""

    def __init__(self, result: Array) -> None:
        self.result = result

    def test(self) -> bool:
        return True

    def wait(self) -> Array:
        return self.result


class Buffer:
    """Memory of a communicator: ``nbytes`` of this rank, zero at first, aligned to 64 bytes.

    ``shared`` says whether the other ranks of the node can see it.  Arrays made from it die with ``free()``.
    """

    def __init__(
        self, memory: Array, *, shared: bool = False, release: Callable[[], None] | None = None,
        unseen: Callable[[], bool] | None = None,
    ) -> None:  # fmt: skip
        self._memory: Array | None = memory  # (nbytes,) uint8
        self._release, self._unseen = release, unseen
        self.nbytes = memory.size
        self.shared = shared
        self.address = memory.ctypes.data if memory.size else 0

    def array(self, dtype: Any, start: int = 0, count: int | None = None) -> Array:
        """The memory as a flat array: ``count`` elements of ``dtype`` from byte ``start``."""
        if self._memory is None:
            raise ArgumentError("the buffer was freed; allocate a new one")
        kind = np.dtype(dtype)
        if count is None:
            count = (self.nbytes - start) // kind.itemsize
        stop = start + count * kind.itemsize
        if start < 0 or count < 0 or stop > self.nbytes or start % kind.itemsize:
            raise ArgumentError(
                f"{count} elements of {kind} from byte {start} do not lie in a buffer of {self.nbytes} bytes "
                f"on a border of {kind.itemsize} bytes"
            )
        return self._memory[start:stop].view(kind)

    def unseen(self) -> bool:
        """Give up this object's own arrays of the memory; whether this process holds no other, so that ``free`` is safe."""
        self._memory = None
        return self._unseen is None or self._unseen()

    def free(self) -> None:
        """Give the memory back; a collective call where the memory is shared.  A second call does nothing."""
        self._memory = None
        release, self._release = self._release, None
        if release is not None:
            release()


def plain_buffer(nbytes: int) -> Buffer:
    """A buffer in ordinary memory of this process, aligned to 64 bytes."""
    raw = np.zeros(nbytes + 64, np.uint8)
    skip = -raw.ctypes.data % 64
    return Buffer(raw[skip : skip + nbytes])
