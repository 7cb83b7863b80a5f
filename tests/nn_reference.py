"""One layer or loss in either library: from one seed to outputs and gradients, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn_cases import Case

Array = np.ndarray[Any, Any]


def results(library: Any, case: Case, *, is_loss: bool) -> dict[str, Array]:
    """Output, and the gradients of inputs and parameters of the sum of its squares, in training, float64."""
    library.manual_seed(11)
    module = case.build(library.nn).double()
    source = np.random.default_rng(3)
    arrays = [source.standard_normal(x) if isinstance(x, tuple) else x for x in case.inputs]
    inputs = [
        library.tensor(a, requires_grad=a.dtype.kind == "f" and (i == 0 or not is_loss)) for i, a in enumerate(arrays)
    ]
    y = module(*inputs)
    found = {"output": y.detach().numpy()}
    if y.requires_grad:
        (y * y).sum().backward()
        named = [(f"input {i}", x) for i, x in enumerate(inputs)] + list(module.named_parameters())
        found |= {f"gradient of {name}": t.grad.numpy() for name, t in named if t.grad is not None}
    return found
