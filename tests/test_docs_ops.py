"""docs/ops.md is what the table says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("make_ops", DOCS / "make_ops.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ops_md_is_up_to_date(generator: Any) -> None:
    written = (DOCS / "ops.md").read_text(encoding="utf-8").splitlines()
    made = generator.text().splitlines()
    different = [line for line in made if line not in written] + [line for line in written if line not in made]
    assert written == made, f"run `python docs/make_ops.py`; {len(different)} lines differ, the first: {different[:1]}"


def test_every_op_says_what_it_is(generator: Any) -> None:
    silent = [name for name, op in generator.load().items() if not (op.__doc__ or "").strip()]
    assert not silent, f"ops without a docstring: {', '.join(silent)}"
