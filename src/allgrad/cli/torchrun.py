"""torchrun's options on ``allgrad run``: what means nothing here is taken and named, what would mean something else is refused.

torchrun is started on every node and finds the others by a rendezvous; ``allgrad run`` is started once.
"""

from __future__ import annotations

import argparse
import sys

from allgrad.errors import ArgumentError

# MPI brings the processes of a job together, without address, port or rendezvous.
IDLE = (
    "master-addr", "master-port", "rdzv-backend", "rdzv-endpoint", "rdzv-id", "rdzv-conf", "local-addr", "role",
    "monitor-interval", "start-method", "redirects", "tee",
)  # fmt: skip


def spellings(name: str) -> tuple[str, ...]:
    """An option as torchrun's users write it.

    >>> spellings("log-dir")
    ('--log-dir', '--log_dir')
    """
    return (f"--{name}", f"--{name.replace('-', '_')}") if "-" in name else (f"--{name}",)


def add_torchrun_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that are not shown in the help."""
    for name in IDLE:
        parser.add_argument(*spellings(name), help=argparse.SUPPRESS)
    parser.add_argument("--standalone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(*spellings("node-rank"), help=argparse.SUPPRESS)
    parser.add_argument(*spellings("no-python"), action="store_true", help=argparse.SUPPRESS)


def check_torchrun_arguments(arguments: argparse.Namespace) -> None:
    """One line about what was given for nothing; ArgumentError for what torchrun would do and this launcher does not."""
    if arguments.node_rank not in (None, "0"):
        raise ArgumentError(
            f"--node-rank {arguments.node_rank}: allgrad run is started once, on one node, not on each; "
            "name the other nodes with --hosts or --hostfile"
        )
    if arguments.no_python:
        raise ArgumentError("--no-python: allgrad run starts Python programs only; use mpirun for others")
    idle = [name for name in IDLE if getattr(arguments, name.replace("-", "_")) is not None]
    if arguments.standalone:
        idle.append("standalone")
    if arguments.node_rank is not None:
        idle.append("node-rank")
    if idle:
        words = ", ".join(f"--{name}" for name in idle)
        print(
            f"allgrad: {words} of torchrun: nothing to do here (--log-dir, --tag-output sort output)", file=sys.stderr
        )
