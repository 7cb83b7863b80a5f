"""The folder of a run: which checkpoints it holds, which is the newest, which may go.

save-00000007-step-1200/     a checkpoint: complete if and only if it holds a whole ``manifest.json``
    rank-00000.safetensors   what rank 0 wrote, and so on
    manifest.json
latest                       the name of the newest one and the SHA-256 in its manifest
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from allgrad.checkpoint.disk import Disk, opened, read_span, remove_tree, replace_file
from allgrad.checkpoint.manifest import MANIFEST, MAX_MANIFEST, Manifest, folder_name, parse, parse_folder
from allgrad.checkpoint.together import words
from allgrad.errors import CheckpointError

LATEST = "latest"


@dataclass(frozen=True)
class Found:
    """A folder as this rank sees it: its manifest, or why it cannot be used."""

    name: str
    manifest: Manifest | None
    complaint: str = ""


class Folder:
    """The checkpoints below ``path``."""

    def __init__(self, path: str, disk: Disk) -> None:
        self.path, self.disk = path, disk

    def of(self, name: str) -> str:
        """The path of one checkpoint."""
        return os.path.join(self.path, name)

    def saves(self) -> list[str]:
        """All names of our form, committed or not, newest first."""
        return sorted((n for n in self.disk.names(self.path) if parse_folder(n)), key=_serial, reverse=True)

    def found(self) -> list[Found]:
        """Every checkpoint that was committed, newest first; what never was is left out."""
        named, digest, complaint = self._latest()
        result = []
        for name in self.saves():
            entry = self._read(name)
            if entry is None and name == named:
                entry = Found(name, None, f"{name} has no {MANIFEST}, although '{LATEST}' names it")
            if entry is not None and name == named and entry.manifest is not None and entry.manifest.digest != digest:
                entry = Found(name, None, f"{name}/{MANIFEST} is not the one that '{LATEST}' names")
            if entry is not None:
                result.append(entry)
        if named and all(entry.name != named for entry in result):
            result.insert(0, Found(named, None, f"{named} is missing, although '{LATEST}' names it"))
            result.sort(key=lambda entry: _serial(entry.name), reverse=True)
        if complaint:
            result.insert(0, Found(LATEST, None, complaint))
        return result

    def _read(self, name: str) -> Found | None:
        where = f"{name}/{MANIFEST}"
        try:
            with opened(self.disk, self.of(name), MANIFEST) as handle:
                length = self.disk.length(handle)
                if length > MAX_MANIFEST:
                    return Found(name, None, f"{where} has {length} bytes, at most {MAX_MANIFEST} are possible")
                manifest = parse(read_span(self.disk, handle, 0, length), where)
            if name != folder_name(manifest.serial, manifest.step):
                wanted = folder_name(manifest.serial, manifest.step)
                return Found(name, None, f"{where} belongs to {wanted}: the folder was renamed or its files swapped")
            return Found(name, manifest)
        except FileNotFoundError:
            return None
        except CheckpointError as error:
            return Found(name, None, str(error))
        except OSError as error:
            return Found(name, None, f"{where} cannot be read: {words(error)}")

    def _latest(self) -> tuple[str, str, str]:
        """(name, digest, complaint) of the file ``latest``; empty where there is none."""
        try:
            with opened(self.disk, self.path, LATEST) as handle:
                raw = bytes(read_span(self.disk, handle, 0, 4096))
            found = json.loads(raw)
            name, digest = found["checkpoint"], found["manifest_sha256"]
            if not isinstance(name, str) or not isinstance(digest, str) or not parse_folder(name):
                raise ValueError("no name and digest")
            if raw != latest_bytes(name, digest):
                raise ValueError("not as it was written")
            return name, digest, ""
        except FileNotFoundError:
            return "", "", ""
        except OSError as error:
            return "", "", f"'{LATEST}' cannot be read: {words(error)}"
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            return "", "", f"'{LATEST}' is damaged ({error!r})"

    def begin(self, step: int) -> str:
        """Make the folder of a new save; its name."""
        taken = self.saves()
        name = folder_name(_serial(taken[0]) + 1 if taken else 1, step)
        self.disk.make_folder(self.of(name))
        self.disk.sync_folder(self.path)
        return name

    def commit(self, name: str, manifest: Manifest) -> None:
        """From here on the checkpoint counts: its files are safe, then its manifest gets its name, then ``latest``."""
        raw = manifest.to_bytes()
        self.disk.sync_folder(self.of(name))
        replace_file(self.disk, self.of(name), MANIFEST, [raw])
        digest = parse(raw, name).digest
        replace_file(self.disk, self.path, LATEST, [latest_bytes(name, digest)])

    def prune(self, name: str, keep: int, damaged: set[str]) -> list[str]:
        """After ``name`` is committed: remove what is older than the ``keep`` newest; what could not be removed."""
        trouble = []
        try:
            older = [n for n in self.saves() if _serial(n) < _serial(name)]
            whole = [n for n in older if n not in damaged and MANIFEST in self.disk.names(self.of(n))]
        except OSError as error:
            return [words(error)]
        kept = whole[: keep - 1]
        for n in older:
            if n in kept or (n in damaged and kept and _serial(n) > _serial(kept[-1])):
                continue
            try:
                # Without its manifest it is no checkpoint, whatever happens then.
                if MANIFEST in self.disk.names(self.of(n)):
                    self.disk.remove(os.path.join(self.of(n), MANIFEST))
                remove_tree(self.disk, self.of(n))
            except OSError as error:
                trouble.append(f"{n}: {words(error)}")
        return trouble

    def discard(self, name: str) -> str:
        """Remove an unfinished save; a sentence if something of it has to stay."""
        try:
            if MANIFEST in self.disk.names(self.of(name)):
                return ""  # it was committed before the trouble came
            remove_tree(self.disk, self.of(name))
        except OSError as error:
            return f" (left behind: {name}, {words(error)}; the next save removes it)"
        return ""

    def prepare(self) -> None:
        """Make the folder of the run, if it is not there."""
        missing = []
        path = os.path.abspath(self.path)
        while not self.disk.exists(path):
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another job made it in between
                self.disk.make_folder(path)
            self.disk.sync_folder(os.path.dirname(path))


def latest_bytes(name: str, digest: str) -> bytes:
    """The content of ``latest``, with a digest of its own."""
    own = hashlib.sha256(f"{name} {digest}".encode()).hexdigest()
    return json.dumps({"checkpoint": name, "manifest_sha256": digest, "sha256": own}).encode() + b"\n"


def _serial(name: str) -> int:
    found: Any = parse_folder(name)
    return int(found[0])
