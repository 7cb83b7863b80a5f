"""Process groups: who takes part.  ``init_process_group`` joins the world that the launcher made.

The default group belongs to a virtual rank (its thread) or to the process; no other module state exists.
"""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Sequence
from typing import Any

from allgrad.comm import Communicator, launch_world
from allgrad.context import rank_state
from allgrad.errors import ArgumentError, DistributedError, LaunchError

BACKENDS = ("mpi", "gloo", "nccl", "ucc", "virtual", "single")


class ProcessGroup:
    """A group of ranks: a communicator, and the ranks of the default group that it is made of."""

    def __init__(self, comm: Communicator, ranks: Sequence[int], name: str, timeout_s: float | None) -> None:
        self.comm = comm
        self.ranks = tuple(ranks)
        self.name = name
        self.timeout_s = timeout_s
        if timeout_s is not None:
            comm.set_timeout(timeout_s)
        self.gate: Any = None  # its step words, once a model was wrapped over it (step_word.Gate)

    def rank(self) -> int:
        """This rank's number in the group."""
        return self.comm.rank

    def size(self) -> int:
        """How many ranks there are."""
        return self.comm.size

    def __repr__(self) -> str:
        return f"<ProcessGroup {self.name!r}: rank {self.comm.rank} of {self.comm.size}, {self.comm.kind}>"


def _default() -> ProcessGroup | None:
    found: ProcessGroup | None = rank_state().group
    return found


def _set_default(group: ProcessGroup | None) -> None:
    rank_state().group = group


def is_available() -> bool:
    """True: the layer between ranks is always there."""
    return True


def is_initialized() -> bool:
    """Whether ``init_process_group`` was called on this rank."""
    return _default() is not None


def is_mpi_available() -> bool:
    """Whether mpi4py is installed; says nothing about an MPI library."""
    return importlib.util.find_spec("mpi4py") is not None


def is_gloo_available() -> bool:
    """True: what is asked of gloo runs on allgrad's own communicators."""
    return True


def is_nccl_available() -> bool:
    """False: there are no GPUs."""
    return False


def is_torchelastic_launched() -> bool:
    """False; see ``allgrad run``."""
    return False


def seconds(timeout: Any) -> float | None:
    """A timeout given as timedelta or number of seconds, in seconds."""
    if timeout is None:
        return None
    s = timeout.total_seconds() if isinstance(timeout, datetime.timedelta) else float(timeout)
    if s <= 0:
        raise ArgumentError(f"timeout must be positive, found {timeout}")
    return s


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Join the world: MPI's if a launcher started this process, the virtual one of this thread, or a world of one.

    ``backend`` and ``init_method`` are accepted for PyTorch's sake; ``world_size`` and ``rank``, if given, must be what
    the launcher says, else LaunchError.  ``timeout`` (timedelta or seconds): how long MPI ranks wait for a missing one
    before the job ends with code 75.
    """
    if _default() is not None:
        raise ArgumentError("trying to initialize the default process group twice!")
    if backend is not None and str(backend).split(":")[-1].lower() not in BACKENDS:
        raise ArgumentError(f"unknown backend {backend!r}; all of {', '.join(BACKENDS)} run on allgrad's communicators")
    comm = launch_world()
    for name, asked, found in (("world_size", world_size, comm.size), ("rank", rank, comm.rank)):
        if asked not in (-1, None) and int(asked) != found:
            raise LaunchError(
                f"init_process_group(..., {name}={asked}), but this process is rank {comm.rank} of {comm.size} in the "
                f"{comm.kind} world; start it with: allgrad run -n {world_size if world_size > 0 else 2} your_program.py"
            )
    _set_default(ProcessGroup(comm, range(comm.size), group_name or "world", seconds(timeout)))


def default_group() -> ProcessGroup:
    """The group made by ``init_process_group``; an error if there is none."""
    found = _default()
    if found is None:
        raise DistributedError(
            "Default process group has not been initialized, please make sure to call init_process_group."
        )
    return found


class _WorldMeta(type):
    """``WORLD`` is asked of the class, and is another group on each virtual rank."""

    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The default group; None before ``init_process_group``."""
        return _default()


