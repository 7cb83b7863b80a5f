"""Bugs planted in the late-rank report and in ``allgrad parity``; the named test must notice each."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import parity_programs
import test_lateness
from allgrad.distributed import lateness_report
from allgrad.parity import compare, record


def run(name: str) -> None:
    """The named program through both halves of ``allgrad parity``, in this process."""
    from allgrad.cli.parity import _run
    from allgrad.cli.program import Program

    parts, expected, said, _ = parity_programs.PROGRAMS[name]
    path = where[0] / "program.py"
    text = parity_programs.TEMPLATE.format(**{**parity_programs.PARTS, **parts})
    text = text.replace("import torch, torch.distributed", "import allgrad as torch, allgrad.distributed")
    path.write_text(text.replace("from torch", "from allgrad"))
    many = record.Recorder(3)
    with contextlib.redirect_stderr(io.StringIO()):
        assert not _run(Program(str(path)), many, 2)
        ranks = [many.ranks[r] for r in range(2)]
        one = record.Recorder(3, ranks)
        assert not _run(Program(str(path)), one, 1)
    verdict = compare.compare(ranks, one.ranks[0], 1e-4)
    assert verdict.code == expected and said in verdict.text, verdict.text


where: list[Path] = []


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where[:] = [tmp_path]
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def only_one_rank_fed(patch: pytest.MonkeyPatch) -> None:
    """The run of one gets rank 0's batches."""
    patch.setattr(record, "joined", lambda batches: record.copied(batches[0]))


def masks_not_replayed(patch: pytest.MonkeyPatch) -> None:
    """Dropout draws anew."""
    patch.setattr(record.Recorder, "_kept", lambda self, real, *args: real(*args))


def repeats_kept(patch: pytest.MonkeyPatch) -> None:
    """The run of one counts the sampler's repeats too."""
    patch.setattr(record, "without_padding", lambda batches, samples, repeats: batches)


def nothing_is_far(patch: pytest.MonkeyPatch) -> None:
    """Differences are not seen."""
    patch.setattr(compare, "_far", lambda *args: 0.0)


def order_of_rows_ignored(patch: pytest.MonkeyPatch) -> None:
    """Rows are compared in the order in which they come."""
    real = record.match_rows
    patch.setattr(record, "match_rows", lambda *args: None if (r := real(*args)) is None else np.sort(r))


def clipping_not_noted(patch: pytest.MonkeyPatch) -> None:
    """What is given to clipping is not looked at."""
    patch.setattr(record.Recorder, "_clip", lambda self, real, parameters: real(parameters))


def fastest_rank_is_late(patch: pytest.MonkeyPatch) -> None:
    """The rank that waits most is blamed."""
    real = lateness_report.judge
    patch.setattr(test_lateness, "judge", lambda kind, rows: real(kind, [{**r, "work": 3 - r["work"]} for r in rows]))


PLANTED: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[], None]]] = [
    (only_one_rank_fed, lambda: run("clean")),
    (masks_not_replayed, lambda: run("clean, dropout")),
    (repeats_kept, lambda: run("padding")),
    (nothing_is_far, lambda: run("local statistics")),
    (order_of_rows_ignored, lambda: run("clean, cut by hand")),
    (clipping_not_noted, lambda: run("clipping before the mean")),
    (fastest_rank_is_late, test_lateness.test_the_verdict),
]


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Any, named_test: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    named_test()  # it passes without the bug
    plant(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017 - whatever the named test fails with
        named_test()
