"""``allgrad parity``: each planted bug is found and explained, clean programs pass, and the demo is clean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allgrad.parity.record import joined, match_rows, without_padding
from mpirun import SOURCE, within
from parity_programs import PROGRAMS

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": SOURCE, "OPENBLAS_NUM_THREADS": "1"}


@cache
def found(n: int, folder: Path) -> Any:
    command = [sys.executable, str(Path(__file__).parent / "parity_programs.py"), str(folder), str(n)]
    job = subprocess.run(command, capture_output=True, text=True, timeout=within(60), env=ENVIRONMENT, check=False)
    assert job.returncode == 0, job.stdout + job.stderr
    return json.loads(job.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity")


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str, n: int, folder: Path) -> None:
    _, expected, said, _ = PROGRAMS[name]
    code, text = found(n, folder)[name]
    assert code == expected, text
    assert said in text, text


def test_the_demo_is_clean(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    command = [
        sys.executable,
        "-m",
        "allgrad",
        "parity",
        str(REPOSITORY / "examples" / "digits.py"),
        "--out",
        str(tmp_path),
    ]
    job = subprocess.run(command, capture_output=True, text=True, timeout=within(60), env=ENVIRONMENT, check=False)
    assert job.returncode == 0, job.stdout + job.stderr
    assert "equal at 1 and 2 ranks: 3 steps" in job.stdout


def test_usage_errors_are_not_differences() -> None:
    for words in (["no_such_program.py"], ["-n", "1", __file__], ["--steps", "0", __file__]):
        command = [sys.executable, "-m", "allgrad", "parity", *words]
        job = subprocess.run(command, capture_output=True, text=True, timeout=within(30), env=ENVIRONMENT, check=False)
        assert job.returncode == 2 and "allgrad parity:" in job.stderr, job.stdout + job.stderr


def test_rows_are_matched_once_each() -> None:
    a = np.arange(8.0).reshape(4, 2)
    taken: set[Any] = set()
    rows = match_rows(a[[3, 0, 0]], [a[:1], a], taken)
    assert rows is not None and rows.tolist() == [4, 0, 1]
    assert match_rows(a[[0]], [a[:1], a], taken) is None
    assert match_rows(a + 1, [a], set()) is None


def test_batches_are_joined_and_repeats_left_out() -> None:
    import allgrad as torch

    x, y = torch.arange(3), torch.arange(2) + 7
    assert joined([x, y]).tolist() == [0, 1, 2, 7, 8]
    assert joined([[x, {"k": y}], [y, {"k": x}]])[1]["k"].tolist() == [7, 8, 0, 1, 2]
    assert joined([x, x]).tolist() == [0, 1, 2]  # every rank reads the same batch and takes its part of it later
    assert [b.tolist() for b in without_padding([x, y], 5, True)] == [[0, 1, 2], [7]]
    assert [b.tolist() for b in without_padding([x, y], 6, True)] == [
        [0, 1, 2],
        [7, 8],
    ]  # the pass was not read to its end
