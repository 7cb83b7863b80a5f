"""What ``allgrad doctor`` thinks of the facts: pure functions from facts to findings, each with its repair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Facts = Mapping[str, Any]

SHM_PER_RANK = 16 * 2**20  # what Open MPI maps for each rank of a node
SHM_SPARE = 64 * 2**20  # gradient buckets of a small model
MEMORY_PER_RANK = 256 * 2**20  # Python, NumPy, MPI and a small model
CLOCK_S = 1.0  # file times and logs of two nodes should agree about what came first
LATENCY_US = {"node": 2_000.0, "network": 10_000.0}  # ten times what a busy but healthy machine shows
BANDWIDTH_GB_S = {"node": 0.2, "network": 0.02}


class Finding(NamedTuple):
    """One judged fact; ``repair`` is None where all is well."""

    fact: str
    repair: str | None = None


def judge(ranks: Sequence[Facts], speed: Mapping[str, float]) -> list[Finding]:
    """Findings about a world: ``ranks`` as of ``distributed.facts.gather_facts``, ``speed`` as of its ``probe``."""
    found = [_world(ranks), _threads_of_mpi(ranks), *_versions(ranks)]
    for facts in {facts["host"]: facts for facts in ranks}.values():
        members = [other for other in ranks if other["host"] == facts["host"]]
        found += [*_cores(members), *_memory(min(members, key=lambda one: one["shm_free_bytes"] or 0))]
    return [*found, _clock(ranks), *_speed(ranks, speed)]


def _world(ranks: Sequence[Facts]) -> Finding:
    first, size, hosts = ranks[0], len(ranks), len({facts["host"] for facts in ranks})
    where = f"{size} rank{'s' * (size > 1)} on {hosts} node{'s' * (hosts > 1)}"
    promised = {facts["promised_size"] for facts in ranks} - {None}
    if promised - {size}:
        return Finding(
            f"{where}, but the launcher promised {max(promised)}",
            "launcher and MPI library do not fit together; use `allgrad run`, which picks the launcher of the library",
        )
    return Finding(f"{where}, {first.get('library') or 'no MPI'}, started by {first['launcher'] or 'no launcher'}")


def _threads_of_mpi(ranks: Sequence[Facts]) -> Finding:
    level = ranks[0].get("thread_level")
    fact = f"MPI thread level {level or 'not asked for: there is one process'}"
    if level in (None, "multiple", "serialized"):
        return Finding(fact)
    return Finding(
        fact, "a program with threads may not use this MPI; unset MPI4PY_RC_THREAD_LEVEL, or use another MPI"
    )


def _versions(ranks: Sequence[Facts]) -> Iterator[Finding]:
    per_rank = [{**facts["versions"], "MPI": facts.get("library")} for facts in ranks]
    for name in per_rank[0]:
        seen: dict[Any, list[int]] = {}
        for rank, versions in enumerate(per_rank):
            seen.setdefault(versions.get(name), []).append(rank)
        if len(seen) > 1:
            told = "; ".join(f"{version} on ranks {_some(members)}" for version, members in seen.items())
            yield Finding(f"{name} differs: {told}", f"install the same {name} on all nodes, or share one environment")
    if all(versions == per_rank[0] for versions in per_rank):
        shown = ", ".join(f"{name} {version}" for name, version in per_rank[0].items() if version)
        yield Finding(f"{'the same on all ranks: ' if len(ranks) > 1 else ''}{shown}")


def _cores(members: Sequence[Facts]) -> Iterator[Finding]:
    """Of one node: the threads of all its ranks must not be more than the cores that they may use."""
    first = members[0]
    quota = first.get("quota_cores")
    cores = first["node_cores"] if quota is None else min(first["node_cores"], max(1, int(quota)))
    limit = "" if quota is None else f" (CPU quota {quota:g})"
    fact = f"{first['host']}: {len(members)} ranks, {first['node_threads']} BLAS threads, {cores} usable cores{limit}"
    share = max(1, cores // len(members))
    pinned = [facts["rank"] for facts in members if facts["blas_threads"] > len(facts["cores"])]
    if pinned:
        yield Finding(
            f"{fact}; ranks {_some(pinned)} have more threads than cores they are bound to",
            "start with `mpirun --bind-to none` (`allgrad run` does), or bind each rank to as many cores as it has threads",
        )
    elif len(members) > cores:
        yield Finding(
            fact, f"more ranks than cores: each waits for the others' turns; start at most {cores} ranks on this node"
        )
    elif first["node_threads"] > cores:
        yield Finding(
            fact, f"threads get in each other's way: `allgrad run --threads {share}`, or OMP_NUM_THREADS={share}"
        )
    else:
        yield Finding(fact)


def _memory(facts: Facts) -> Iterator[Finding]:
    host, size = facts["host"], facts["node_ranks"]
    free, needed = facts["shm_free_bytes"], size * SHM_PER_RANK + SHM_SPARE
    if free is None:
        yield Finding(f"{host}: no /dev/shm, so ranks of this node exchange gradients by messages")
    else:
        text = f"{host}: {free / 2**20:.0f} MiB free in /dev/shm"
        small = "remove old files there, or make it larger: docker run --shm-size=1g, shm_size in compose.yaml,"
        small += " an emptyDir of medium Memory in Kubernetes"
        yield Finding(text, None if free >= needed or size == 1 else f"{needed / 2**20:.0f} MiB are wanted; {small}")
    limit = facts.get("memory_limit_bytes")
    if limit is not None:
        fact = f"{host}: memory limit of the control group {limit / 2**20:.0f} MiB"
        enough = limit >= size * MEMORY_PER_RANK
        yield Finding(fact, None if enough else f"ranks would be killed; give {size} ranks more memory, or start fewer")


def _clock(ranks: Sequence[Facts]) -> Finding:
    clocks = [facts["clock_s"] for facts in ranks]
    apart = max(clocks) - min(clocks)
    late = ranks[clocks.index(min(clocks))]["host"]
    if apart <= CLOCK_S:
        return Finding(f"clocks are at most {apart * 1e3:.0f} ms apart")
    return Finding(f"clocks are {apart:.1f} s apart, {late} is the latest", f"set the clock of {late}: NTP or chrony")


def _speed(ranks: Sequence[Facts], speed: Mapping[str, float]) -> Iterator[Finding]:
    if len(ranks) == 1:
        return
    where = "node" if len({facts["host"] for facts in ranks}) == 1 else "network"
    latency, bandwidth = speed["latency_us"], speed["bandwidth_gb_s"]
    waits = "ranks wait for a core; look at the cores above, and for other programs on these nodes"
    slow = "; if it is the network: is it the right interface? OMPI_MCA_btl_tcp_if_include=eth1" * (where == "network")
    yield Finding(
        f"all-reduce of 8 bytes: {latency:.0f} µs", None if latency <= LATENCY_US[where] else f"{waits}{slow}"
    )
    yield Finding(
        f"all-reduce of 4 MB: {bandwidth:.2f} GB/s", None if bandwidth >= BANDWIDTH_GB_S[where] else f"{waits}{slow}"
    )


def _some(ranks: Sequence[int]) -> str:
    shown = ", ".join(map(str, ranks[:8]))
    return shown if len(ranks) <= 8 else f"{shown}, … ({len(ranks)} in all)"
