"""The benchmarks measure what they say: turns, ratios, verdicts, one computation on both sides, every op of the table."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import allgrad
from op_harness import load_table

BENCHMARKS = str(Path(__file__).resolve().parents[1] / "benchmarks")
NAMES = ("paired", "workloads", "operations", "machine", "report", "quick", "run")


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The modules of ``benchmarks/``, which is no package."""
    sys.path.insert(0, BENCHMARKS)
    yield type("Bench", (), {name: importlib.import_module(name) for name in NAMES})
    sys.path.remove(BENCHMARKS)
    for name in NAMES:
        del sys.modules[name]


class Clock:
    """Time that only passes when a contender says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def taking(self, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.now += seconds

        return call


def test_turns_repeat_short_calls_and_report_the_time_of_one(bench: Any) -> None:
    clock = Clock()
    calls = {"quick": clock.taking(1e-4), "slow": clock.taking(4e-3)}
    found = bench.paired.turns(calls, seconds=0, least=4, grain_s=2e-3, clock=clock)
    assert found["quick"] == pytest.approx([1e-4] * 4)
    assert found["slow"] == pytest.approx([4e-3] * 4)
    assert bench.paired.ratio(found["quick"], found["slow"]) == pytest.approx((1 / 40, 1 / 40, 1 / 40))


def test_a_ratio_compares_turn_by_turn(bench: Any) -> None:
    """A machine that becomes twice as slow in between changes both times and no ratio."""
    assert bench.paired.ratio([1, 2, 4], [2, 4, 8]) == (0.5, 0.5, 0.5)
    assert bench.paired.ratio([1, 3, 9], [1, 1, 3]) == (1, 3, 3)


def test_the_fastest_way_is_taken(bench: Any) -> None:
    calls = {"slow": lambda: sum(range(20000)), "fast": lambda: None}
    assert bench.paired.fastest(calls, seconds=0.01) == "fast"


@pytest.mark.filterwarnings("ignore")  # of reductions that are to change
def test_every_op_of_the_table_is_run_by_a_case(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = load_table()
    seen: set[str] = set()

    def watched(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*inputs: Any, **settings: Any) -> Any:
            seen.add(name)
            return forward(*inputs, **settings)

        return run

    for name, op in table.items():
        monkeypatch.setattr(op, "forward", watched(name, op.forward))
    given = bench.operations.inputs(allgrad, bench.operations.SIZES[0])
    for name in bench.operations.NAMES:
        bench.operations.case(allgrad, name, bench.operations.SIZES[0], given)()
    missing = set(table) - seen - set(bench.operations.NOT_ALONE)
    assert not missing, f"add to benchmarks/operations.py a case that runs {sorted(missing)}, or say why there is none"
    assert not set(bench.operations.NOT_ALONE) - set(table), "NOT_ALONE names ops that do not exist"


@pytest.mark.parametrize("name", ["tiny MLP 2-16-16-2 b32", "LeNet-like CNN 28x28 b64", "LSTM 64-128 T=50 b32"])
def test_workloads_train_and_are_the_same_computation_in_pytorch(bench: Any, name: str) -> None:
    work = next(w for w in bench.workloads.WORKLOADS if w.name == name)
    step = work.build(allgrad, bench.workloads.Way())
    losses = [float(step().item()) for _ in range(30)]
    assert abs(losses[0] - math.log(2 if "tiny" in name else 10)) < 0.2  # nothing is known at first
    assert losses[-1] < losses[0]
    torch = pytest.importorskip("torch")
    for way in work.ways().values():
        theirs = work.build(torch, way)
        assert [float(theirs().item()) for _ in range(3)] == pytest.approx(losses[:3], rel=2e-4)


def test_a_step_is_called_slower_only_after_three_attempts(bench: Any) -> None:
    quick, work = bench.quick, bench.workloads.WORKLOADS[0]
    noisy = iter([4.0, 1.4])
    assert quick.checked(work, 1.0, lambda _: next(noisy)) == (1.4, "ok")
    slow = iter([1.6, 1.51, 1.7])
    assert quick.checked(work, 1.0, lambda _: next(slow)) == (1.51, "slower")
    assert next(slow, None) is None


def test_quick_fails_when_a_step_became_slower(
    bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = bench.quick
    ratios = dict.fromkeys(quick.KINDS, 2.0)
    (tmp_path / "quick.json").write_text(json.dumps({"ratios": ratios}))
    monkeypatch.setattr(quick, "STORE", tmp_path / "quick.json")
    monkeypatch.setattr(sys, "argv", ["quick.py"])
    for factor, code in ((1.4, 0), (1.6, 1)):
        monkeypatch.setattr(
            quick, "checked", lambda work, stored, f=factor: (f * stored, quick.verdict(f * stored, stored))
        )
        with allgrad.fast.use(False):
            assert quick.main() == code
    assert "more than 1.5 of the stored ratio" in capsys.readouterr().out
    stored = json.loads((Path(BENCHMARKS) / "quick.json").read_text())["ratios"]
    assert stored.keys() == quick.KINDS.keys()


def test_the_report_shows_ratios_goals_and_what_is_only_stored(bench: Any, tmp_path: Path) -> None:
    seconds = {"numpy": 0.02, "torch": 0.01}
    rows = {
        "a": {"goal": 0.8, "way": "fused", "seconds": seconds, "numpy": [1.5, 2.0, 2.5]},
        "b": {"goal": None, "way": None, "stored": True, "seconds": seconds, "numpy": [2.0, 2.0, 2.0]},
    }
    slow = {f"op {i}, large": {"seconds": seconds, "numpy": [i, i, i]} for i in (1, 3, 2)}
    facts = {"date": "today", "commit": "abc", "processor": "p", "cores": 2, "load": 0, "numpy": "2"}
    parts = {"training": rows, "operations": slow}
    bench.report.write_report({k: {"facts": facts, "rows": v} for k, v in parts.items()}, tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    assert "| a | 0.80 | 2.00 (1.50 to 2.50) |  | 20 |  | 10 | fused |" in text
    assert "| b |  | 2.00 (2.00 to 2.00) |  | 20 |  | 10 | stored |" in text
    assert text.index("op 3, large") < text.index("op 2, large") < text.index("op 1, large")
    assert "commit abc" in text


def test_without_pytorch_its_stored_times_are_used_and_marked(bench: Any) -> None:
    stored = {"seconds": {"numpy": 9.0, "torch": 0.5}}
    row = bench.run.judged({"numpy": [1.0, 2.0, 3.0]}, stored)
    assert row["stored"] and row["seconds"] == {"numpy": 2.0, "torch": 0.5} and row["numpy"] == (2.0, 4.0, 6.0)
    beside = bench.run.judged({"numpy": [1.0, 2.0], "torch": [2.0, 2.0]}, stored)
    assert "stored" not in beside and beside["numpy"] == (0.5, 0.75, 1.0)
    assert "numpy" not in bench.run.judged({"numpy": [1.0]}, None)


def test_memory_and_import_are_measured_in_processes(bench: Any) -> None:
    assert (
        bench.machine.peak_megabytes("allgrad", "MLP 784-512-512-10 b64") > 4 * 0.67 * 4
    )  # weights, gradients, Adam's two
    assert bench.machine.installed_megabytes("allgrad") > 10
    with pytest.raises(RuntimeError, match="no such"):
        bench.machine.peak_megabytes("no such module", "MLP 784-512-512-10 b64")
