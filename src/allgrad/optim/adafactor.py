"""Adafactor: Adam's second moment kept as a row and a column (Shazeer & Stern 2018, https://arxiv.org/abs/1804.04235)."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.errors import ArgumentError
from allgrad.optim.arguments import check_lr, number
from allgrad.optim.parameterwise import Parameterwise, advance, blend, moment, norm

Array = np.ndarray[Any, Any]


class Adafactor(Parameterwise):
    """Relative steps with sublinear memory: an (..., n, m) parameter keeps (..., n, 1) and (..., 1, m)."""

    def __init__(
        self, params: Any, lr: Any = 1e-2, beta2_decay: float = -0.8, eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0, weight_decay: float = 0.0, *, foreach: bool | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        check_lr(lr, says="Learning rate should be >= 0 but is")
        if not beta2_decay <= 0.0:
            raise ArgumentError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ArgumentError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ArgumentError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ArgumentError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ArgumentError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        })  # fmt: skip

    def _change(self, group: dict[str, Any], p: Array, g: Array, state: dict[str, Any]) -> Array:
        step = advance(state)
        lr, (eps1, eps2) = number(group["lr"]), group["eps"]
        eps1 = float(np.finfo(p.dtype).eps) if eps1 is None else eps1
        weight = step ** group["beta2_decay"]
        rate = max(eps2, norm(p) / max(p.size, 1) ** 0.5) * min(lr, step**-0.5)
        if not p.size:
            return p
        squares = g * g
        if g.ndim > 1:
            row = moment(state, "row_var", (*g.shape[:-1], 1), p)
            column = moment(state, "col_var", (*g.shape[:-2], 1, g.shape[-1]), p)
            blend(row, squares.mean(-1, keepdims=True), weight)
            blend(column, squares.mean(-2, keepdims=True), weight)
            update = row @ column
            update /= np.maximum(row.mean(-2, keepdims=True), eps1)
        else:
            variance = moment(state, "variance", g.shape, p)
            blend(variance, squares, weight)
            update = variance.copy()
        np.maximum(update, eps1 * eps1, out=update)
        np.sqrt(update, out=update)
        np.divide(g, update, out=update)
        clip = max(1.0, norm(update) / (update.size**0.5 * group["d"]))
        update *= rate / clip
        shrink = 1 - lr * group["weight_decay"]
        return np.subtract(p if shrink == 1 else p * shrink, update)
