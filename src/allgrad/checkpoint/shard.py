"""One rank's file: a safetensors file, whose metadata hold the trees of the values that are not Tensors.

What the file holds is known before it is written (``plan``), and nothing of it is used that the manifest does not
confirm: ``Shard`` reads the header and each tensor at the place, and with the SHA-256, that stand in the manifest.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from allgrad.checkpoint.disk import Disk, chunks, opened, read_span
from allgrad.checkpoint.manifest import FileEntry, TensorEntry, shard_name
from allgrad.dtypes import from_np, to_dtype
from allgrad.errors import CheckpointError
from allgrad.serialization.container import MAX_HEADER, SAFETENSORS_NAMES

Array = np.ndarray[Any, Any]
TREES = "allgrad.checkpoint.trees"


def raw_bytes(a: Array) -> Any:
    """The bytes of an array as they stand in the file: C order, little-endian."""
    whole = np.ascontiguousarray(a, a.dtype.newbyteorder("<"))
    return whole.reshape(-1).view(np.uint8).data if whole.size else b""


class ShardPlan:
    """A file that is to be written: ``parts`` in order, and the entries of the manifest."""

    def __init__(self, arrays: dict[str, Array], digests: dict[str, str], trees: dict[str, Any]) -> None:
        entries: dict[str, Any] = {}
        self.tensors: dict[str, TensorEntry] = {}
        self.blobs: list[Any] = []
        at = 0
        # Wide elements first: then every array starts at a multiple of its element size, as a memory map needs it.
        for name, a in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
            dtype = from_np(a.dtype).name
            blob = raw_bytes(a)
            stop = at + len(blob)
            entries[name] = {"dtype": SAFETENSORS_NAMES[dtype], "shape": list(a.shape), "data_offsets": [at, stop]}
            self.tensors[name] = TensorEntry(dtype, a.shape, at, stop, digests[name])
            self.blobs.append(blob)
            at = stop
        metadata = {TREES: json.dumps(trees, ensure_ascii=True, separators=(",", ":"))}
        text = json.dumps({"__metadata__": metadata, **entries}, ensure_ascii=True, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > MAX_HEADER:
            raise CheckpointError(
                f"the values that are not Tensors take {len(text)} bytes as JSON, at most {MAX_HEADER} can be read back: "
                "save long lists of numbers as Tensors"
            )
        self.header = len(text)
        self.header_sha256 = hashlib.sha256(text).hexdigest()
        self.parts: list[Any] = [len(text).to_bytes(8, "little"), text, *self.blobs]

    def entry(self, length: int, sha256: str) -> FileEntry:
        """What the manifest needs: how the file turned out."""
        return FileEntry(length, sha256, self.header, self.header_sha256, self.tensors)


class Shard:
    """A file of a checkpoint, read as far as the manifest confirms it."""

    def __init__(self, disk: Disk, folder: str, rank: int, entry: FileEntry) -> None:
        self.disk, self.folder, self.rank, self.entry = disk, folder, rank, entry
        self.name = shard_name(rank)

    def complaint(self) -> str | None:
        """What is wrong with the file, naming the tensor; None if every byte is as the manifest says."""
        try:
            with opened(self.disk, self.folder, self.name) as handle:
                length = self.disk.length(handle)
                if length != self.entry.length:
                    return f"{self.name} has {length} bytes, the manifest says {self.entry.length}: it was cut off or replaced"
                whole = hashlib.sha256()
                for piece in chunks(self.disk, handle, 0, length):
                    whole.update(piece)
                if whole.hexdigest() == self.entry.sha256:
                    return None
                return f"{self.name} is damaged: {self._where(handle)}"
        except OSError as error:
            return f"{self.name} cannot be read: {error.strerror or error}"

    def _where(self, handle: int) -> str:
        data = 8 + self.entry.header
        bad = []
        for name, t in self.entry.tensors.items():
            digest = hashlib.sha256()
            for piece in chunks(self.disk, handle, data + t.start, data + t.stop):
                digest.update(piece)
            if digest.hexdigest() != t.sha256:
                bad.append(name)
        if not bad:
            return "the SHA-256 of its header does not fit"
        return f"the SHA-256 of tensor {bad[0]!r} does not fit" + (f" (and of {len(bad) - 1} more)" if bad[1:] else "")

    def trees(self) -> dict[str, Any]:
        """The values that are not Tensors.  CheckpointError unless the header is of the file that the manifest names."""
        with opened(self.disk, self.folder, self.name) as handle:
            start = read_span(self.disk, handle, 0, 8 + self.entry.header)
        try:
            if hashlib.sha256(start[8:]).hexdigest() != self.entry.header_sha256:
                raise ValueError("another SHA-256")
            header = json.loads(bytes(start[8:]))
            metadata = header.pop("__metadata__")
            stated = {
                n: [SAFETENSORS_NAMES[t.dtype], list(t.shape), [t.start, t.stop]] for n, t in self.entry.tensors.items()
            }
            if {n: [e["dtype"], e["shape"], e["data_offsets"]] for n, e in header.items()} != stated:
                raise ValueError("other tensors than in the manifest")
            trees = json.loads(metadata[TREES])
            if type(trees) is not dict:
                raise ValueError("no dictionary of trees")
            return trees
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{self.name}: its header is not what the manifest says ({error!r})") from error

    def tensor(self, name: str) -> Array:
        """One tensor, in memory of its own; CheckpointError if its bytes are not those that were saved."""
        t = self.entry.tensors[name]
        with opened(self.disk, self.folder, self.name) as handle:
            raw = read_span(self.disk, handle, 8 + self.entry.header + t.start, t.stop - t.start)
        if len(raw) != t.stop - t.start or hashlib.sha256(raw).hexdigest() != t.sha256:
            raise CheckpointError(f"{self.name}: tensor {name!r} is damaged, its SHA-256 does not fit")
        return np.frombuffer(raw, to_dtype(t.dtype).np).reshape(t.shape)
