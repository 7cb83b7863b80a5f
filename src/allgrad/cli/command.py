"""The exact command and environment of a job: pure functions, an argument list and no shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from allgrad.cli import bootstrap
from allgrad.cli.cores import thread_variables
from allgrad.cli.hosts import Host
from allgrad.cli.mpi_launcher import Launcher
from allgrad.cli.program import Program
from allgrad.errors import LaunchError

# Not forwarded to other nodes by Open MPI unless named; the ranks there must find the same Python packages.
FORWARDED_IF_SET = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Plan:
    """What to start where; made from the command line."""

    program: Program
    ranks: int  # the world size
    ranks_per_node: int  # on the fullest node
    nodes: int = 1
    hosts: tuple[Host, ...] = ()  # with their ranks; empty: this host, or what the batch system gives
    cores: int = 1  # usable cores of a node
    threads: int | None = None
    bind: bool = False
    variables: tuple[tuple[str, str], ...] = ()  # --env
    timeout_s: float | None = None
    log_dir: str | None = None
    tag_output: bool = False

    @property
    def oversubscribed(self) -> bool:
        """More ranks than cores on a node?"""
        return self.ranks_per_node > self.cores

    @property
    def spread(self) -> bool:
        """Does the job leave this host?  Then its directory must be one that other nodes see."""
        return self.nodes > 1 or bool(self.hosts)


def plan_environment(launcher: Launcher, plan: Plan, base: Mapping[str, str], root: bool) -> dict[str, str]:
    """The variables to add to ``base`` for the launcher and the ranks."""
    added = thread_variables(plan.ranks_per_node, plan.threads, base, plan.cores)
    added[bootstrap.PROMISED_SIZE] = str(plan.ranks)
    if plan.timeout_s is not None:
        added["ALLGRAD_TIMEOUT"] = f"{plan.timeout_s:g}"
    if plan.log_dir is not None:
        added[bootstrap.LOG_DIR] = os.path.abspath(plan.log_dir)
    if plan.tag_output:
        added[bootstrap.TAG_OUTPUT] = "1"
    if launcher.family == "openmpi":
        if root:
            added |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        defaults = {
            "OMPI_MCA_btl": "^ofi",  # without a fabric btl/ofi sleeps one second in MPI_Init
            "OMPI_MCA_osc": "^ucx",  # silences a warning whenever a window is created
        }
        if plan.oversubscribed:
            defaults["OMPI_MCA_mpi_yield_when_idle"] = "1"  # a rank that waits must not burn its neighbour's core
        added |= {name: value for name, value in defaults.items() if name not in base}
    return added | dict(plan.variables)


def plan_command(launcher: Launcher, plan: Plan, added: Mapping[str, str], base: Mapping[str, str]) -> list[str]:
    """The argument list that starts the job; ``added`` is what ``plan_environment`` gave."""
    if plan.bind and plan.oversubscribed:
        raise LaunchError(
            f"--bind gives each rank its own cores, but there are {plan.ranks_per_node} ranks and {plan.cores} usable"
            " cores on a node; leave it out, or start fewer ranks"
        )
    words = _openmpi_words(plan) if launcher.family == "openmpi" else _mpich_words(plan)
    if launcher.family == "openmpi":
        # Values travel in the environment: -x NAME=VALUE would need quoting rules of its own.
        # OMPI_* it forwards itself, and complains when they are named.
        names = [name for name in added if not name.startswith("OMPI_")]
        ours = sorted(name for name in base if name.startswith("ALLGRAD_"))
        names += [name for name in (*FORWARDED_IF_SET, *ours) if name in base and name not in names]
        for name in names:
            words += ["-x", name]
    python = [sys.executable, "-m", "allgrad.cli.bootstrap", *plan.program.command_line()]
    return [launcher.path, *words, *python]


def _openmpi_words(plan: Plan) -> list[str]:
    # OVERSUBSCRIBE is a permission: Open MPI counts physical cores and would refuse hyperthreads, quotas and slots.
    unit = f"ppr:{plan.ranks_per_node}:node" if _by_node(plan) else "slot"
    pinned = f":PE={_pinned_cores(plan)}" if plan.bind else ""
    words = ["-n", str(plan.ranks), "--map-by", f"{unit}{pinned}:OVERSUBSCRIBE"]
    # Its default binds each rank to one core, on which all its BLAS threads would then sit.
    words += ["--bind-to", "core" if plan.bind else "none"]
    return words + (["--host", _host_list(plan)] if plan.hosts else [])


def _mpich_words(plan: Plan) -> list[str]:
    words = ["-n", str(plan.ranks)]
    if _by_node(plan):
        words += ["-ppn", str(plan.ranks_per_node)]
    if plan.bind:
        words += ["-bind-to", f"core:{_pinned_cores(plan)}"]
    return words + (["-hosts", _host_list(plan)] if plan.hosts else [])


def _by_node(plan: Plan) -> bool:
    """Must the launcher be told to spread the ranks evenly over the nodes that the batch system gives?"""
    return plan.nodes > 1 and not plan.hosts and plan.ranks == plan.nodes * plan.ranks_per_node


def _host_list(plan: Plan) -> str:
    return ",".join(f"{host.name}:{host.slots}" for host in plan.hosts)


def _pinned_cores(plan: Plan) -> int:
    return plan.threads or max(1, plan.cores // plan.ranks_per_node)
