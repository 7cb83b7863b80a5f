"""One file for a tree of values: a safetensors file whose metadata hold the tree and a digest.

Layout (safetensors): 8 bytes little-endian length of the header, the JSON header, the bytes of the arrays.  The
metadata entry ``allgrad`` holds the format version, the tree and the SHA-256 of tree, names, shapes, dtypes and bytes,
so a flipped bit anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from allgrad.dtypes import from_np, to_dtype
from allgrad.errors import CheckpointError
from allgrad.serialization.tree import Packer, Unpacker

Array = np.ndarray[Any, Any]
FORMAT = 1
MAX_HEADER = 100_000_000  # bytes; safetensors' own bound

_NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "float16": "F16", "bfloat16": "BF16",
    "int32": "I32", "uint32": "U32", "float32": "F32", "float64": "F64", "int64": "I64", "uint64": "U64",
}  # fmt: skip
_DTYPES = {v: k for k, v in _NAMES.items()}


def pack(value: Any) -> list[bytes | memoryview]:
    """The file of a value, in parts."""
    packer = Packer()
    tree = json.dumps(packer.tree(value), ensure_ascii=True, separators=(",", ":"))
    entries: dict[str, Any] = {}
    blobs: list[bytes | memoryview] = []
    start = 0
    for name, a in packer.arrays.items():
        whole = np.ascontiguousarray(a)
        blob = whole.reshape(-1).view(np.uint8).data if whole.size else b""
        entries[name] = {
            "dtype": _NAMES[from_np(a.dtype).name],
            "shape": list(a.shape),
            "data_offsets": [start, start + whole.nbytes],
        }
        blobs.append(blob)
        start += whole.nbytes
    digest = _digest(tree, entries, blobs)
    header = {"__metadata__": {"allgrad": str(FORMAT), "tree": tree, "sha256": digest}, **entries}
    text = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *blobs]


def _digest(tree: str, entries: dict[str, Any], blobs: list[Any]) -> str:
    h = hashlib.sha256()
    h.update(json.dumps([tree, entries], sort_keys=True, separators=(",", ":")).encode())
    for blob in blobs:
        h.update(blob)
    return h.hexdigest()


def unpack(raw: bytes | memoryview, source: str) -> Any:
    """The value of a file's bytes; a foreign safetensors file gives a dict of Tensors.  CheckpointError if damaged."""
    header, data = _header(raw, source)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{source}: the header's metadata are not a dictionary")
    arrays = _arrays(header, data, source)
    if "allgrad" not in metadata:
        return Unpacker(arrays).value({k: {"§": "tensor", "key": k} for k in arrays})
    if metadata["allgrad"] != str(FORMAT):
        raise CheckpointError(
            f"{source} has format {metadata['allgrad']!r}; this allgrad reads format {FORMAT}: load it with the version that wrote it"
        )
    tree = metadata.get("tree")
    blobs = [
        data[a : a + n]
        for a, n in ((e["data_offsets"][0], e["data_offsets"][1] - e["data_offsets"][0]) for e in header.values())
    ]
    if not isinstance(tree, str) or metadata.get("sha256") != _digest(tree, header, blobs):
        raise CheckpointError(f"{source} is damaged: its SHA-256 does not fit its content; use an older copy")
    return Unpacker(arrays).value(json.loads(tree))


def _header(raw: bytes | memoryview, source: str) -> tuple[dict[str, Any], memoryview]:
    view = memoryview(raw)
    if len(view) < 8:
        raise CheckpointError(f"{source} has {len(view)} bytes, too few for a saved file; was it cut off?")
    size = int.from_bytes(view[:8], "little")
    if size > min(MAX_HEADER, len(view) - 8):
        raise CheckpointError(f"{source} is no saved file or was cut off: its header says {size} bytes of {len(view)}")
    try:
        header = json.loads(bytes(view[8 : 8 + size]))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{source} is damaged: its header is not readable ({error})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{source} is damaged: its header is not a dictionary")
    return header, view[8 + size :]


def _arrays(header: dict[str, Any], data: memoryview, source: str) -> dict[str, Array]:
    """Arrays of their own memory; every entry is checked against the bytes that are there before it is made."""
    arrays: dict[str, Array] = {}
    spans = []
    for name, entry in header.items():
        try:
            start, stop = entry["data_offsets"]
            shape = tuple(entry["shape"])
            kind = to_dtype(_DTYPES[entry["dtype"]]).np
            whole = all(type(n) is int and n >= 0 for n in (*shape, start, stop))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{source}: the entry of tensor {name!r} is malformed ({error})") from error
        count = 1
        for n in shape if whole else ():
            count *= n
        if not whole or not start <= stop <= len(data) or count * kind.itemsize != stop - start:
            raise CheckpointError(
                f"{source}: tensor {name!r} of shape {list(shape)} and dtype {kind} does not fit bytes {start} to {stop} "
                f"of {len(data)}; the file is damaged or was cut off"
            )
        spans.append((start, stop, name))
        flat = np.frombuffer(data[start:stop], kind) if stop > start else np.empty(0, kind)
        arrays[name] = flat.reshape(shape).copy()
    at = 0
    for start, stop, name in sorted(spans):
        if start != at:
            raise CheckpointError(
                f"{source}: tensor {name!r} starts at byte {start}, expected {at}; the file is damaged"
            )
        at = stop
    if at != len(data):
        raise CheckpointError(f"{source}: {len(data)} bytes of data, expected {at}; the file is damaged or was cut off")
    return arrays
