"""L-BFGS: a quasi-Newton method with limited memory (Liu & Nocedal 1989, https://doi.org/10.1007/BF01589116)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.autograd.modes import enable_grad
from allgrad.autograd.record import Variable, wrap
from allgrad.errors import ArgumentError
from allgrad.optim.arguments import check_lr, number
from allgrad.optim.line_search import Point, strong_wolfe
from allgrad.optim.optimizer import Optimizer

Array = np.ndarray[Any, Any]


class LBFGS(Optimizer):
    """Newton-like steps from the last ``history_size`` changes of parameters and gradients; wants a closure.

    Each ``step`` does up to ``max_iter`` iterations with up to ``max_eval`` calls of the closure.
    """

    def __init__(
        self, params: Any, lr: Any = 1, max_iter: int = 20, max_eval: int | None = None, tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9, history_size: int = 100, line_search_fn: str | None = None,
    ) -> None:  # fmt: skip
        check_lr(lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ArgumentError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` iterations; returns the loss of the first call of ``closure``."""
        if closure is None:
            raise ArgumentError("LBFGS calls the loss several times a step: pass a closure, optimizer.step(closure)")
        group = self.param_groups[0]
        search = group["line_search_fn"]
        if search not in (None, "strong_wolfe"):
            raise ArgumentError(f"only 'strong_wolfe' is supported, found line_search_fn={search!r}")
        params: list[Any] = group["params"]
        # The state is that of all parameters together, kept under the first, as PyTorch lays it out.
        state = self.state[params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        with enable_grad():
            first_loss = closure()
        state["func_evals"] += 1
        memory = _Memory(state, group["history_size"])
        here = Point(0.0, float(first_loss), _flat_grad(params), 0.0)
        if _largest(here.grad) <= group["tolerance_grad"]:
            return first_loss
        calls = 1
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            lr = number(group["lr"])
            if state["n_iter"] == 1:
                memory.start(here.grad)
                step = min(1.0, 1.0 / float(np.abs(here.grad).sum())) * lr
            else:
                memory.update(here.grad)
                step = lr
            direction, value = memory.direction, here.value
            memory.grad, memory.value, memory.step = here.grad, value, step
            here = here._replace(step=0.0, slope=float(np.dot(here.grad, direction)))
            if here.slope > -group["tolerance_change"]:
                break
            tried = 0
            if search is not None:
                here, tried = self._search(closure, params, direction, step, here, group["max_eval"] - calls)
                memory.step = here.step
            else:
                _move(params, [p._a.copy() for p in params], step, direction)
                if iteration != group["max_iter"]:
                    with enable_grad():
                        here = Point(step, float(closure()), np.empty(0), 0.0)
                    here = here._replace(grad=_flat_grad(params))
                    tried = 1
            calls += tried
            state["func_evals"] += tried
            if iteration == group["max_iter"] or calls >= group["max_eval"]:
                break
            if _largest(here.grad) <= group["tolerance_grad"]:
                break
            small = group["tolerance_change"]
            if _largest(direction) * abs(memory.step) <= small or abs(here.value - value) < small:
                break
        memory.store(state)
        return first_loss

    def _search(
        self, closure: Callable[[], Any], params: list[Any], direction: Array, step: float, here: Point, most: int
    ) -> tuple[Point, int]:
        origin = [p._a.copy() for p in params]

        def evaluate(step: float) -> tuple[float, Array]:
            _move(params, origin, step, direction)
            with enable_grad():
                loss = float(closure())
            return loss, _flat_grad(params)

        found, tried = strong_wolfe(evaluate, direction, step, here, most=most)
        _move(params, origin, found.step, direction)
        return found, tried


class _Memory:
    """The last changes of gradients (``old_dirs``) and parameters (``old_stps``), and what is derived from them."""

    def __init__(self, state: dict[str, Any], size: int) -> None:
        self.size = size
        self.direction: Array = _array(state.get("d"))
        self.step = number(state.get("t", 0.0))
        self.changes = [_array(y) for y in state.get("old_dirs") or ()]
        self.steps = [_array(s) for s in state.get("old_stps") or ()]
        self.inverse = [number(r) for r in state.get("ro") or ()]
        self.scale = number(state.get("H_diag", 1.0))
        self.grad: Array = _array(state.get("prev_flat_grad"))
        self.value = number(state.get("prev_loss", 0.0))

    def start(self, grad: Array) -> None:
        """The first direction: straight down."""
        self.direction, self.changes, self.steps, self.inverse, self.scale = -grad, [], [], [], 1.0

    def update(self, grad: Array) -> None:
        """Take the last step into memory and find the next direction by the two-loop recursion."""
        y, s = grad - self.grad, self.direction * self.direction.dtype.type(self.step)
        curvature = float(np.dot(y, s))
        if curvature > 1e-10:
            if len(self.changes) == self.size:
                del self.changes[0], self.steps[0], self.inverse[0]
            self.changes.append(y)
            self.steps.append(s)
            self.inverse.append(1.0 / curvature)
            self.scale = curvature / float(np.dot(y, y))
        q = -grad
        shares = [0.0] * len(self.changes)
        for i in reversed(range(len(self.changes))):
            shares[i] = float(np.dot(self.steps[i], q)) * self.inverse[i]
            q -= shares[i] * self.changes[i]
        q *= self.scale
        for i, (y, s) in enumerate(zip(self.changes, self.steps)):
            q += (shares[i] - float(np.dot(y, q)) * self.inverse[i]) * s
        self.direction = q

    def store(self, state: dict[str, Any]) -> None:
        """Put everything where PyTorch keeps it."""
        state["d"], state["t"] = wrap(self.direction), self.step
        state["old_dirs"] = [wrap(y) for y in self.changes]
        state["old_stps"] = [wrap(s) for s in self.steps]
        state["ro"] = [wrap(np.array(r, self.direction.dtype)) for r in self.inverse]
        state["H_diag"] = wrap(np.array(self.scale, self.direction.dtype)) if self.changes else 1
        state["prev_flat_grad"], state["prev_loss"] = wrap(self.grad), self.value


def _array(value: Any) -> Array:
    return value._a if isinstance(value, Variable) else np.empty(0)


def _flat_grad(params: list[Any]) -> Array:
    """The gradients of all parameters in one new vector; zeros where there is none."""
    kind = np.result_type(*(p._a.dtype for p in params))
    grads = [np.zeros(p._a.size, kind) if p._grad is None else p._grad._a.ravel() for p in params]
    return np.concatenate(grads, dtype=kind, casting="unsafe")


def _move(params: list[Any], origin: list[Array], step: float, direction: Array) -> None:
    """Put the parameters at ``origin + step * direction``."""
    start = 0
    for p, old in zip(params, origin):
        part = direction[start : start + old.size].reshape(old.shape)
        np.copyto(p._a, old + part * part.dtype.type(step), casting="unsafe")
        start += old.size
        version = p._cell
        version[0] += 1
        version[1:] = ("optimizer step",)


def _largest(x: Array) -> float:
    return float(np.abs(x).max()) if x.size else 0.0
