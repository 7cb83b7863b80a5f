"""``save`` and ``load``: nested values with Tensors in one file, without pickle."""

from __future__ import annotations

import os
from typing import Any

from allgrad.errors import ArgumentError, CheckpointError
from allgrad.serialization.atomic import write_atomically
from allgrad.serialization.container import pack, unpack

__all__ = ["load", "save"]


def save(
    obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, _use_new_zipfile_serialization: bool = True
) -> None:
    """Write numbers, texts, containers, arrays and Tensors, nested as they are, to a path or a binary file.

    A path is replaced in one step: after a crash or a full disk the file there is whole, the old one or the new one.
    DtypeError naming the place of what cannot be saved.
    """
    parts = pack(obj)
    if isinstance(f, (str, os.PathLike)):
        write_atomically(f, parts)
    elif hasattr(f, "write"):
        for part in parts:
            f.write(part)
    else:
        raise ArgumentError(f"save needs a path or a file opened for binary writing, found {type(f).__name__}")


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """What ``save`` wrote; a safetensors file of anybody's as a dict of Tensors.  Never runs code.

    CheckpointError saying what is wrong with a damaged or foreign file; nothing is believed that its digest does not cover.
    """
    if isinstance(f, (str, os.PathLike)):
        source = os.fspath(f)
        with open(f, "rb") as file:
            raw = file.read()
    elif hasattr(f, "read"):
        source = getattr(f, "name", "the file given")
        raw = f.read()
    else:
        raise ArgumentError(f"load needs a path or a file opened for binary reading, found {type(f).__name__}")
    if not isinstance(raw, (bytes, bytearray, memoryview)):
        raise CheckpointError(f"{source} must be opened for binary reading ('rb')")
    return unpack(bytes(raw), str(source))
