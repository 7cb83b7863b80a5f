"""Makes ``optim_reference.npz`` from PyTorch: ``python tests/data/make_optim_reference.py``; needs torch, float64."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from optim_cases import CASES, SCHEDULES, SHAPES, follow, run, start, title  # noqa: E402

KEPT = (3, 19)  # the steps whose values are stored


def give(p: Any, g: Any) -> None:
    p.grad = None if g is None else torch.tensor(g)


def main() -> None:
    """Write the values of all parameters after the kept steps, and the rates of all schedules."""
    found: dict[str, Any] = {"torch": np.array(torch.__version__)}
    for case in CASES:
        name, settings = case
        params = [torch.nn.Parameter(torch.tensor(start(shape, i))) for i, shape in enumerate(SHAPES)]
        optimizer = getattr(torch.optim, name)(params, **settings)
        seen = run(optimizer, params, lambda p: p.detach().numpy(), give)
        found[title(case)] = np.stack([seen[step] for step in KEPT])
    for i, (name, settings) in enumerate(SCHEDULES):
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.02)]
        optimizer = torch.optim.SGD(groups, momentum=0.9)
        found[f"schedule {i}"] = follow(optimizer, getattr(torch.optim.lr_scheduler, name)(optimizer, **settings))
    np.savez_compressed(HERE / "optim_reference.npz", **found)


if __name__ == "__main__":
    main()
