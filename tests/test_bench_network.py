"""The benchmark of a network: its bound, its table, and what it does where there can be no nodes."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[1] / "benchmarks")
NAMES = ("machine", "report", "network", "operations", "paired", "workloads", "run")


@pytest.fixture
def bench() -> Iterator[Any]:
    sys.path.insert(0, BENCHMARKS)
    yield type("Bench", (), {name: importlib.import_module(name) for name in NAMES})
    sys.path.remove(BENCHMARKS)
    for name in NAMES:
        del sys.modules[name]


def test_the_bound_is_that_of_a_ring(bench: Any) -> None:
    """In each of 2 (n - 1) rounds of a ring a rank sends an n-th: 16 MiB, 3 ranks, 1 Gbit/s in 179 ms."""
    for nbytes, ranks in ((16 * 2**20, 3), (4 * 2**20, 2), (8 * 2**20, 8)):
        ring = sum(nbytes / ranks * 8 / 1e9 for _ in range(2 * (ranks - 1)))
        assert bench.network.bound(nbytes, ranks) == pytest.approx(ring)
    assert bench.network.bound(16 * 2**20, 3) == pytest.approx(0.179, rel=1e-3)


def test_the_table_compares_with_the_bound_and_with_mpi(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {str(16 * 2**20): {"allgrad": 0.2, "MPI": 0.6}}
    monkeypatch.setattr(bench.network, "measure", lambda: ({"ranks": 3, "seconds": seconds}, ""))
    rows = dict(bench.run.network("", 1.0, {}))
    ((head, lines),) = bench.report.TABLES["network"](rows)
    row = dict(zip(head, lines[0]))
    assert row["all-reduce"] == "16 MiB, 3 nodes" and row["goal"] == "1.25"
    assert (row["of the bound"], row["MPI's of the bound"], row["of MPI's time"]) == ("1.12", "3.35", "0.33")
    assert dict(bench.run.network("4 MiB", 1.0, {})) == {}


def test_without_root_it_says_so_and_keeps_what_is_stored(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    found, why = bench.network.measure()
    assert found is None and "root" in why
    stored = {"network": {"facts": {}, "rows": {"16 MiB, 3 nodes": {"taken": ["then", "abc"]}}}}
    (tmp_path / "results.json").write_text(json.dumps(stored))
    monkeypatch.setattr(bench.run, "STORE", tmp_path / "results.json")
    monkeypatch.setattr(bench.run, "store", lambda results: pytest.fail("nothing was measured"))
    monkeypatch.setattr(sys, "argv", ["run.py", "network"])
    bench.run.main()
    assert "network: not measured, nodes are namespaces, which only root may make" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text()) == stored


def test_rows_of_the_window_stand_beside_their_goal(bench: Any) -> None:
    row = {"training": {}, "all_reduce": {}, "in_window": {str(4 * 2**20): {"allgrad": [1e-4], "MPI": [5e-4]}}}
    tables = list(bench.report.TABLES["ranks"]({"2 ranks": row}))
    assert tables[-1] == (
        ["all-reduce in the window", "goal", "µs", "of MPI's time"],
        [["4 MiB, 2 ranks", "0.25", "100", "0.20"]],
    )


@pytest.mark.cluster
def test_three_nodes_are_measured(bench: Any) -> None:
    found, why = bench.network.measure()
    if found is None:
        pytest.skip(why)
    assert found["ranks"] == 3
    for size, times in found["seconds"].items():
        bound = bench.network.bound(int(size), 3)
        assert bound < times["allgrad"] < 3 * bound, "the wires are not as slow as they are said to be, or we are"
