"""Which checkpoint is loaded: the newest that is whole, the same on every rank.

Each rank reads all manifests; the ranks compare what they found, share the work of hashing every file, and pass to the
next older checkpoint together when one of them finds damage.  A damaged one is named in a warning on every rank.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from allgrad.checkpoint.folder import Folder, Found
from allgrad.checkpoint.manifest import Manifest
from allgrad.checkpoint.sections import Stored
from allgrad.checkpoint.together import exchange, host_of, together, words
from allgrad.comm import Communicator
from allgrad.errors import CheckpointError


class CheckpointWarning(UserWarning):
    """Something is wrong with a checkpoint, and training can go on."""


class Candidate:
    """A checkpoint as all ranks see it: with a complaint, or with a manifest that is the same everywhere."""

    def __init__(self, name: str, manifest: Manifest | None, complaint: str) -> None:
        self.name, self.manifest, self.complaint = name, manifest, complaint


def candidates(comm: Communicator, folder: Folder) -> list[Candidate]:
    """What lies in the folder, newest first, by agreement of all ranks."""
    kept = "Nothing was loaded or changed"
    found: list[Found] = together(comm, folder.found, f"{folder.path} cannot be read", kept, "checkpoints")
    mine = [[f.name, f.manifest.digest if f.manifest else "", f.complaint] for f in found]
    everybody = exchange(comm, mine, "checkpoints in the folder")
    names = [[entry[0] for entry in each] for each in everybody]
    odd = [r for r, each in enumerate(names) if each != names[0]]
    if odd:
        raise CheckpointError(
            f"{folder.path} holds other checkpoints on {host_of(comm, odd[0])} ({', '.join(names[odd[0]]) or 'none'}) than on "
            f"{host_of(comm, 0)} ({', '.join(names[0]) or 'none'}): all ranks need one shared file system. {kept}"
        )
    result = []
    for i, entry in enumerate(found):
        rows = [each[i] for each in everybody]
        complaint = next((f"{row[2]} (seen by {host_of(comm, r)})" for r, row in enumerate(rows) if row[2]), "")
        if not complaint and any(row[1] != rows[0][1] for row in rows):
            complaint = f"{entry.name}: its manifest differs between ranks"
        result.append(Candidate(entry.name, entry.manifest, complaint))
    return result


def verify(comm: Communicator, stored: Stored) -> str:
    """What is wrong with the files, found by all ranks together; "" if every byte is as the manifest says."""
    mine = [s.complaint() or "" for s in stored.shards[comm.rank :: comm.size]]
    found = exchange(comm, next((text for text in mine if text), ""), "digests of the files")
    return next((f"{text} (seen by {host_of(comm, r)})" for r, text in enumerate(found) if text), "")


def load_newest(
    comm: Communicator, folder: Folder, wanted: str | None, read: Callable[[Stored], Callable[[], None]],
    check: Callable[[Manifest], None], damaged: set[str],
) -> tuple[str, Manifest] | None:  # fmt: skip
    """Load the newest whole checkpoint (or the one called ``wanted``); its name and manifest, None where there is none.

    ``read`` reads all that is needed and returns what puts it in place; ``check`` raises on all ranks if the checkpoint is
    of another model or program.  ``damaged`` gets the names of those that were passed over.
    """
    found = candidates(comm, folder)
    if wanted is not None:
        found = [c for c in found if c.name == wanted]
        if not found:
            raise CheckpointError(f"{folder.path} holds no checkpoint called {wanted!r}. Nothing was loaded or changed")
    complaints: list[str] = []
    for candidate in found:
        complaint, manifest = candidate.complaint, candidate.manifest
        if not complaint and manifest is not None:
            stored = Stored(folder.disk, folder.of(candidate.name), manifest)
            complaint = verify(comm, stored)
            if not complaint:
                check(manifest)
                put, complaint = _read(comm, read, stored)
            if not complaint:
                _put(comm, put, candidate.name)
                _warn(complaints, f"{candidate.name} is used")
                return candidate.name, manifest
        complaints.append(complaint)
        damaged.add(candidate.name)
    if not complaints:
        return None
    raise CheckpointError(
        f"no checkpoint in {folder.path} is whole: {'; '.join(complaints)}. Nothing was loaded or changed; to start anew, "
        "move the folder away"
    )


def _read(
    comm: Communicator, read: Callable[[Stored], Callable[[], None]], stored: Stored
) -> tuple[Callable[[], None] | None, str]:
    put, mine = None, ""
    try:
        put = read(stored)
    except Exception as error:  # told to all: the next older one is tried
        mine = words(error)
    found = exchange(comm, mine, "how a checkpoint was read")
    return put, next((f"{text} (seen by {host_of(comm, r)})" for r, text in enumerate(found) if text), "")


def _put(comm: Communicator, put: Callable[[], None] | None, name: str) -> None:
    def work() -> Any:
        return put() if put is not None else None

    together(
        comm, work, f"{name} does not fit what is tracked", "Model and optimizer may be partly loaded: make them anew"
    )


def _warn(complaints: list[str], consequence: str) -> None:
    for complaint in complaints:
        warnings.warn(f"damaged checkpoint: {complaint}; {consequence}", CheckpointWarning, stacklevel=4)
