"""Writes nn_reference.npz: outputs and gradients of every layer and loss of ``nn_cases``, from PyTorch 2.13.

    python tests/data/make_nn_reference.py      (PyTorch installed)

Weights are not stored: both libraries draw the same ones from the same seed.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from nn_cases import LAYERS, LOSSES
from nn_reference import results

warnings.simplefilter("ignore")
found = {}
for kind, cases in (("layer", LAYERS), ("loss", LOSSES)):
    for name, case in cases.items():
        for what, value in results(torch, case, is_loss=kind == "loss").items():
            found[f"{kind}/{name}/{what}"] = value.astype(np.float32)
np.savez_compressed(Path(__file__).with_name("nn_reference.npz"), **found)
print(f"{len(found)} arrays")
