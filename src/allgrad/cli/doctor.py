"""Look at a job before it runs for a week, and judge: MPI, ranks, cores, memory, clocks, versions, speed.

  allgrad doctor                              this machine
  allgrad run -n 4 -m allgrad doctor          a job as it would be started: also with --hosts, and inside batch jobs
  mpirun -n 4 allgrad doctor                  under any launcher; srun too

Exit code 1 if anything should be repaired; what to do is said with it.
"""

from __future__ import annotations

import argparse
from typing import Any

from allgrad.cli.cores import memory_limit, quota_cores
from allgrad.cli.findings import Finding, judge
from allgrad.cli.info import version
from allgrad.cli.mpi_launcher import find_launcher
from allgrad.comm.launchenv import detect
from allgrad.errors import AllgradError, LaunchError, MissingPackageError

SUMMARY = "judge this machine, or a job when started as its program, and say what to repair"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""
    parser.epilog = "`allgrad info` prints the bare facts of this machine, for a bug report."


def execute(arguments: argparse.Namespace) -> int:
    """Print one finding a line on the first rank; 1 on all ranks if one of them needs a repair."""
    findings, speaker = examine()
    if speaker:
        for finding in findings:
            print(f"{'ok   ' if finding.repair is None else 'BAD  '}{finding.fact}")
            if finding.repair is not None:
                print(f"     -> {finding.repair}")
    return int(any(finding.repair is not None for finding in findings))


def examine() -> tuple[list[Finding], bool]:
    """The findings, equal on all ranks, and whether this rank prints them.  Collective."""
    from allgrad.comm import launch_world
    from allgrad.distributed.facts import gather_facts, probe

    promised = detect()
    try:
        world = launch_world()
    except (LaunchError, MissingPackageError) as error:
        # N worlds of one, or none at all: every process finds the same, the one that was promised rank 0 says it.
        return [Finding(f"no world of {promised.size} ranks", str(error))], promised.rank == 0
    ranks = gather_facts(world, limits())
    for facts in ranks:
        facts["versions"]["mpi4py"] = facts.pop("mpi4py")
    findings = judge(ranks, probe(world))
    if promised.launcher is None:
        findings += alone()
    return findings, world.rank == 0


def limits() -> dict[str, Any]:
    """What the facts of ``distributed.facts`` leave out: limits of the control group, and the version of mpi4py."""
    return {"quota_cores": quota_cores(), "memory_limit_bytes": memory_limit(), "mpi4py": version("mpi4py")}


def alone() -> list[Finding]:
    """Of a plain process: could it start a job?"""
    try:
        launcher = find_launcher()
    except AllgradError as error:
        return [Finding("no MPI launcher", str(error))]
    return [
        Finding(f"`allgrad run` would take {launcher.path} ({launcher.family} {launcher.version})"),
        Finding("one process only; a whole job is judged by: allgrad run -n N -m allgrad doctor"),
    ]