class GroupMember(metaclass=_WorldMeta):
    """PyTorch's names for the default group and for no group."""

    NON_GROUP_MEMBER = object()


class group(metaclass=_WorldMeta):
    """``dist.group.WORLD`` is the default group."""


def group_of(group: Any) -> ProcessGroup:
    """``group`` itself, the default one for None; an error on a rank that is not in it."""
    if group is None:
        return default_group()
    if group is GroupMember.NON_GROUP_MEMBER:
        raise DistributedError("this rank is not a member of the group given")
    if not isinstance(group, ProcessGroup):
        raise ArgumentError(f"expected a ProcessGroup from new_group(), found {type(group).__name__}")
    return group


def entered(group: Any, what: str) -> ProcessGroup:
    """``group_of``, for a call of the user's in which all ranks of the group take part.

    Ranks that come here while others still train stand in for their steps first (``step_word.py``).
    """
    g = group_of(group)
    if g.gate is not None:
        g.gate.meet(what)
    return g


def get_rank(group: Any = None) -> int:
    """This rank's number in the group; -1 if it is not in it."""
    return -1 if group is GroupMember.NON_GROUP_MEMBER else group_of(group).comm.rank


def get_world_size(group: Any = None) -> int:
    """How many ranks the group has; -1 on a rank that is not in it."""
    return -1 if group is GroupMember.NON_GROUP_MEMBER else group_of(group).comm.size


def get_backend(group: Any = None) -> str:
    """Which world the group lives in: "mpi", "virtual" or "single"."""
    return group_of(group).comm.kind


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """This rank's number on its node."""
    found = _default()
    if found is not None:
        return found.comm.local_rank
    if fallback_rank is not None:
        return fallback_rank
    raise DistributedError("get_node_local_rank() needs init_process_group() first, or a fallback_rank")


def get_process_group_ranks(group: Any) -> list[int]:
    """The ranks of the default group that the group is made of."""
    return list(group_of(group).ranks)


def get_global_rank(group: Any, group_rank: int) -> int:
    """The number in the default group of the group's rank ``group_rank``."""
    g = group_of(group)
    if not 0 <= group_rank < len(g.ranks):
        raise ArgumentError(f"group rank {group_rank} is not part of group {g}")
    return g.ranks[group_rank]


def get_group_rank(group: Any, global_rank: int) -> int:
    """The number in the group of rank ``global_rank`` of the default group."""
    g = group_of(group)
    if global_rank not in g.ranks:
        raise ArgumentError(f"Global rank {global_rank} is not part of group {g}")
    return g.ranks.index(global_rank)


def new_group(
    ranks: Sequence[int] | None = None,
    timeout: Any = None,
    backend: Any = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: Any = None,
    device_id: Any = None,
) -> Any:
    """A group of some ranks of the default group; every rank of that calls it, members or not.

    ``GroupMember.NON_GROUP_MEMBER`` on ranks that are not in it.
    """
    world = entered(None, "new_group")
    members = sorted(range(world.comm.size) if ranks is None else (int(r) for r in ranks))
    comm = world.comm.subgroup(members)
    if comm is None:
        return GroupMember.NON_GROUP_MEMBER
    name = group_desc or "group of ranks " + ",".join(map(str, members))
    return ProcessGroup(comm, members, name, seconds(timeout) or world.timeout_s)


def destroy_process_group(group: Any = None) -> None:
    """Leave a group; without argument the default one.  Collective over the group."""
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    found = entered(group, "destroy_process_group")
    found.comm.barrier("destroy_process_group")
    if found.gate is not None:
        found.gate.close()
        found.gate = None
    if found is _default():
        _set_default(None)
    else:
        if found.comm.leases is not None:
            found.comm.leases.close()
        found.comm.close()
