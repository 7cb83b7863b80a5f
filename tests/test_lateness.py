"""The late-rank report: a planted sleep is found on its rank and in its module; what says nothing is said to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.distributed.lateness import OUTSIDE, wanted
from allgrad.distributed.lateness_report import judge, late_report
from allgrad.errors import ArgumentError
from allgrad.nn.parallel import DistributedDataParallel
from mpirun import mpirun, within


def row(work: float, wait: float, **parts: float) -> dict[str, Any]:
    return {"steps": 5, "work": work, "wait": wait, "parts": parts, "buckets": [[0, "w", work / 2, wait]]}


def test_a_planted_sleep_is_found_by_rank_and_module() -> None:
    job = mpirun(3, str(Path(__file__).parent / "mpi" / "run_lateness.py"), timeout_s=within(30))
    assert job.code == 0, job.out + job.err
    for place, reports in json.loads(job.out[job.out.index("{") :]).items():
        assert all(r == reports[0] for r in reports), place  # the same on every rank
        found = reports[0]
        assert found["late"] == 1 and found["least wait"] == 1, found["text"]
        assert found["part"].startswith(place), found["text"]
        assert 0.02 < found["lost"] < within(0.06), found["text"]
        assert "rank 1 is late" in found["text"] and "filled by" in found["text"]


def test_the_verdict() -> None:
    late = judge("mpi", [row(1.0, 0.6, a=0.5, b=0.5), row(1.5, 0.01, a=0.5, b=1.0), row(1.1, 0.5, a=0.6, b=0.5)])
    assert (late.late_rank, late.part, late.lost_s) == (1, "b", 0.5)
    even = judge("mpi", [row(1.0, 0.1), row(1.05, 0.05)])
    assert even.late_rank is None and "no rank is late" in str(even)
    outside = judge("mpi", [row(1.0, 0.1), row(2.0, 0.0, **{OUTSIDE: 2.0})])
    assert "it loses most, 2000.00 ms, outside the model" in outside.verdict
    assert judge("virtual", [row(1.0, 0.1), row(2.0, 0.0, a=2.0)]).late_rank is None
    assert "no step was measured" in judge("mpi", [row(1, 0), {**row(1, 0), "steps": 0}]).verdict


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_virtual_ranks_say_that_times_mean_nothing(size: int) -> None:
    def body(measure: bool = True) -> tuple[str, list[int], bytes]:
        dist.init_process_group()
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        model = DistributedDataParallel(net, bucket_cap_mb=1e-5)
        if measure:
            model.measure_lateness()
            model.measure_lateness()  # a second call changes nothing
        for k in range(4):
            net[0].requires_grad_(k < 2)  # a new plan of buckets is measured too
            model(torch.randn(5, 3)).sum().backward()
        report = model.lateness() if measure else None
        steps = [r["steps"] for r in report.rows] if report else []
        grads = b"".join(p.grad.numpy().tobytes() for p in net.parameters() if p.grad is not None)
        dist.destroy_process_group()
        return "" if report is None else str(report), steps, grads

    reports = run_virtual(body, size)
    assert all(text == reports[0][0] and steps == [3] * size for text, steps, _ in reports)
    expected = "one rank waits for nobody" if size == 1 else "virtual ranks take turns"
    assert expected in reports[0][0]
    assert [g for _, _, g in reports] == [g for _, _, g in run_virtual(body, size, False)]


def test_without_measuring_there_is_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    dist.init_process_group()
    try:
        with pytest.raises(ArgumentError, match=r"measure_lateness\(\)"):
            late_report(DistributedDataParallel(nn.Linear(2, 2)))
        monkeypatch.setenv("ALLGRAD_REPORT", "late")
        assert wanted()
        assert late_report(DistributedDataParallel(nn.Linear(2, 2))).rows[0]["steps"] == 0
        monkeypatch.setenv("ALLGRAD_REPORT", "translate")
        assert not wanted()
    finally:
        dist.destroy_process_group()
