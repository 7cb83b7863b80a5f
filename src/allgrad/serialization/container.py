"""One file for a tree of values: a safetensors file whose metadata hold the tree and a digest.

Layout (safetensors): 8 bytes little-endian length of the header, the JSON header, the bytes of the arrays.  Three
entries of the header's metadata are ours: ``allgrad.format``, ``allgrad.sha256`` and ``allgrad.tree``.  The digest
covers every byte of the file (its own 64 digits read as zeros), so a flipped bit anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from allgrad.dtypes import from_np, to_dtype
from allgrad.errors import CheckpointError
from allgrad.serialization.tree import Packer, Unpacker

Array = np.ndarray[Any, Any]
FORMAT = "1"
MAX_HEADER = 100_000_000  # bytes; safetensors' own bound
_OPENING = f'{{"__metadata__":{{"allgrad.format":"{FORMAT}","allgrad.sha256":"'.encode()
_OURS = ("allgrad.format", "allgrad.sha256", "allgrad.tree")
_NO_DIGEST = b"0" * 64

SAFETENSORS_NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "float16": "F16", "bfloat16": "BF16",
    "int32": "I32", "uint32": "U32", "float32": "F32", "float64": "F64", "int64": "I64", "uint64": "U64",
}  # fmt: skip
_DTYPES = {v: k for k, v in SAFETENSORS_NAMES.items()}


def pack(value: Any) -> list[bytes | memoryview]:
    """The file of a value, in parts."""
    packer = Packer()
    tree = json.dumps(packer.tree(value), ensure_ascii=True, separators=(",", ":"))
    entries: dict[str, Any] = {}
    blobs: list[bytes | memoryview] = []
    start = 0
    # Wide elements first: then every array starts at a multiple of its element size, as a memory map needs it.
    for name, a in sorted(packer.arrays.items(), key=lambda entry: -entry[1].itemsize):
        whole = np.ascontiguousarray(a, a.dtype.newbyteorder("<"))
        entries[name] = {
            "dtype": SAFETENSORS_NAMES[from_np(a.dtype).name],
            "shape": list(a.shape),
            "data_offsets": [start, start + whole.nbytes],
        }
        blobs.append(whole.reshape(-1).view(np.uint8).data if whole.size else b"")
        start += whole.nbytes
    metadata = dict(zip(_OURS, (FORMAT, _NO_DIGEST.decode(), tree)))
    text = json.dumps({"__metadata__": metadata, **entries}, ensure_ascii=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise CheckpointError(
            f"the tree of values takes {len(text)} bytes as JSON, at most {MAX_HEADER} can be read back: save long lists "
            "of numbers as Tensors"
        )
    size = len(text).to_bytes(8, "little")
    digest = _digest([size, text, *blobs])
    at = len(_OPENING)
    return [size, text[:at] + digest + text[at + 64 :], *blobs]


def _digest(parts: list[Any]) -> bytes:
    h = hashlib.sha256()
    for part in parts:
        h.update(part)
    return h.hexdigest().encode()


def unpack(raw: Any, source: str, *, trusted: bool = False, share: bool = False) -> Any:
    """The value of a file's bytes; a foreign safetensors file gives a dict of Tensors.  CheckpointError if damaged.

    ``trusted`` lets pickled objects in; ``share`` makes arrays on the memory of ``raw``, if it is aligned and writable.
    """
    view = memoryview(raw)
    text, data = _split(view, source)
    header = _header(bytes(text), source)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(f"{source}: the header's metadata are not a dictionary of texts")
    spans = _spans(header, len(data), source)
    # One flipped bit can hide only one of our three entries, so it cannot make this file look like another program's.
    if any(name in metadata for name in _OURS):
        _check(metadata, view, bytes(text[: len(_OPENING) + 64]), source)
        tree = _json(metadata["allgrad.tree"], source)
        return Unpacker(_arrays(spans, data, share), trusted).value(tree)
    return Unpacker(_arrays(spans, data, share)).tensors()


def _split(view: memoryview, source: str) -> tuple[memoryview, memoryview]:
    """Header and data of a file, or an error that says what the file is instead."""
    if len(view) < 8:
        raise CheckpointError(f"{source} has {len(view)} bytes, too few for a saved file; was it cut off?")
    size = int.from_bytes(view[:8], "little")
    if size > min(MAX_HEADER, len(view) - 8):
        raise CheckpointError(
            f"{source} is no saved file or was cut off: its header would have {size} bytes, the file has {len(view)}"
        )
    return view[8 : 8 + size], view[8 + size :]


def _header(text: bytes, source: str) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise CheckpointError(f"{source} is damaged or no saved file: its header does not start with '{{'")
    found = _json(text, source)
    if not isinstance(found, dict):
        raise CheckpointError(f"{source} is damaged: its header is not a dictionary")
    return found


def _json(text: str | bytes, source: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{source} is damaged: its header cannot be read ({error})") from error


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one dictionary")
    return found


def _check(metadata: dict[str, Any], view: memoryview, opening: bytes, source: str) -> None:
    """CheckpointError unless the digest in the header is that of the file."""
    found = metadata.get("allgrad.format")
    if found != FORMAT and "allgrad.sha256" in metadata and "allgrad.tree" in metadata:
        raise CheckpointError(
            f"{source} has format {found!r}; this allgrad reads format {FORMAT!r}: the file is damaged, or a newer allgrad "
            "wrote it, which can read it"
        )
    at = 8 + len(_OPENING)
    stated = opening[len(_OPENING) :]
    if not opening.startswith(_OPENING) or stated != _digest([view[:at], _NO_DIGEST, view[at + 64 :]]):
        raise CheckpointError(f"{source} is damaged: its SHA-256 does not fit its content; use an older copy")
    if "allgrad.tree" not in metadata:
        raise CheckpointError(f"{source} has no tree of values; it was not written by save()")


def _spans(header: dict[str, Any], size: int, source: str) -> dict[str, tuple[int, int, tuple[int, ...], Any]]:
    """Start, stop, shape and dtype of every array, checked against the ``size`` bytes there are before any is made."""
    spans: dict[str, tuple[int, int, tuple[int, ...], Any]] = {}
    for name, entry in header.items():
        try:
            start, stop = entry["data_offsets"]
            shape = tuple(entry["shape"])
            kind = to_dtype(_DTYPES[entry["dtype"]]).np
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{source}: the entry of tensor {name!r} is malformed ({error!r})") from error
        numbers = (*shape, start, stop)
        whole = len(shape) <= 64 and all(type(n) is int and 0 <= n < 2**62 for n in numbers)
        # NumPy refuses an empty array whose other lengths overflow.
        whole = whole and math.prod(max(n, 1) for n in shape) * kind.itemsize < 2**62
        if not whole or not start <= stop <= size or math.prod(shape) * kind.itemsize != stop - start:
            raise CheckpointError(
                f"{source}: tensor {name!r} of shape {list(shape)} and dtype {kind} does not fit bytes {start} to {stop} "
                f"of {size}; the file is damaged or was cut off"
            )
        spans[name] = start, stop, shape, kind
    at = 0
    for start, stop, name in sorted((span[0], span[1], name) for name, span in spans.items()):
        if start != at:
            raise CheckpointError(
                f"{source}: tensor {name!r} starts at byte {start}, expected {at}; the file is damaged"
            )
        at = stop
    if at != size:
        raise CheckpointError(f"{source}: {size} bytes of data, expected {at}; the file is damaged or was cut off")
    return spans


def _arrays(spans: dict[str, tuple[int, int, tuple[int, ...], Any]], data: memoryview, share: bool) -> dict[str, Array]:
    """The arrays, on memory of their own unless ``share``."""
    arrays: dict[str, Array] = {}
    for name, (start, stop, shape, kind) in spans.items():
        if start == stop:
            arrays[name] = np.empty(shape, kind)
            continue
        flat = np.frombuffer(data[start:stop], kind)
        kept = share and flat.flags.aligned and flat.flags.writeable
        arrays[name] = flat.reshape(shape) if kept else flat.reshape(shape).copy()
    return arrays
