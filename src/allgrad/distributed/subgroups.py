"""Subgroups of equal size, or as listed: each rank gets the one it is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allgrad.distributed.group import GroupMember, ProcessGroup, entered, seconds
from allgrad.errors import ArgumentError


def new_subgroups(
    group_size: int | None = None, group: Any = None, timeout: Any = None, backend: Any = None, pg_options: Any = None,
    group_desc: Any = None,
) -> tuple[ProcessGroup, list[Any]]:  # fmt: skip
    """Cut the group into subgroups of ``group_size`` neighbouring ranks; by default as many as a node has.

    This rank's subgroup, and the list of all with ``GroupMember.NON_GROUP_MEMBER`` in place of those of others.
    """
    g = entered(group, "new_subgroups")
    world = g.comm.size
    if group_size is None:
        group_size = g.comm.local_size
        if any(g.comm.hosts.count(host) != group_size for host in g.comm.hosts):
            raise ArgumentError(f"the nodes hold different numbers of ranks ({g.comm.hosts}); give group_size")
    if not 0 < group_size <= world:
        raise ArgumentError(
            f"The arg 'group_size' ({group_size}) must be positive and must not exceed the world size ({world})"
        )
    if world % group_size:
        raise ArgumentError(f"The world size ({world}) must be divisible by 'group_size={group_size}'")
    rows = [list(g.ranks[start : start + group_size]) for start in range(0, world, group_size)]
    mine, groups = _cut(g, rows, timeout, group_desc)
    if mine is None:
        raise ArgumentError(f"rank {g.comm.rank} is in no subgroup of {rows}")
    return mine, groups


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: Sequence[Sequence[int]], timeout: Any = None, backend: Any = None, pg_options: Any = None,
    group_desc: Any = None,
) -> tuple[ProcessGroup | None, list[Any]]:  # fmt: skip
    """The subgroups that are listed, as ranks of the default group; a rank may be in one at most, or in none (None)."""
    rows = [list(row) for row in ranks_per_subgroup_list]
    if not rows or not all(rows):
        raise ArgumentError(f"The arg 'ranks_per_subgroup_list' cannot be empty or hold an empty list, found {rows}")
    flat = [rank for row in rows for rank in row]
    twice = sorted({rank for rank in flat if flat.count(rank) > 1})
    if twice:
        raise ArgumentError(f"Rank {twice[0]} has appeared in more than one subgroup")
    return _cut(entered(None, "new_subgroups_by_enumeration"), rows, timeout, group_desc)


def _cut(g: ProcessGroup, rows: list[list[int]], timeout: Any, name: Any) -> tuple[ProcessGroup | None, list[Any]]:
    """One collective call makes all of them; ``rows`` hold ranks of the default group."""
    here = g.ranks[g.comm.rank]
    unknown = [rank for row in rows for rank in row if rank not in g.ranks]
    if unknown:
        raise ArgumentError(f"rank {unknown[0]} is not one of the ranks {list(g.ranks)}")
    number = next((k for k, row in enumerate(rows) if here in row), None)
    comm = g.comm.split(number, 0 if number is None else rows[number].index(here))
    groups: list[Any] = [GroupMember.NON_GROUP_MEMBER] * len(rows)
    if number is None or comm is None:
        return None, groups
    title = name or "group of ranks " + ",".join(map(str, rows[number]))
    groups[number] = mine = ProcessGroup(comm, rows[number], title, seconds(timeout) or g.timeout_s)
    return mine, groups
