"""Was this process started as one of several ranks?  Read from the environment, without importing MPI.

Each launcher leaves its own variables; the order of the questions matters.  Under Open MPI's ``mpirun`` inside
a Slurm job every rank of a remote node carries the ``SLURM_PROCID`` of the daemon that started it, so Open MPI
is asked first.  The shell of a batch job has ``SLURM_PROCID=0`` too and is no rank: a Slurm *step* is required.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

# Slurm's step numbers of the batch script and of the allocation's outer shell.
_NOT_A_STEP = ("4294967291", "4294967290")


class Launch(NamedTuple):
    """What the launcher promised this process; ``launcher`` is None for a plain process."""

    launcher: str | None
    rank: int
    size: int
    local_rank: int | None
    local_size: int | None

    def __str__(self) -> str:
        if self.launcher is None:
            return "no launcher"
        return f"{self.launcher}: rank {self.rank} of {self.size}"


PLAIN = Launch(None, 0, 1, 0, 1)


def detect(env: Mapping[str, str] | None = None) -> Launch:
    """The promise of the launcher: Open MPI's or MPICH's ``mpirun``, or ``srun`` in its three kinds."""
    where = os.environ if env is None else env

    def number(name: str) -> int | None:
        text = where.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None  # "²" is a digit too

    def launch(launcher: str, rank: str, size: str, local_rank: str, local_size: str = "") -> Launch | None:
        r, n = number(rank), number(size)
        if r is None or n is None:
            return None
        return Launch(launcher, r, n, number(local_rank), number(local_size) if local_size else None)

    found = launch(
        "openmpi",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    )
    if found:
        return found
    step = "SLURM_STEP_ID" in where and where["SLURM_STEP_ID"] not in _NOT_A_STEP
    if step and "MPI_LOCALRANKID" not in where:
        found = launch("srun-pmi2", "PMI_RANK", "PMI_SIZE", "SLURM_LOCALID")
        if found:
            return found
    found = launch("hydra", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS")
    if found:
        return found
    if step:
        found = launch("srun-pmix", "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        if not found and "SLURM_SRUN_COMM_HOST" in where:
            # No process manager: MPI would start that many worlds of one rank each.
            found = launch("srun-none", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    return found or PLAIN


def advice(promised: Launch) -> str:
    """What to try when MPI's world is smaller than ``promised``."""
    if promised.launcher == "srun-none":
        return "srun started the ranks without a process manager; try srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI)"
    if promised.launcher in ("srun-pmi2", "srun-pmix"):
        return f"the MPI library does not speak {promised.launcher[5:]}; try another srun --mpi=..., or mpirun"
    return (
        f"mpirun and the MPI library are of different makes (the launcher is {promised.launcher}); "
        "use the mpirun that was installed with the library, or `allgrad run`, which picks it"
    )
