"""SparseAdam: Adam for embeddings, which leaves alone what the batch did not touch."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.optim.arguments import check_betas, check_lr, check_range, number
from allgrad.optim.parameterwise import Parameterwise, blend, moment

Array = np.ndarray[Any, Any]


class SparseAdam(Parameterwise):
    """Adam on the rows (elements of a vector) whose gradient is not zero; the moments of the others do not decay.

    PyTorch tells touched rows by sparse gradients.  Gradients are dense here, so a row counts as touched if its gradient
    has an element other than zero.
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr, zero=False)
        check_range("epsilon value", eps)
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def _change(self, group: dict[str, Any], p: Array, g: Array, state: dict[str, Any]) -> Array:
        beta1, beta2 = group["betas"]
        step = state["step"] = state.get("step", 0) + 1  # a plain number, as PyTorch keeps it here
        m, v = moment(state, "exp_avg", p.shape, p), moment(state, "exp_avg_sq", p.shape, p)
        if p.ndim == 0:
            rows: Any = ... if g != 0 else slice(0, 0)
        else:
            rows = np.flatnonzero(g.reshape(len(g), -1).any(1)) if g.size else slice(0, 0)
        if p.ndim == 0 and rows is not ...:
            return p
        grads, means, squares = g[rows], m[rows], v[rows]
        blend(means, grads, 1 - beta1)
        blend(squares, grads * grads, 1 - beta2)
        m[rows], v[rows] = means, squares
        rate = number(group["lr"]) * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        new = p.copy()
        new[rows] -= rate * means / (np.sqrt(squares) + group["eps"])
        return new
