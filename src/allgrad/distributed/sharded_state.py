"""The state of an elementwise optimizer, cut into pieces of parameters and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap

Array = np.ndarray[Any, Any]


def array_of(value: Any) -> Array:
    """A state entry as an array."""
    return value._a if isinstance(value, Variable) else np.asarray(value)


def pack(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of one piece as arrays, to be sent."""
    return {name: array_of(value) for name, value in entry.items()}


def part_of(entry: Mapping[str, Any], start: int, stop: int, moments: Sequence[str]) -> dict[str, Any]:
    """The state of elements ``start`` to ``stop``; entries not in ``moments`` are one number for the whole parameter."""
    return {
        name: wrap(array_of(value).reshape(-1)[start:stop].copy()) if name in moments else wrap(array_of(value).copy())
        for name, value in entry.items()
    }


def merged(
    pieces: Sequence[Sequence[Any]], shapes: Mapping[int, tuple[int, ...]], moments: Mapping[int, Sequence[str]]
) -> dict[int, dict[str, Any]]:
    """Pieces ``[parameter, start, stop, entries]`` of all ranks -> the whole state by parameter, in order."""
    found: dict[int, dict[str, Array]] = {}
    for number, start, stop, entries in pieces:
        whole = found.setdefault(number, {})
        for name, value in entries.items():
            array = np.asarray(value)
            if name not in moments[number]:
                whole.setdefault(name, np.array(array))
                continue
            if name not in whole:
                whole[name] = np.zeros(shapes[number], array.dtype)
            whole[name].reshape(-1)[start:stop] = array
    return {i: {name: wrap(array) for name, array in found[i].items()} for i in sorted(found)}
