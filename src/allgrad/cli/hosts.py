"""Which nodes a job uses: ``--hosts``, ``--hostfile``, or what a batch system has given.

Open MPI writes ``node1 slots=4``, MPICH ``node1:4``; both are read, and each launcher is given its own form.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from allgrad.errors import LaunchError

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_MAX_SLOTS = 100_000  # more ranks on one node are a slip of the keyboard
_MAX_FILE_BYTES = 10_000_000


@dataclass(frozen=True)
class Host:
    """A node by name; ``slots`` is the number of ranks it takes, None when nothing was said."""

    name: str
    slots: int | None = None


@dataclass(frozen=True)
class Allocation:
    """What a batch system has given to this job."""

    system: str
    nodes: int
    ranks: int | None = None  # how many ranks were asked of the batch system, None when nothing was said
    hosts: tuple[Host, ...] = ()  # empty where the launcher reads the allocation by itself


def parse_host(text: str) -> Host:
    """``node1`` or ``node1:4``.

    >>> parse_host("node1:4")
    Host(name='node1', slots=4)
    """
    name, colon, slots = text.strip().partition(":")
    if not _NAME.fullmatch(name):
        raise LaunchError(f"{text!r} is not a host; expected NAME or NAME:RANKS, such as node1:4")
    return Host(name, parse_slots(slots, text) if colon else None)


def parse_slots(digits: str, where: str) -> int:
    """The number of ranks of one host."""
    if not (digits.isascii() and digits.isdigit() and 1 <= int(digits[:9]) <= _MAX_SLOTS):
        raise LaunchError(f"{where!r}: the number of ranks must be between 1 and {_MAX_SLOTS}, found {digits!r}")
    return int(digits)


def _count(text: str) -> int | None:
    """A number that a batch system wrote; None for anything else ("²" is a digit too)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def parse_hosts(text: str) -> tuple[Host, ...]:
    """A comma-separated list, ``node1:4,node2:4``."""
    return merge(parse_host(part) for part in text.split(","))


def parse_hostfile(path: str) -> tuple[Host, ...]:
    """One host a line: ``node1``, ``node1:4``, or ``node1 slots=4``; ``#`` begins a comment."""
    try:
        if os.path.getsize(path) > _MAX_FILE_BYTES:
            raise LaunchError(f"--hostfile {path}: larger than {_MAX_FILE_BYTES} bytes; is it a list of hosts?")
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LaunchError(f"--hostfile {path}: cannot be read: {error}") from error
    hosts = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{path}, line {number}: {line.strip()[:80]}"
        try:
            host = parse_host(words[0])
        except LaunchError as error:
            raise LaunchError(f"--hostfile {path}, line {number}: {error}") from None
        for word in words[1:]:
            key, _, value = word.partition("=")
            if key == "slots":
                host = Host(host.name, parse_slots(value, where))
            elif key not in ("max_slots", "max-slots"):
                raise LaunchError(
                    f"{where!r}: {word!r} is not understood; expected NAME, NAME:RANKS or NAME slots=RANKS"
                )
        hosts.append(host)
    if not hosts:
        raise LaunchError(f"--hostfile {path}: no host in it")
    return merge(hosts)


def merge(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """Each name once, in order of first appearance; slots add up, a line without slots counts as one."""
    listed = list(hosts)
    names = list(dict.fromkeys(host.name for host in listed))
    merged = []
    for name in names:
        slots = [host.slots for host in listed if host.name == name]
        alone = len(slots) == 1
        merged.append(Host(name, slots[0] if alone else sum(1 if s is None else s for s in slots)))
    return tuple(merged)


def allocation(environment: Mapping[str, str]) -> Allocation | None:
    """The batch job that this process is part of: Slurm, PBS, LSF, or None."""
    if "SLURM_JOB_ID" in environment:
        nodes = environment.get("SLURM_JOB_NUM_NODES", environment.get("SLURM_NNODES", "1"))
        tasks = environment.get("SLURM_NTASKS", "")
        return Allocation("slurm", _count(nodes) or 1, _count(tasks))
    if environment.get("PBS_NODEFILE"):  # one line for each rank
        hosts = parse_hostfile(environment["PBS_NODEFILE"])
        return Allocation("pbs", len(hosts), sum(host.slots or 1 for host in hosts))
    if environment.get("LSB_MCPU_HOSTS"):  # "node1 4 node2 4"; the MPI wheels are built without LSF
        words = environment["LSB_MCPU_HOSTS"].split()
        if not words or len(words) % 2:
            raise LaunchError(f"LSB_MCPU_HOSTS is {' '.join(words)[:80]!r}; expected NAME RANKS NAME RANKS …")
        hosts = tuple(parse_host(f"{name}:{slots}") for name, slots in zip(words[::2], words[1::2]))
        return Allocation("lsf", len(hosts), sum(host.slots or 1 for host in hosts), hosts)
    return None
