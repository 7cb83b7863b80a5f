"""Linear exchanges between ranks, each with its adjoint: what the differentiable collectives are made of.

Seen over all ranks an exchange is one matrix.  The gradient of the sum of all ranks' losses goes back through its
transpose, which is an exchange of the same family; so every order of derivative is here already.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from allgrad.comm import Communicator

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


class Exchange(ABC):
    """Arrays of this rank in, arrays of this rank out; all ranks of ``comm`` call it together."""

    comm: Communicator

    @abstractmethod
    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Do it; the inputs stay as they are."""

    @abstractmethod
    def adjoint(self) -> Exchange:
        """The exchange by which gradients come back."""

    def alike(self, arrays: Sequence[Array]) -> list[Any]:
        """What must be the same on every rank: how many arrays, shape, dtype."""
        return [len(arrays), list(arrays[0].shape), arrays[0].dtype.name]

    @property
    def label(self) -> str:
        """What a message about this call says."""
        return f"differentiable {type(self).__name__}"


def _flat(a: Array) -> Array:
    return np.ascontiguousarray(a).reshape(-1)


class _AllReduce(NamedTuple):
    comm: Communicator
    scale: float | None


class AllReduce(_AllReduce, Exchange):
    """``scale`` times the sum over the ranks, on every rank; its own adjoint."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        flat = np.array(arrays[0], order="C").reshape(-1)
        self.comm.all_reduce(flat, scale=self.scale, label=self.label)
        return [flat.reshape(arrays[0].shape)]

    def adjoint(self) -> Exchange:
        return self


class _Rooted(NamedTuple):
    comm: Communicator
    root: int
    scale: float | None = None


class Broadcast(_Rooted, Exchange):
    """``scale`` times what the root has, on every rank."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        flat = np.array(arrays[0], order="C").reshape(-1)
        self.comm.broadcast(flat, self.root, label=self.label)
        return [_times(flat, self.scale).reshape(arrays[0].shape)]

    def adjoint(self) -> Exchange:
        return Reduce(self.comm, self.root, self.scale)


class Reduce(_Rooted, Exchange):
    """``scale`` times the sum over the ranks on the root, zeros on the others."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        flat = np.array(arrays[0], order="C").reshape(-1)
        self.comm.reduce(flat, self.root, scale=self.scale, label=self.label)
        if self.comm.rank != self.root:
            flat.fill(0)
        return [flat.reshape(arrays[0].shape)]

    def adjoint(self) -> Exchange:
        return Broadcast(self.comm, self.root, self.scale)


class Gather(_Rooted, Exchange):
    """All ranks' arrays on the root, zeros on the others."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        a = arrays[0]
        rows = self.comm.gather(_flat(a), self.root, label=self.label)
        if rows is None:
            return [np.zeros_like(a) for _ in range(self.comm.size)]
        return [row.reshape(a.shape) for row in rows]

    def adjoint(self) -> Exchange:
        return Scatter(self.comm, self.root)


class Scatter(_Rooted, Exchange):
    """The root's r-th array on rank r; what the others give is not looked at."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        out = np.empty_like(arrays[0], order="C")
        whole = np.concatenate([a.reshape(-1) for a in arrays]) if self.comm.rank == self.root else None
        self.comm.scatter(whole, out.reshape(-1), self.root, label=self.label)
        return [out]

    def adjoint(self) -> Exchange:
        return Gather(self.comm, self.root)


class AllGather(_AllReduce, Exchange):
    """``scale`` times all ranks' arrays, on every rank."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        rows = _times(self.comm.all_gather(_flat(arrays[0]), label=self.label), self.scale)
        return [row.reshape(arrays[0].shape) for row in rows]

    def adjoint(self) -> Exchange:
        return ReduceScatter(self.comm, self.scale)


class ReduceScatter(_AllReduce, Exchange):
    """``scale`` times the sum of all ranks' r-th arrays, on rank r."""

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        whole = np.concatenate([a.reshape(-1) for a in arrays])
        return [self.comm.reduce_scatter(whole, scale=self.scale, label=self.label).reshape(arrays[0].shape)]

    def adjoint(self) -> Exchange:
        return AllGather(self.comm, self.scale)


class _AllToAll(NamedTuple):
    comm: Communicator
    given: tuple[Shape, ...]
    found: tuple[Shape, ...]


class AllToAll(_AllToAll, Exchange):
    """This rank's r-th array goes to rank r, the r-th result comes from there."""

    def alike(self, arrays: Sequence[Array]) -> list[Any]:
        return [arrays[0].dtype.name]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        counts = [int(np.prod(shape)) for shape in self.found]
        whole = np.concatenate([a.reshape(-1) for a in arrays])
        received = self.comm.all_to_all(whole, [a.size for a in arrays], counts, label=self.label)
        parts = np.split(received, np.cumsum(counts)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.found)]

    def adjoint(self) -> Exchange:
        return AllToAll(self.comm, self.found, self.given)


def _times(a: Array, scale: float | None) -> Array:
    if scale is None:
        return a
    return np.multiply(a, scale, dtype=np.float32 if a.dtype.itemsize == 2 else a.dtype).astype(a.dtype, copy=False)
