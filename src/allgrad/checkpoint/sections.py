"""The parts of a checkpoint: each tracked object's state as a JSON tree and a table of arrays.

What all ranks hold alike is stored once, and dealt out so that every rank writes about as much; what differs is stored
by the rank that has it.  The ranks find out by comparing SHA-256, so a replica that is none is never stored as one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from allgrad.checkpoint.disk import Disk
from allgrad.checkpoint.manifest import Manifest
from allgrad.checkpoint.shard import Shard, raw_bytes
from allgrad.checkpoint.together import exchange, judge
from allgrad.comm import Communicator
from allgrad.errors import CheckpointError, DtypeError
from allgrad.serialization.tree import KIND, Packer, Unpacker

Array = np.ndarray[Any, Any]


class Section:
    """One object's state on this rank."""

    def __init__(self, name: str, value: Any) -> None:
        packer = Packer()
        self.tree = packer.tree(value)
        for kind, where in _objects(self.tree):
            raise DtypeError(
                f"{name}: {where or 'the value'} is a {kind}, which a checkpoint cannot hold: loading it could run any code. "
                "Save numbers, texts, containers, arrays and Tensors"
            )
        self.arrays = packer.arrays
        self.digests = {key: hashlib.sha256(raw_bytes(a)).hexdigest() for key, a in self.arrays.items()}
        text = json.dumps(self.tree, sort_keys=True).encode()
        self.tree_digest = hashlib.sha256(text).hexdigest()

    def facts(self) -> dict[str, str]:
        """What has to be equal for two ranks to hold the same array."""
        return {key: f"{self.digests[key]} {a.dtype} {a.shape}" for key, a in self.arrays.items()}

    def digest(self) -> str:
        """Equal where the whole section is."""
        facts = json.dumps([self.tree_digest, self.facts()], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()


def _objects(tree: Any) -> Iterator[tuple[str, str]]:
    """Pickled objects in a tree: (type, place)."""
    if isinstance(tree, list):
        for item in tree:
            yield from _objects(item)
    elif isinstance(tree, dict):
        if tree.get(KIND) == "object":
            yield str(tree.get("type")), str(tree.get("at"))
        for item in tree.values():
            yield from _objects(item)


class Division:
    """Who writes what: ``kinds`` of the sections, and this rank's arrays, digests and trees, under their stored names."""

    def __init__(self, comm: Communicator, sections: Mapping[str, Section]) -> None:
        found = exchange(comm, {name: s.digest() for name, s in sections.items()}, "digests of a checkpoint")
        names = list(found[0])
        complaints = ["" if list(each) == names else f"tracks {list(each)}, rank 0 tracks {names}" for each in found]
        judge(
            comm, complaints, "the ranks do not save the same objects", "Nothing was written; call track() alike on all"
        )
        odd = [name for name in names if any(each[name] != found[0][name] for each in found)]
        shared = {name: set(s.arrays) for name, s in sections.items()}
        self.kinds = dict.fromkeys(names, "shared")
        if odd:
            mine = {name: [sections[name].tree_digest, sections[name].facts()] for name in odd}
            details = exchange(comm, mine, "digests of what differs between ranks")
            for name in odd:
                first_tree, first = details[0][name]
                if any(each[name][0] != first_tree for each in details):
                    self.kinds[name] = "own"
                shared[name] = {k for k in first if all(each[name][1].get(k) == first[k] for each in details)}
        self.arrays: dict[str, Array] = {}
        self.digests: dict[str, str] = {}
        loads = [0] * comm.size
        for name, section in sections.items():
            for key in section.arrays.keys() - shared[name]:
                self._take(f"own/{name}/{key}", section, key)
        common = [(-sections[n].arrays[key].nbytes, n, key) for n in names for key in shared[n]]
        for size, name, key in sorted(common):
            writer = loads.index(min(loads))
            loads[writer] -= size
            if writer == comm.rank:
                self._take(f"shared/{name}/{key}", sections[name], key)
        own = {n: s.tree for n, s in sections.items() if self.kinds[n] == "own"}
        once = {n: s.tree for n, s in sections.items() if self.kinds[n] == "shared"} if comm.rank == 0 else {}
        self.trees = {"shared": once, "own": own}

    def _take(self, stored: str, section: Section, key: str) -> None:
        self.arrays[stored], self.digests[stored] = section.arrays[key], section.digests[key]

    def snapshot(self) -> None:
        """Copy the arrays, so that training may change them while they are written."""
        self.arrays = {name: np.array(a, order="C") for name, a in self.arrays.items()}


class Stored:
    """The sections of a checkpoint on disk."""

    def __init__(self, disk: Disk, folder: str, manifest: Manifest) -> None:
        self.manifest = manifest
        self.shards = [Shard(disk, folder, r, entry) for r, entry in enumerate(manifest.files)]
        self._shared = {n: s for s in self.shards for n in s.entry.tensors if n.startswith("shared/")}
        self._trees: dict[int, dict[str, Any]] = {}

    def _tree(self, rank: int, kind: str, name: str) -> Any:
        if rank not in self._trees:
            self._trees[rank] = self.shards[rank].trees()
        try:
            return self._trees[rank][kind][name]
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{self.shards[rank].name} has no {kind} section {name!r}") from error

    def value(self, name: str, rank: int) -> Any:
        """The state of section ``name`` as rank ``rank`` of the saving world had it; Tensors in memory of their own."""
        kind = self.manifest.sections[name]
        tree = self._tree(0 if kind == "shared" else rank, kind, name)
        shared, own = f"shared/{name}/", f"own/{name}/"
        arrays = {n.removeprefix(shared): s.tensor(n) for n, s in self._shared.items() if n.startswith(shared)}
        shard = self.shards[rank]
        arrays.update({n.removeprefix(own): shard.tensor(n) for n in shard.entry.tensors if n.startswith(own)})
        return Unpacker(arrays).value(tree)

    def differs(self, name: str) -> bool:
        """Whether the ranks that saved held different states of the section."""
        own = f"own/{name}/"
        return self.manifest.sections[name] == "own" or any(
            n.startswith(own) for s in self.shards for n in s.entry.tensors
        )
