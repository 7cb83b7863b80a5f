"""Samples into batches: nested lists, tuples, dictionaries of Tensors, arrays and numbers."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.errors import DtypeError, ShapeError
from allgrad.functions.creation import as_tensor, tensor
from allgrad.ops.op import TABLE


def default_collate(batch: Sequence[Any]) -> Any:
    """A list of samples as one: Tensors stacked, numbers as Tensors, containers entry by entry, texts as they are."""
    first = batch[0]
    if isinstance(first, Variable):
        shapes = {x._a.shape for x in batch}
        if len(shapes) != 1:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but the samples of a batch have {sorted(shapes)}"
            )
        if any(x.requires_grad for x in batch):
            return TABLE["stack"](*batch, dim=0)
        return wrap(np.stack([x._a for x in batch]))
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise DtypeError(
                "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
                f"found an array of {first.dtype}"
            )
        return default_collate([as_tensor(x) for x in batch])
    if isinstance(first, (str, bytes)):  # NumPy's texts too
        return list(batch)
    if isinstance(first, (np.generic, bool, int)):
        return as_tensor(np.asarray(batch)) if isinstance(first, np.generic) else tensor(list(batch))
    if isinstance(first, float):
        return wrap(np.array(batch, np.float64))
    if isinstance(first, Mapping):
        found = {key: default_collate([x[key] for x in batch]) for key in first}
        return found if type(first) is dict else _same_kind(first, found)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(column) for column in zip(*batch)))
    if isinstance(first, Sequence):
        if any(len(x) != len(first) for x in batch):
            raise ShapeError("each element in list of batch should be of equal size")
        return [default_collate(column) for column in zip(*batch)]
    raise DtypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first)}"
    )


def _same_kind(like: Any, found: dict[Any, Any]) -> Any:
    if isinstance(like, MutableMapping):
        new = copy.copy(like)
        new.update(found)
        return new
    try:
        return type(like)(found)
    except TypeError:  # a mapping that cannot be made from a dictionary
        return found


def default_convert(data: Any) -> Any:
    """Arrays and NumPy's numbers in a sample as Tensors; everything else as it is."""
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in "SUO" else as_tensor(np.asarray(data))
    if isinstance(data, Mapping):
        found = {k: default_convert(v) for k, v in data.items()}
        return found if type(data) is dict else _same_kind(data, found)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, (list, tuple)):
        return [default_convert(v) for v in data]
    return data
