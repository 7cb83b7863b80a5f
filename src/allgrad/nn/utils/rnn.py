"""Sequences of different lengths: packed without padding, padded, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.errors import ArgumentError, ShapeError
from allgrad.functions.joining import cat, stack


class PackedSequence(NamedTuple):
    """Sequences sorted by length, step by step without gaps: ``data`` (sum of lengths, ...), ``batch_sizes`` per step.

    ``sorted_indices`` and ``unsorted_indices`` lead from the given order to the sorted one and back; None if it was sorted.
    """

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """With ``data`` in another dtype."""
        return self._replace(data=self.data.to(*args, **kwargs))

    def cpu(self) -> PackedSequence:
        """Itself."""
        return self

    def double(self) -> PackedSequence:
        """With float64 data."""
        return self._replace(data=self.data.double())

    def float(self) -> PackedSequence:
        """With float32 data."""
        return self._replace(data=self.data.float())


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes another; None for None."""
    return None if permutation is None else wrap(np.argsort(permutation._a))


def _lengths(lengths: Any) -> np.ndarray[Any, Any]:
    a = lengths._a if isinstance(lengths, Variable) else np.asarray(lengths)
    if a.ndim != 1 or a.dtype.kind not in "iu":
        raise ArgumentError(
            f"`lengths` must be a 1-D list or tensor of integers, found shape {list(a.shape)} of {a.dtype}"
        )
    if (a <= 0).any():
        raise ArgumentError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    return a.astype(np.int64)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """(steps, batch, ...) with ``lengths`` (batch,) as a PackedSequence; lengths fall unless ``enforce_sorted=False``."""
    n = _lengths(lengths)
    batch = input.shape[0 if batch_first else 1]
    if len(n) != batch:
        raise ShapeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(n)} (batch_size={batch})")
    if n.max() > input.shape[1 if batch_first else 0]:
        raise ShapeError(f"a length of {n.max()} is more than the {input.shape[1 if batch_first else 0]} steps given")
    order = None
    if not enforce_sorted:
        order = np.argsort(-n, kind="stable")
        input = input[order] if batch_first else input[:, order]
        n = n[order]
    elif (np.diff(n) > 0).any():
        raise ArgumentError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence to sidestep this requirement."
        )
    if batch_first:
        input = input.transpose(0, 1)
    steps = int(n[0])
    sizes = np.array([(n > t).sum() for t in range(steps)], np.int64)
    data = input[_places(sizes)]
    if order is None:
        return PackedSequence(data, wrap(sizes))
    return PackedSequence(data, wrap(sizes), wrap(order), wrap(np.argsort(order)))


def _places(sizes: Any) -> tuple[Any, Any]:
    """(steps, rows) of every packed element, in packed order."""
    return np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(n) for n in sizes])


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Any]:
    """The padded batch (steps, batch, ...) and the lengths (batch,), in the order given to ``pack``."""
    sizes = sequence.batch_sizes._a
    steps = len(sizes)
    if total_length is not None and total_length < steps:
        raise ArgumentError(
            f"Expected total_length to be at least the length of the longest sequence in input, but got {total_length} < {steps}"
        )
    padded = unpacked(sequence.data, sizes, padding_value, total_length or steps)
    lengths = (np.arange(int(sizes[0]))[:, None] < sizes).sum(1)
    if sequence.unsorted_indices is not None:
        back = sequence.unsorted_indices._a
        padded, lengths = padded[:, back], lengths[back]
    return padded.transpose(0, 1) if batch_first else padded, wrap(lengths)


def unpacked(data: Any, sizes: Any, padding_value: float = 0.0, steps: int | None = None) -> Any:
    """Packed rows as (steps, batch, ...), sorted, padded."""
    shape = (steps or len(sizes), int(sizes[0]), *data.shape[1:])
    padded = wrap(np.full(shape, padding_value, data._a.dtype))
    padded[_places(sizes)] = data
    return padded


def repacked(padded: Any, sizes: Any) -> Any:
    """The packed rows of a padded, sorted batch."""
    return padded[_places(sizes)]


def pad_sequence(
    sequences: Sequence[Any], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Sequences (length, ...) as one batch (longest, batch, ...), padded."""
    if padding_side not in ("left", "right"):
        raise ArgumentError(f"padding_side must be 'left' or 'right', found {padding_side!r}")
    longest = max(s.shape[0] for s in sequences)
    rows = []
    for s in sequences:
        missing = longest - s.shape[0]
        if missing:
            filler = wrap(np.full((missing, *s.shape[1:]), padding_value, s._a.dtype))
            s = cat([s, filler] if padding_side == "right" else [filler, s], 0)
        rows.append(s)
    return stack(rows, 0 if batch_first else 1)


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, ...) as a PackedSequence."""
    return pack_padded_sequence(pad_sequence(sequences), [s.shape[0] for s in sequences], enforce_sorted=enforce_sorted)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded batch."""
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[: int(n)] for row, n in zip(batch, _lengths(lengths))]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences of a PackedSequence."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))
