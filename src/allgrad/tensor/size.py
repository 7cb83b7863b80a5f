"""``Size`` and ``device``: the small types that a Tensor answers with."""

from __future__ import annotations

from typing import Any

from allgrad.errors import ArgumentError
from allgrad.functions import shape_broadcast


class Size(tuple[int, ...]):
    """A shape: a tuple of ints with ``numel()``; prints as in PyTorch."""

    __slots__ = ()

    def numel(self) -> int:
        """The product of the lengths."""
        n = 1
        for i in self:
            n *= i
        return n

    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"


class device:
    """Where a tensor lives: always the CPU.  ``device("cuda")`` is an error that says so."""

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = str(type.type), type.index
        if isinstance(type, int):
            raise ArgumentError(f"device({type}) is an accelerator; allgrad runs on the CPU only: use device('cpu')")
        name, _, number = str(type).partition(":")
        if name not in ("cpu", "meta"):
            known = ("cuda", "mps", "xpu", "hip", "xla", "mtia", "hpu")
            what = "an accelerator" if name in known else "no device"
            raise ArgumentError(f"{type!r} is {what}; allgrad runs on the CPU only: use device('cpu')")
        self.type = name
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        return (
            f"device(type={self.type!r})" if self.index is None else f"device(type={self.type!r}, index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> Any:
        return device, (self.type, self.index)


CPU = device("cpu")


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes broadcast to."""
    return Size(shape_broadcast.broadcast_shapes(*shapes))
