"""Which parameter lies where: small ones share flat buffers, large ones are cut into pieces.

Parameters never move: users hold views of them.  A batch of small parameters is gathered into scratch memory, updated
by one pass, and written back; its moments live in one flat buffer for good, and ``state[p]`` shows views of it.  A large
parameter is updated where it lies, piece by piece (``passes.LONG``).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import float64, get_default_dtype
from allgrad.errors import ShapeError

Array = np.ndarray[Any, Any]
Names = tuple[str, ...]

SMALL = 16 * 1024  # elements; a parameter below this shares a batch
BLOCK = (
    32 * 1024
)  # elements of a shared batch: five float32 rows of a step are 640 KiB and fit a second-level cache of 1 MiB


class Slot:
    """One parameter: its array as last seen, and its place in the buffers of its batch."""

    __slots__ = ("array", "entry", "homes", "names", "param", "place", "start", "stop")

    def __init__(self, param: Any, place: int, start: int) -> None:
        self.param = param
        self.array: Array = param._a
        self.place = place
        self.start = start
        self.stop = start + self.array.size
        self.entry: dict[str, Any] | None = None  # state[param] as last seen
        self.names: Names = ()
        self.homes: list[Array] = []  # where the value of each name must lie

    def follow(self) -> bool:
        """The parameter has another array: whether that can take the place of the old one, as it then does."""
        old, new = self.array, self.param._a
        self.array = new
        return new.shape == old.shape and new.dtype == old.dtype and new.flags.c_contiguous == old.flags.c_contiguous

    def detached(self, entry: dict[str, Any] | None) -> bool:
        """Whether the state of the parameter is not what lies in the buffers."""
        if entry is None or entry is not self.entry:
            return True
        try:
            arrays = [entry[name]._a for name in self.names]
        except (KeyError, AttributeError):  # dropped, or replaced by a plain number
            return True
        return not all(map(is_, arrays, self.homes))


class Batch:
    """Parameters of one dtype that are updated by one pass, and their state.

    ``scalars`` is (1 + names, slots): row 0 tells whether a slot has been updated before, the others are the per
    parameter numbers of the state, such as ``step``.  ``moments[name]`` is (elements,).
    """

    def __init__(self, params: Sequence[Any], *, in_place: bool) -> None:
        self.slots: list[Slot] = []
        self.size = 0
        for place, p in enumerate(params):
            self.slots.append(Slot(p, place, self.size))
            self.size = self.slots[-1].stop
        self.dtype: np.dtype[Any] = params[0]._a.dtype
        self.in_place = in_place
        self.moments: dict[str, Array] = {}
        self.scalars: Array = np.zeros((1, len(self.slots)), np.float32)

    def attach(
        self, slot: Slot, entry: dict[str, Any], scalars: Names, moments: Names, first: dict[str, float]
    ) -> None:
        """Let the values of ``entry`` lie in the buffers; what it holds is kept, what is missing starts as in ``first``."""
        if len(self.scalars) != 1 + len(scalars):
            kind = np.float64 if get_default_dtype() is float64 else np.float32
            self.scalars = np.zeros((1 + len(scalars), len(self.slots)), kind)
        homes = [self.scalars[row, slot.place, ...] for row in range(1, len(self.scalars))]
        for name in moments:
            if name not in self.moments:
                self.moments[name] = np.zeros(self.size, self.dtype)
            homes.append(self.moments[name][slot.start : slot.stop].reshape(slot.array.shape))
        names = (*scalars, *moments)
        fresh = [_take_over(entry, name, home, first.get(name, 0.0)) for name, home in zip(names, homes)]
        self.scalars[0, slot.place] = not any(fresh)
        slot.entry, slot.names, slot.homes = entry, names, homes


def _take_over(entry: dict[str, Any], name: str, home: Array, first: float) -> bool:
    """Move the value of ``entry[name]`` to ``home``; True if there was none."""
    value = entry.get(name)
    if value is None:
        home[...] = first
        entry[name] = wrap(home)
        return True
    if not isinstance(value, Variable):
        home[...] = value
        entry[name] = wrap(home)
    elif value._a is not home:
        if value._a.shape != home.shape and not (home.ndim == 0 and value._a.size == 1):
            raise ShapeError(
                f"optimizer state {name!r} has shape {list(value._a.shape)}, but its parameter has {list(home.shape)}; "
                "load the state of the same model"
            )
        np.copyto(home, value._a.reshape(home.shape), casting="unsafe")
        value._a = home
    return False


def lay_out(params: Sequence[Any], *, share: bool, apart: set[int]) -> list[Batch]:
    """Cut the parameters of a group into batches; each is alone in its batch unless ``share``.

    Small parameters of one dtype share batches of at most ``BLOCK`` elements, except those listed in ``apart``.
    """
    batches: list[Batch] = []
    open_: dict[Any, list[Any]] = {}
    filled: dict[Any, int] = {}

    def close(dtype: Any) -> None:
        found = open_.pop(dtype, None)
        if found:
            batches.append(Batch(found, in_place=len(found) == 1 and found[0]._a.flags.c_contiguous))

    for i, p in enumerate(params):
        a = p._a
        if not share or a.size >= SMALL or i in apart:
            batches.append(Batch([p], in_place=a.flags.c_contiguous))
            continue
        if filled.get(a.dtype, 0) + a.size > BLOCK:
            close(a.dtype)
        if a.dtype not in open_:
            open_[a.dtype], filled[a.dtype] = [], 0
        open_[a.dtype].append(p)
        filled[a.dtype] += a.size
    for dtype in list(open_):
        close(dtype)
    return batches


def overlapping(params: Sequence[Any]) -> set[int]:
    """Indices of parameters whose memory overlaps that of another: in one batch the last written back would win."""
    spans = sorted((*byte_bounds(p._a), i) for i, p in enumerate(params) if p._a.size)
    found: set[int] = set()
    end, last = 0, -1
    for low, high, i in spans:
        if low < end:
            found |= {i, last}
        if high > end:
            end, last = high, i
    return found
