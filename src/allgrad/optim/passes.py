"""Passes: how the parameters of a batch that go the same way are brought to the kernel and back.

A run is a row of neighbouring slots whose per parameter numbers (``step``) are equal.  It has one piece if it is
gathered into scratch memory, and one per block if its parameter is updated where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from allgrad.optim.layout import BLOCK, Batch, Slot

Array = np.ndarray[Any, Any]

LONG = 1 << 18
"""Elements of one piece of a parameter that is updated where it lies.

Long runs through memory let the processor fetch ahead, which is worth more than a second-level cache that holds all of a
piece: against 32 Ki elements, 128 Ki took 0.91 of Adam's time and 0.86 of SGD's, 256 Ki 0.86 and 0.77; more gains nothing.
"""


class Piece(NamedTuple):
    """Flat arrays of equal length that one call of a kernel works on, all of the computing dtype."""

    values: Array
    grads: Array  # scratch: where a gradient may be changed
    moments: tuple[Array, ...]
    temporaries: tuple[Array, ...]
    stored: tuple[tuple[Array, Array], ...]  # (memory, scratch) pairs to load before and store after the kernel
    span: slice  # which elements of the run these are


class Scratch:
    """Memory for one pass, used again by the next: rows of equal length per dtype."""

    def __init__(self) -> None:
        self.block = LONG
        self.rows: dict[Any, list[Array]] = {}
        self.numbers: dict[Any, tuple[Array, list[Array]]] = {}

    def take(self, dtype: Any, count: int, length: int) -> list[Array]:
        """``count`` arrays of ``length`` elements; their content is anything."""
        rows = self.rows.setdefault(dtype, [])
        for i in range(count):
            if i == len(rows):
                rows.append(np.empty(max(length, min(BLOCK, 1024)), dtype))
            elif rows[i].size < length:
                rows[i] = np.empty(length, dtype)
        return [row[:length] for row in rows[:count]]

    def constants(self, dtype: Any, values: tuple[float, ...]) -> list[Array]:
        """The numbers as 0-d arrays of ``dtype``, which ufuncs take faster than Python floats."""
        found = self.numbers.get(dtype)
        if found is None or found[0].size < len(values):
            flat = np.zeros(max(16, len(values)), dtype)
            found = self.numbers[dtype] = flat, [flat[i, ...] for i in range(flat.size)]
        found[0][: len(values)] = values
        return found[1]


def computing(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which a kernel works: half precision is widened, as in PyTorch's fused optimizers."""
    return np.dtype(np.float32) if dtype.itemsize < 4 else dtype


class Run:
    """Slots ``first`` to ``last`` of a batch, updated by one pass."""

    def __init__(
        self, batch: Batch, slots: list[Slot], names: tuple[str, ...], temporaries: int, scratch: Scratch
    ) -> None:
        self.batch = batch
        self.slots = slots
        self.params = [s.param for s in slots]
        self.dtype = computing(batch.dtype)
        self.in_place = batch.in_place
        self.scalars = batch.scalars[:, slots[0].place : slots[-1].place + 1]
        self.rows = list(self.scalars[1:])
        self.first = not self.scalars[0, 0]
        self.seen = self.scalars.tobytes()  # as the last step left them
        self.entries: list[Any] = [s.entry for s in slots]
        self.names = slots[0].names
        self.homes = [home for s in slots for home in s.homes]
        self.start, self.stop = slots[0].start, slots[-1].stop
        self.pieces = list(self._cut(names, temporaries, scratch))
        # Flat views of the parameters, and (parameter, where its values lie in the scratch memory).
        self.flats: list[Array] | None = None
        self.pairs: list[tuple[Array, Array]] = []
        self.grads: list[Array] = []  # where the gradient of each goes in the scratch memory
        if self.pieces and not self.in_place:
            values, grads = self.pieces[0].values, self.pieces[0].grads
            if all([s.array.flags.c_contiguous for s in slots]):
                self.flats = [s.array.reshape(-1) for s in slots]
            for s in slots:
                span = slice(s.start - self.start, s.stop - self.start)
                self.pairs.append((s.array, values[span].reshape(s.array.shape)))
                self.grads.append(grads[span].reshape(s.array.shape))

    def _cut(self, names: tuple[str, ...], temporaries: int, scratch: Scratch) -> Iterator[Piece]:
        flat = [self.batch.moments[name][self.start : self.stop] for name in names]
        total = self.stop - self.start
        home = self.slots[0].array.reshape(-1) if self.in_place else None
        widened = self.dtype != self.batch.dtype
        block = scratch.block if self.in_place else max(total, 1)
        for i in range(0, total, block):
            span = slice(i, min(i + block, total))
            n = span.stop - i
            count = temporaries + 2 + (len(flat) if widened else 0)
            rows = scratch.take(self.dtype, count, n)
            values, grads, *rest = rows
            moments = [m[span] for m in flat]
            stored: list[tuple[Array, Array]] = []
            if home is not None:
                if widened:
                    stored.append((home[span], values))
                else:
                    values = home[span]
            if widened:
                wide = rest[temporaries:]
                stored.extend(zip(moments, wide))
                moments = wide
            yield Piece(values, grads, tuple(moments), tuple(rest[:temporaries]), tuple(stored), span)

    def gather(self) -> None:
        """Bring the values of all slots into the scratch memory of the one piece."""
        flats = self.flats or [s.array.ravel() for s in self.slots]
        np.concatenate(flats, out=self.pieces[0].values, casting="unsafe")

    def gather_grads(self) -> Array:
        """Bring all gradients there too."""
        for p, memory in zip(self.params, self.grads):
            memory[...] = p._grad._a
        return self.pieces[0].grads

    def scatter(self) -> None:
        """Write the values back to where the parameters lie, if they were gathered."""
        for array, values in self.pairs:
            array[...] = values

    def stepped(self) -> None:
        """The scalars have been moved on by the step itself."""
        if self.first:
            self.scalars[0], self.first = 1, False
        self.seen = self.scalars.tobytes()

    def touched(self, state: dict[Any, dict[str, Any]]) -> bool:
        """Whether someone else wrote to the scalars since the last step, or replaced a value of the state."""
        if self.scalars.tobytes() != self.seen or not all(map(is_, map(state.get, self.params), self.entries)):
            return True
        try:
            arrays = [entry[name]._a for entry in self.entries for name in self.names]
        except (KeyError, AttributeError):  # dropped, or replaced by a plain number
            return True
        return not all(map(is_, arrays, self.homes))
