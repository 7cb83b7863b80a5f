"""``Parameterwise``: the base of optimizers that look at a parameter as a whole, at its norm or its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import float64, get_default_dtype
from allgrad.errors import UnsupportedError
from allgrad.optim.optimizer import Optimizer
from allgrad.optim.passes import computing

Array = np.ndarray[Any, Any]


class Parameterwise(Optimizer):
    """A subclass changes one parameter at a time, by a rule on arrays of the computing dtype."""

    def _change(self, group: dict[str, Any], p: Array, g: Array, state: dict[str, Any]) -> Array:
        """The new values of a parameter; ``p`` and ``g`` are not to be written to."""
        raise UnsupportedError(f"{type(self).__name__} lacks the rule of its step")

    def _step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is None:
                    continue
                kind = computing(p._a.dtype)
                g = p._grad._a.astype(kind, copy=False)
                if group["maximize"]:
                    g = -g
                new = self._change(group, p._a.astype(kind, copy=False), g, self.state[p])
                np.copyto(p._a, new, casting="unsafe")
                version = p._cell
                version[0] += 1
                version[1:] = ("optimizer step",)


def advance(state: dict[str, Any]) -> float:
    """Count one more update in ``state["step"]``, a 0-d Tensor, and return the count."""
    step = state.get("step")
    if not isinstance(step, Variable):
        kind = np.float64 if get_default_dtype() is float64 else np.float32
        step = state["step"] = wrap(np.array(step or 0, kind))
    step._a += 1
    return float(step._a)


def moment(state: dict[str, Any], name: str, shape: tuple[int, ...], like: Array) -> Array:
    """The array of a state entry, made of zeros when it is missing."""
    if name not in state:
        state[name] = wrap(np.zeros(shape, like.dtype))
    found: Array = state[name]._a
    return found


def blend(old: Array, new: Array, weight: float) -> None:
    """``old += weight * (new - old)`` in place."""
    step = new - old
    step *= weight
    old += step


def norm(x: Array) -> float:
    """The Euclidean norm of all elements, as a Python float."""
    flat = x.reshape(-1)
    return float(np.sqrt(np.dot(flat, flat)))
