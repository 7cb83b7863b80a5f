"""Shapes, joining, layout and indexing against PyTorch: values, dtypes, two orders of gradients, error types."""

from __future__ import annotations

import pytest

import index_cases
import scatter_cases
import shape_cases
from shape_cases import case
from sweep import compare

torch = pytest.importorskip("torch")

ALL = [
    *shape_cases.SHAPE,
    *shape_cases.JOINING,
    *shape_cases.LAYOUT,
    *index_cases.KEYS,
    *index_cases.WRITES,
    *index_cases.PICKS,
    *scatter_cases.SCATTERS,
    *index_cases.SEARCHES,
    *scatter_cases.VIEWS,
]


DTYPES = ("float32", "int32", "bool", "int64", "float16", "uint8", "int16")
DONE = {"value": 0, "first": 0, "second": 0, "error": 0, "wider": 0}


@pytest.mark.parametrize("text", ALL)
def test_parity(text: str) -> None:
    DONE[compare(case(text), torch)] += 1


@pytest.mark.parametrize(("text", "dtype"), [(t, DTYPES[i % len(DTYPES)]) for i, t in enumerate(ALL)])
def test_parity_in_other_dtypes(text: str, dtype: str) -> None:
    compare(case(text, dtype), torch, grad=False)


def test_the_sweep_compares_what_it_says() -> None:
    if sum(DONE.values()) < len(ALL):
        pytest.skip("only a part of the sweep ran, or some of it failed")
    assert DONE["first"] + DONE["second"] > 350, DONE
    assert DONE["error"] > 200, DONE
    assert DONE["wider"] <= 5, DONE
