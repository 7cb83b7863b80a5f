"""Wrapped models that the program throws away give back streams and shared memory; nobody's arrays are pulled from under them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import leases_bodies
from allgrad.comm import run_virtual
from leases_bodies import BODIES, MODELS
from mpirun import mpirun, within


def judge(name: str, found: Any) -> None:
    """Is this what a rank of several may have at the end of ``BODIES[name]``?"""
    if name.startswith("one after the other"):
        assert len(found) == MODELS
        for streams, held, left, windows in found:  # the model before is dropped only when this one is there
            assert streams <= 2 and held <= 2 and left <= 4 and windows <= 8, found
        assert found[-1] == found[-2], found
    elif name in ("shards", "groups and worlds"):
        assert max(streams for streams, *_ in found) <= 4 and found[-1] == found[-2], found
    else:
        right = {
            "dropped on one rank": [3, 3],
            "wrapped again": [1.0],
            "frozen with a gradient kept": [0.0],
            "after an error": [1],
        }
        assert name == "gradients outlive the model" or found == right[name], found
        assert name != "gradients outlive the model" or found[1] == 0.0, found


@pytest.mark.parametrize("name", list(BODIES))
@pytest.mark.parametrize("size", [2, 3])
def test_virtual(size: int, name: str) -> None:
    for found in run_virtual(BODIES[name], size):
        judge(name, found)


@pytest.mark.parametrize("kind", list(leases_bodies.KINDS))
def test_one_rank_needs_none_of_it(kind: str) -> None:
    assert run_virtual(leases_bodies.one_after_the_other, 1, kind) == [[(1, 0, 0, 0)] * MODELS]


@pytest.mark.parametrize("size", [2, 3])
def test_mpi(size: int) -> None:
    program = (
        f"import sys, json; sys.path.insert(0, {str(Path(__file__).parent)!r}); import leases_bodies as b, allgrad.comm as c; "
        "found = b.all_bodies(); w = c.launch_world(); "
        "rows = [json.loads(r) for r in w.all_gather_bytes(json.dumps(found).encode())]; "
        "print(json.dumps(rows)) if w.rank == 0 else None"
    )
    job = mpirun(size, "-c", program, timeout_s=within(60), env={"ALLGRAD_TIMEOUT": "30"})
    assert job.code == 0, job.out + job.err
    for row in json.loads(job.out[job.out.index("[{") :]):
        for name, found in row.items():
            judge(name, [tuple(each) for each in found] if isinstance(found[0], list) else found)
        if "one after the other, plain" in row and row["one after the other, plain"][0][3]:
            assert row["gradients outlive the model"][0] == 0.0 or row["gradients outlive the model"][1] == 0.0
