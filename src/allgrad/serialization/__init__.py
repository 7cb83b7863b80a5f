"""``save`` and ``load``: nested values with Tensors in one file, without pickle.

``container`` is the file (safetensors with a JSON tree and a digest), ``tree`` takes values apart, ``atomic`` replaces
files in one step, ``torchfile`` and ``opcodes`` read PyTorch's files, ``whole`` keeps modules and other objects.
"""

from __future__ import annotations

import mmap as memory_map
import os
from typing import Any

from allgrad.errors import ArgumentError, CheckpointError
from allgrad.serialization.atomic import write_atomically
from allgrad.serialization.container import pack, unpack
from allgrad.tensor import device

__all__ = ["load", "save"]


def save(
    obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, _use_new_zipfile_serialization: bool = True
) -> None:
    """Write numbers, texts, containers, arrays and Tensors, nested as they are, to a path or a binary file.

    A path is replaced in one step: after a crash or a full disk the file there is whole, the old one or the new one.
    Modules and other objects are saved as in PyTorch and need ``weights_only=False`` when loaded.  DtypeError naming
    the place of what cannot be saved.

    >>> import io, allgrad
    >>> file = io.BytesIO()
    >>> save({"weight": allgrad.ones(2), "epoch": 3}, file)
    >>> start = file.seek(0)
    >>> load(file)
    {'weight': tensor([1., 1.]), 'epoch': 3}
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
    """What ``save`` wrote, a safetensors file of anybody's as a dict of Tensors, or the plain data of a PyTorch file.

    Never runs code unless ``weights_only=False``, which lets saved modules and other objects in.  ``mmap=True`` maps a
    path's Tensors instead of reading them; writing to them does not change the file.  ``map_location`` may name the CPU.
    CheckpointError saying what is wrong with a damaged, foreign or unsafe file.
    """
    if isinstance(map_location, (str, device)):
        device(map_location)  # an error for anything but the CPU
    trusted = weights_only is not None and not weights_only
    if isinstance(f, (str, os.PathLike)):
        source = os.fspath(f)
        raw = _bytes_of(source, bool(mmap))
    elif hasattr(f, "read"):
        if mmap:
            raise ArgumentError("load(..., mmap=True) needs a path, found an open file")
        source = getattr(f, "name", "the file given")
        raw = f.read()
        if not raw:
            raise CheckpointError(f"{source} has nothing left to read; after saving to an open file: file.seek(0)")
    else:
        raise ArgumentError(f"load needs a path or a file opened for binary reading, found {type(f).__name__}")
    if not isinstance(raw, (bytes, bytearray, memoryview, memory_map.mmap)):
        raise CheckpointError(f"{source} must be opened for binary reading ('rb')")
    if _is_torch_file(bytes(raw[:16])):
        from allgrad.serialization import torchfile  # here: zipfile takes long to import

        return torchfile.read(raw, str(source))
    return unpack(raw, str(source), trusted=trusted, share=bool(mmap))


def _bytes_of(path: str | bytes, mapped: bool) -> Any:
    with open(path, "rb") as file:
        if mapped and os.fstat(file.fileno()).st_size:
            return memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_COPY)
        return file.read()


def _is_torch_file(start: bytes) -> bool:
    """Whether a file that starts so is a zip or a pickle; a safetensors header of such a length starts with a brace."""
    return start.startswith(b"\x80\x02\x8a\x0a") or (start.startswith(b"PK\x03\x04") and start[8:9] != b"{")
