"""Makes ``data/functional_reference.npz``: what PyTorch gives for the losses, distances and activations of the table.

Run it with PyTorch installed: ``python tests/make_functional_reference.py``.  The suite then checks these functions
also where PyTorch is not.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from functional_cases import activations, distances
from functional_cases_losses import class_losses, element_losses
from functional_table import Case, Fixed, Table

REFERENCE = Path(__file__).parent / "data" / "functional_reference.npz"


def stored_cases() -> list[Case]:
    """The cases whose results are stored."""
    table = Table()
    for group in (class_losses, element_losses, distances, activations):
        group(table)
    return table.cases


def results(library: Any, functional: Any, case: Case) -> list[Any]:
    """The value, and the gradients of its inner product with fixed numbers."""
    inputs: list[Any] = []

    def given(a: Any) -> Any:
        if not isinstance(a, (Fixed, np.ndarray)):
            return a
        made = library.tensor(a.array if isinstance(a, Fixed) else a)
        if isinstance(a, np.ndarray) and made.is_floating_point():
            inputs.append(made.requires_grad_())
        return made

    args = [given(a) for a in case.args]
    kwargs = {k: given(v) for k, v in case.kwargs.items()}
    if case.name == "ctc_loss":
        args[0] = functional.log_softmax(args[0], -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = getattr(functional, case.name)(*args, **kwargs)
    shape = tuple(y.shape)
    direction = library.tensor(np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape))
    gradients = library.autograd.grad(y, inputs, direction, allow_unused=True)
    return [y.detach().numpy(), *(np.zeros(0) if g is None else g.detach().numpy() for g in gradients)]


def main() -> None:
    import torch

    found = {}
    for case in stored_cases():
        for k, a in enumerate(results(torch, torch.nn.functional, case)):
            found[f"{case.label}/{k}"] = a
    REFERENCE.parent.mkdir(exist_ok=True)
    np.savez_compressed(REFERENCE, **found)


if __name__ == "__main__":
    main()
