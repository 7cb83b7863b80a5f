"""The replica sentinel: every few steps the ranks compare what must be equal on all of them.

One message of 25 bytes holds a digest of the parameters, of the buffers and of the optimizers' state; only if it shows a
difference do the ranks exchange the digests of all entries, to name the first that differs and the rank that is odd.

What may differ is left out: buffers that a forward has changed since they were last rank 0's (running statistics of the
local batch), all buffers under ``broadcast_buffers=False``, sharded state, and ranks that were told to go their own way.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from allgrad.comm import Communicator
from allgrad.comm.agreement import name_ranks
from allgrad.distributed.sentinel_digest import Entries, digest, optimizer_state, parameters, total
from allgrad.errors import ArgumentError, ReplicaError

EVERY = 50  # steps; a check costs less than half a step, also of a tiny model


class Sentinel:
    """Compares the replicas of one model at the end of every ``every``-th synchronized backward; None: never."""

    def __init__(self, named: Sequence[tuple[str, Any]], module: Any, every: int | None) -> None:
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise ArgumentError(
                f"replica_check must be a number of steps of at least 1, or None for no check, found {every!r}"
            )
        self.named, self.module, self.every = named, module, every
        self.step = 0  # synchronized backward passes so far, the same on every rank
        self.away = False  # this rank stands in without stepping: its parameters and optimizer are not the others'
        self.local_steps = False  # an optimizer stepped by gradients that were not synchronized: replicas may differ
        self._before_local: list[int] | None = None
        self._met: dict[str, tuple[Any, int]] = {}  # buffers, and their versions when they were last made equal
        self._untouched: Entries = {}

    def due(self, step: int) -> bool:
        """Whether the replicas are compared at ``step``: early once, where a wrong start shows, then regularly."""
        return self.every is not None and (step == 2 or step % self.every == 0)

    def before_buffers(self) -> None:
        """Buffers are about to be made equal: digest those that should be equal already."""
        if self.due(self.step + 1):
            self._untouched = {
                f"buffer {name!r}": digest(b._a)
                for name, b in self.module.named_buffers()
                if (met := self._met.get(name)) is not None and met[0] is b and met[1] == b._cell[0]
            }

    def after_buffers(self) -> None:
        """Buffers are equal now."""
        if self.every is not None:
            self._met = {name: (b, b._cell[0]) for name, b in self.module.named_buffers()}

    def unsynchronized(self) -> None:
        """A gradient came under ``no_sync()``: if an optimizer steps before the next synchronized one, that was local."""
        if self._before_local is None and self.every is not None:
            self._before_local = self._versions()

    def synchronizing(self) -> None:
        """A synchronized backward begins."""
        if self._before_local is not None:
            self.local_steps = self.local_steps or self._before_local != self._versions()
            self._before_local = None

    def _versions(self) -> list[int]:
        return [p._cell[0] for _, p in self.named]

    def round_ended(self, comm: Communicator, valid: bool, differing: bool = False) -> ReplicaError | None:
        """The end of a synchronized backward; the same error on every rank if it is time to look and replicas differ.

        Not looked at: a step that all ranks skip (not ``valid``), and replicas that a hook lets differ (``differing``).
        """
        self.step += 1
        if not self.due(self.step) or comm.size == 1 or not valid:
            return None
        mine = (parameters(self.named), self._untouched, optimizer_state(self.named))
        apart = self.away or self.local_steps or differing
        row = bytes([apart]) + b"".join(map(total, mine))
        rows = comm.all_gather_bytes(row, label=f"digest of the replicas at step {self.step}")
        ranks = [r for r in range(comm.size) if not rows[r][0]]
        odd = [len({rows[r][1 + 8 * k : 9 + 8 * k] for r in ranks}) > 1 for k in range(len(mine))]
        if self.local_steps and len({rows[r][1:9] for r in range(comm.size)}) == 1:
            self.local_steps = False  # somebody has averaged the parameters
        if not any(odd):
            return None
        texts = comm.all_gather_bytes(json.dumps(mine).encode(), label="digests of all that the replicas hold")
        everything: list[list[Entries]] = [json.loads(text) for text in texts]
        complaints = [
            complaint
            for k in range(len(mine))
            if odd[k]
            for complaint in _differences({r: everything[r][k] for r in ranks}, shared_only=k == 1)
        ]
        return self._error(comm, complaints) if complaints else None

    def _error(self, comm: Communicator, complaints: list[str]) -> ReplicaError:
        more = f"\n  … and {len(complaints) - 5} more" if len(complaints) > 5 else ""
        return ReplicaError(
            f"the replicas differ at step {self.step} (seen on rank {comm.rank} of {comm.size}):\n  "
            + "\n  ".join(complaints[:5])
            + more
            + f"\nThey were last compared {self._since()}. What runs on some ranks only may be the reason: a step or a "
            "load under `if rank == 0`, a schedule that follows the rank's own loss, numbers drawn per rank, join() "
            "without its optimizer=, damaged memory. Nothing was changed by this check; replica_check=None in "
            "DistributedDataParallel(...) turns it off"
        )

    def _since(self) -> str:
        before = [s for s in range(1, self.step) if self.due(s)]
        return f"at step {before[-1]}" if before else "when the model was wrapped"


def _differences(entries: dict[int, Entries], shared_only: bool) -> list[str]:
    """One line for each entry that is not equal on all ranks; ``shared_only``: only where every rank has it."""
    names = list(dict.fromkeys(name for found in entries.values() for name in found))
    lines = []
    for name in names:
        values = {r: found.get(name) for r, found in entries.items()}
        if len(set(values.values())) == 1 or (shared_only and None in values.values()):
            continue
        lines.append(f"{name} {_who(values)}")
    return lines


def _who(values: dict[int, int | None]) -> str:
    """Which ranks have the odd value; all of them where no value has a majority."""
    groups: dict[int | None, list[int]] = defaultdict(list)
    for rank, value in values.items():
        groups[value].append(rank)
    (usual, count), *_ = Counter(values.values()).most_common(1)
    if 2 * count <= len(values):
        return "is " + ", ".join(
            f"{'missing' if value is None else f'{value:08x}'} on {name_ranks(ranks)}"
            for value, ranks in groups.items()
        )
    odd = sorted(r for r, value in values.items() if value != usual)
    how = "is missing" if all(values[r] is None for r in odd) else "differs"
    return f"{how} on {name_ranks(odd)}; {name_ranks(sorted(groups[usual]))} agree"
