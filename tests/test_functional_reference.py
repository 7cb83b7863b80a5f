"""Losses, distances and activations against stored results of PyTorch 2.13: PyTorch need not be installed."""

from __future__ import annotations

import numpy as np
import pytest

import allgrad
import allgrad.nn.functional as F
from functional_table import Case
from make_functional_reference import REFERENCE, results, stored_cases


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(REFERENCE) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("case", stored_cases(), ids=lambda c: c.label)
def test_stored_result(case: Case, stored: dict[str, np.ndarray]) -> None:
    for k, found in enumerate(results(allgrad, F, case)):
        expected = stored[f"{case.label}/{k}"]
        if expected.size == 0 and found.size:  # PyTorch has no gradient there
            assert not found.any()
            continue
        np.testing.assert_allclose(
            found, expected, rtol=case.tolerance, atol=case.tolerance, err_msg=f"{case.label}/{k}"
        )
