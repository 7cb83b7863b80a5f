"""The manifest: what belongs to a checkpoint, with the length and the SHA-256 of every file and every tensor.

A folder without a whole manifest is no checkpoint.  The manifest is one line with its own digest, then JSON; the digest
covers everything after the first line, and the first line has one possible form, so a flipped bit anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from allgrad.dtypes import to_dtype
from allgrad.errors import CheckpointError
from allgrad.serialization.container import MAX_HEADER

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST = MAX_HEADER  # bytes
_FIRST_LINE = "allgrad checkpoint, SHA-256 of the rest: "
_OPENING = len(_FIRST_LINE) + 65
_FOLDER = re.compile(r"save-(\d{8})-step-(\d{1,18})")
_SHARD = re.compile(r"rank-(\d{5})\.safetensors")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def folder_name(serial: int, step: int) -> str:
    """The folder of the ``serial``-th save; its number, not the step, says which is newer (one may go back to a step)."""
    return f"save-{serial:08d}-step-{step}"


def parse_folder(name: str) -> tuple[int, int] | None:
    """(serial, step) of a folder's name; None for what is not ours."""
    found = _FOLDER.fullmatch(name)
    return (int(found[1]), int(found[2])) if found and name == folder_name(int(found[1]), int(found[2])) else None


def shard_name(rank: int) -> str:
    """The file that ``rank`` writes."""
    return f"rank-{rank:05d}.safetensors"


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor's bytes lie in its file, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int
    sha256: str


@dataclass(frozen=True)
class FileEntry:
    """One rank's file; the tensors begin after ``8 + header`` bytes."""

    length: int
    sha256: str
    header: int
    header_sha256: str
    tensors: dict[str, TensorEntry]

    def to_json(self) -> dict[str, Any]:
        """As it stands in the manifest, but for the name."""
        tensors = {n: [t.dtype, list(t.shape), t.start, t.stop, t.sha256] for n, t in self.tensors.items()}
        return {
            "length": self.length,
            "sha256": self.sha256,
            "header": self.header,
            "header_sha256": self.header_sha256,
            "tensors": tensors,
        }


@dataclass(frozen=True)
class Manifest:
    """A checkpoint's table of contents.  ``files[r]`` is that of rank r."""

    step: int
    serial: int
    world_size: int
    files: tuple[FileEntry, ...]
    sections: dict[str, str]  # name -> "shared" (one tree for all ranks) or "own"
    fingerprint: dict[str, str]
    metrics: dict[str, Any]
    versions: dict[str, str]
    reason: str = ""
    written: str = ""
    digest: str = field(default="", compare=False)

    def to_bytes(self) -> bytes:
        """The file's content."""
        body = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _PLAIN},
            "files": [{"name": shard_name(r), **file.to_json()} for r, file in enumerate(self.files)],
        }
        rest = json.dumps(body, ensure_ascii=True, indent=1).encode() + b"\n"
        first = f"{_FIRST_LINE}{hashlib.sha256(rest).hexdigest()}\n".encode()
        if len(rest) + len(first) > MAX_MANIFEST:
            raise CheckpointError(
                f"the manifest takes {len(rest)} bytes, at most {MAX_MANIFEST} can be read back: save fewer, larger Tensors"
            )
        return first + rest


_PLAIN = {
    "step": int, "serial": int, "world_size": int, "sections": dict, "fingerprint": dict, "metrics": dict, "versions": dict,
    "reason": str, "written": str,
}  # fmt: skip


def digest_of(raw: bytes | bytearray) -> str:
    """The digest that stands in a manifest's first line, as ``latest`` repeats it; "" if there is none."""
    found = bytes(raw[len(_FIRST_LINE) : _OPENING - 1]).decode("ascii", "replace")
    return found if _DIGEST.fullmatch(found) else ""


def parse(raw: bytes | bytearray, where: str) -> Manifest:
    """The manifest in ``raw``; CheckpointError naming ``where`` for anything that ``to_bytes`` cannot have written."""
    rest = bytes(raw[_OPENING:])
    expected = f"{_FIRST_LINE}{hashlib.sha256(rest).hexdigest()}\n".encode()
    if bytes(raw[:_OPENING]) != expected:
        raise CheckpointError(f"{where} is damaged or cut off: its SHA-256 does not fit its content")
    try:
        body = json.loads(rest)
        if body["format"] != FORMAT:
            raise CheckpointError(
                f"{where} has format {body['format']!r}; this allgrad reads format {FORMAT}: a newer one wrote it"
            )
        plain = {name: _typed(body[name], kind, name) for name, kind in _PLAIN.items()}
        files = tuple(parse_file(r, entry) for r, entry in enumerate(body["files"]))
        if len(files) != plain["world_size"] or not files:
            raise ValueError(f"{len(files)} files for {plain['world_size']} ranks")
        if not set(plain["sections"].values()) <= {"shared", "own"}:
            raise ValueError("a section that is neither shared nor own")
        return Manifest(files=files, digest=digest_of(raw), **plain)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{where} is malformed: {error!r}") from error


def _typed(value: Any, kind: type, name: str) -> Any:
    if type(value) is not kind or (isinstance(value, int) and not 0 <= value < 2**62):
        raise ValueError(f"{name} is {value!r}"[:200])
    return value


def parse_file(rank: int, entry: dict[str, Any]) -> FileEntry:
    """The other direction of ``FileEntry.to_json``; KeyError, TypeError or ValueError for what cannot be."""
    if entry["name"] != shard_name(rank) or not _SHARD.fullmatch(entry["name"]):
        raise ValueError(f"file {rank} is called {entry['name']!r}")
    length, header = (_typed(entry[name], int, name) for name in ("length", "header"))
    digests = (entry["sha256"], entry["header_sha256"])
    if header > MAX_HEADER or 8 + header > length or not all(_DIGEST.fullmatch(d) for d in digests):
        raise ValueError(f"{entry['name']}: header of {header} bytes in a file of {length}, or no SHA-256")
    tensors = {}
    at = 0
    for name, (dtype, shape, start, stop, sha256) in entry["tensors"].items():
        sizes = tuple(_typed(n, int, "a length") for n in shape)
        kind = to_dtype(dtype).np
        fits = len(sizes) <= 64 and math.prod(max(n, 1) for n in sizes) * kind.itemsize < 2**62
        fits = fits and math.prod(sizes) * kind.itemsize == _typed(stop, int, "stop") - _typed(start, int, "start")
        if not fits or start != at or not _DIGEST.fullmatch(sha256):
            raise ValueError(f"{entry['name']}: tensor {name!r} of shape {shape} does not fit bytes {start} to {stop}")
        tensors[name] = TensorEntry(dtype, sizes, start, stop, sha256)
        at = stop
    if 8 + header + at != length:
        raise ValueError(f"{entry['name']} has {length} bytes, its tensors end at {8 + header + at}")
    return FileEntry(length, digests[0], header, digests[1], tensors)
