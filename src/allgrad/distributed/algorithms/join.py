"""``Join``: ranks that run out of batches stand in for themselves until all have.

Before each step every rank says in one short message whether it still has data.  One that has none any more runs the
``main_hook`` of each joinable instead of a step: the same communication, contributing nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from allgrad.distributed.group import ProcessGroup
from allgrad.errors import ArgumentError, DistributedError

__all__ = ["Join", "JoinHook", "Joinable"]

OUT, ACTIVE, WEIGHTED = b"0", b"1", b"2"


class JoinHook:
    """What a rank without data does for one joinable."""

    join: Join  # the context it belongs to

    def main_hook(self) -> None:
        """Once for each step of the ranks that have data: meet their communication."""
        return

    def post_hook(self, is_last_joiner: bool) -> None:
        """Once when all are out; ``is_last_joiner`` on the ranks that had the most steps."""
        return


class Joinable(ABC):
    """Something that communicates once a step, and calls ``Join.notify_join_context(self)`` first."""

    _join: Join | None = None

    @abstractmethod
    def join_hook(self, **kwargs: Any) -> JoinHook:
        """The hook for this rank; ``kwargs`` are those of ``Join``."""

    @property
    @abstractmethod
    def join_process_group(self) -> ProcessGroup:
        """The group over which it communicates."""

    @property
    def join_device(self) -> Any:
        """Where its messages lie: the CPU."""
        return "cpu"


class Join:
    """``with Join([model]): for batch in loader: ...``, with more batches on some ranks than on others."""

    def __init__(
        self, joinables: Sequence[Any], enable: bool = True, throw_on_early_termination: bool = False, **kwargs: Any
    ) -> None:
        if not joinables:
            raise ArgumentError("The join context manager requires at least one joinable")
        groups = {id(j.join_process_group.comm) for j in joinables}
        if len(groups) > 1:
            raise ArgumentError("using join with multiple process groups is not supported")
        self.joinables, self.enabled, self.throws = list(joinables), enable, throw_on_early_termination
        self.comm = joinables[0].join_process_group.comm
        self.settings = kwargs
        self.hooks = [j.join_hook(**kwargs) for j in joinables]
        for hook in self.hooks:
            hook.join = self
        self.found: list[bytes] = []  # what the ranks said last

    def __enter__(self) -> Join:
        if self.enabled:
            for joinable in self.joinables:
                joinable._join = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for joinable in self.joinables:
            joinable._join = None
        if not self.enabled or kind is not None:
            return
        last = True
        while self.ask(OUT):
            last = False
            for hook in self.hooks:
                hook.main_hook()
        for hook in self.hooks:
            hook.post_hook(last)

    def ask(self, mine: bytes) -> list[int]:
        """Say whether this rank has data; which ranks have."""
        self.found = self.comm.all_gather_bytes(mine, label="who still has batches")
        active = [r for r, said in enumerate(self.found) if said != OUT]
        if self.throws and 0 < len(active) < self.comm.size:
            raise DistributedError(
                f"Detected at least one rank that exhausted inputs (ranks {sorted(set(range(self.comm.size)) - set(active))} "
                f"of {self.comm.size}). Throwing across all ranks."
            )
        return active

    @staticmethod
    def notify_join_context(joinable: Any, weighted: bool = False) -> None:
        """Before the communication of a step: the first of the joinables tells the ranks that are out."""
        join = joinable._join
        if join is not None and join.joinables[0] is joinable:
            join.ask(WEIGHTED if weighted else ACTIVE)
