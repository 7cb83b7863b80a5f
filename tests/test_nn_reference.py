"""Layers and losses against stored numbers of PyTorch 2.13: the comparison that needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad
from nn_cases import LAYERS, LOSSES
from nn_reference import results

STORED = np.load(Path(__file__).parent / "data" / "nn_reference.npz")


@pytest.mark.parametrize(("kind", "name"), [("layer", n) for n in LAYERS] + [("loss", n) for n in LOSSES])
def test_as_stored(kind: str, name: str) -> None:
    cases: dict[str, Any] = LAYERS if kind == "layer" else LOSSES
    found = results(allgrad, cases[name], is_loss=kind == "loss")
    start = f"{kind}/{name}/"
    stored = {key.removeprefix(start): STORED[key] for key in STORED.files if key.startswith(start)}
    assert sorted(found) == sorted(stored) and stored
    for what, value in stored.items():
        np.testing.assert_allclose(found[what], value, rtol=1e-5, atol=1e-6, err_msg=what)
