"""Differentiable collectives, local SGD and metrics under MPI: the bits of the virtual world.  One job per size."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from allgrad.comm import run_virtual
from mpirun import mpirun, within

MODULES = ("distributed_nn_bodies", "local_sgd_bodies", "metrics_bodies")


@pytest.mark.parametrize("size", [2, 3, 4])
def test_mpi_is_virtual_bit_for_bit(size: int) -> None:
    script = str(Path(__file__).parent / "mpi" / "run_modules.py")
    job = mpirun(size, script, *MODULES, timeout_s=within(60))
    assert job.code == 0, job.out + job.err
    found = json.loads(job.out[job.out.index("{") :])
    for module in MODULES:
        for name, body in importlib.import_module(module).BODIES.items():
            digests = [hashlib.sha256(np.ascontiguousarray(v)).hexdigest() for v in run_virtual(body, size)]
            assert found[module][name] == digests, f"{module}: {name}"
