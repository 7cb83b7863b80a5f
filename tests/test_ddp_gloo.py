"""PyTorch's DistributedDataParallel over gloo, step by step: same weights, same data, same numbers."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad
import allgrad.nn.parallel
import gloo_bodies
from allgrad.comm import run_virtual
from ddp_bodies import group
from gloo_bodies import BODIES
from mpirun import SOURCE, within

SIZES = (2, 3)


@pytest.fixture(scope="module")
def torch_results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Any]:
    """By size and rank: what each body gave under PyTorch; one job for all, in processes of its own."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: there is nothing to compare with")
    folder = tmp_path_factory.mktemp("gloo")
    command = [sys.executable, gloo_bodies.__file__, str(folder), *map(str, SIZES)]
    env = os.environ | {"PYTHONPATH": SOURCE, "GLOO_SOCKET_IFNAME": "lo"}
    log = folder / "log"
    with log.open("wb") as out:
        job = subprocess.Popen(command, stdout=out, stderr=out, env=env, start_new_session=True)
        try:
            code = job.wait(within(60))
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, 9)
            job.wait()
            pytest.fail(f"PyTorch's job hung\n{log.read_text(errors='replace')[-3000:]}")
    assert code == 0, log.read_text(errors="replace")[-3000:]
    return {(n, r): np.load(Path(folder) / f"{n}-{r}.npz") for n in SIZES for r in range(n)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", BODIES)
def test_it_is_pytorch_over_gloo(name: str, size: int, torch_results: dict[tuple[int, int], Any]) -> None:
    body, tolerance = BODIES[name]

    def program() -> Any:
        with group() as (rank, size):
            return body(allgrad, rank, size)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # parameters that no rank uses are named once
        found = run_virtual(program, size)
    for rank, mine in enumerate(found):
        np.testing.assert_allclose(mine, torch_results[size, rank][name], rtol=0, atol=tolerance)
