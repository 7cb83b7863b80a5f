"""Do all ranks hold the same model?  Gathered to all, then judged by all: every rank ends the same way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from allgrad.comm import Communicator
from allgrad.distributed.buckets import Spec, digest
from allgrad.errors import MismatchError


def check_same_model(comm: Communicator, specs: Sequence[Spec], what: str = "parameter") -> None:
    """MismatchError on every rank, naming the odd rank and the first entry that differs, unless all lists are equal."""
    mine = digest(specs, [])
    found = comm.all_gather_bytes(mine, label=f"{what} digest")
    if all(d == found[0] for d in found):
        return
    texts = comm.all_gather_bytes(json.dumps([list(s) for s in specs]).encode(), label=f"{what} lists")
    lists = [[Spec(n, tuple(s), d) for n, s, d in json.loads(t)] for t in texts]
    usual, _ = Counter(found).most_common(1)[0]
    right = found.index(usual)
    complaints = [
        f"rank {r} on {comm.hosts[r] if r < len(comm.hosts) else '?'}: {_difference(lists[right], lists[r], right, what)}"
        for r in range(comm.size)
        if found[r] != usual
    ]
    raise MismatchError(
        f"the ranks hold different models (seen on rank {comm.rank} of {comm.size}):\n  "
        + "\n  ".join(complaints)
        + "\nBuild the model from the same code and settings on every rank; only the data may depend on the rank"
    )


def check_same_settings(comm: Communicator, settings: Mapping[str, Any], what: str) -> None:
    """MismatchError on every rank, naming the odd rank and the setting, unless all ranks give the same JSON-able values."""
    texts = comm.all_gather_bytes(json.dumps(settings).encode(), label=f"settings of {what}")
    if all(text == texts[0] for text in texts):
        return
    usual = json.loads(Counter(texts).most_common(1)[0][0])
    found = [json.loads(text) for text in texts]
    right = found.index(usual)
    complaints = [
        f"rank {r} has {name}={mine.get(name)!r}, expected {value!r} as on rank {right}"
        for r, mine in enumerate(found)
        for name, value in usual.items()
        if mine.get(name) != value
    ]
    raise MismatchError(
        f"the ranks make {what} with different settings (seen on rank {comm.rank} of {comm.size}): {'; '.join(complaints)}. "
        "Settings must not depend on the rank"
    )


def _difference(right: list[Spec], odd: list[Spec], rank: int, what: str) -> str:
    for k, (a, b) in enumerate(zip(right, odd)):
        if a != b:
            if a.name != b.name:
                return f"{what} number {k} is {b.name!r}, expected {a.name!r} as on rank {rank}"
            if a.shape != b.shape:
                return f"{what} {a.name!r} has shape {list(b.shape)}, expected {list(a.shape)} as on rank {rank}"
            return f"{what} {a.name!r} has dtype {b.dtype}, expected {a.dtype} as on rank {rank}"
    if len(odd) < len(right):
        return f"{what} {right[len(odd)].name!r} is missing; {len(odd)} in all, expected {len(right)} as on rank {rank}"
    return f"{what} {odd[len(right)].name!r} is extra; {len(odd)} in all, expected {len(right)} as on rank {rank}"
