"""One expression in two libraries: values, dtypes, gradients, second gradients and error types compared.

A case is a function of the library (``allgrad`` or ``torch``) and of tensors made from the same arrays.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import allgrad

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """``call(t, *tensors)``; floating arrays get gradients up to ``order``; ``rtol`` for the float64 comparison."""

    name: str
    call: Callable[..., Any]
    arrays: tuple[Array, ...]
    order: int = 2
    rtol: float = 1e-9


def _flat(found: Any) -> list[Any]:
    """Tensors of a result, nested tuples and lists laid out."""
    if isinstance(found, (tuple, list)):
        return [x for part in found for x in _flat(part)]
    return [found]


def _is_tensor(x: Any) -> bool:
    return hasattr(x, "requires_grad")


def dtype_name(x: Any) -> str:
    """``float32`` for both libraries."""
    return str(x.dtype).replace("torch.", "")


def _values(x: Any) -> Array:
    return np.asarray(x.detach().numpy(force=True))


def evaluate(t: Any, case: Case, grad: bool) -> dict[str, Any]:
    """Outputs as arrays with dtypes; gradients of a fixed functional of the floating outputs, and of their squares."""
    tensors = [t.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for a in case.arrays]
    wrt = []
    if grad and case.order:
        wrt = [x.requires_grad_() for x in tensors if _is_tensor(x) and dtype_name(x).startswith("float")]
    outs = _flat(case.call(t, *tensors))
    report: dict[str, Any] = {
        "values": [_values(x) if _is_tensor(x) else x for x in outs],
        "dtypes": [dtype_name(x) if _is_tensor(x) else type(x).__name__ for x in outs],
    }
    live = [x for x in outs if _is_tensor(x) and x.requires_grad]
    if not wrt or not live:
        return report
    weights = np.random.default_rng(1)
    g = [t.from_numpy(np.asarray(weights.normal(size=tuple(x.shape)), dtype_name(x))) for x in live]
    first = t.autograd.grad(live, wrt, g, create_graph=case.order > 1, allow_unused=True)
    report["first"] = [None if x is None else _values(x) for x in first]
    if case.order > 1:
        again = [x for x in first if x is not None and x.requires_grad]
        if again:
            h = [t.from_numpy(np.asarray(weights.normal(size=tuple(x.shape)), dtype_name(x))) for x in again]
            second = t.autograd.grad(again, wrt, h, allow_unused=True)
            report["second"] = [None if x is None else _values(x) for x in second]
    return report


def _same(ours: Any, theirs: Any, rtol: float, what: str) -> None:
    assert len(ours) == len(theirs), f"{what}: {len(ours)} results, PyTorch has {len(theirs)}"
    for i, (a, b) in enumerate(zip(ours, theirs)):
        if a is None or b is None:  # no gradient and a gradient of zeros say the same
            other = np.asarray(0.0 if a is b else a if b is None else b)
            assert (np.abs(other) <= 10 * rtol).all(), f"{what} {i}: one is None, the other {other}"
            continue
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, f"{what} {i}: shape {a.shape}, PyTorch {b.shape}"
        scale = np.max(np.abs(b[np.isfinite(b)]), initial=1.0) if b.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=f"{what} {i}")


def _attempt(t: Any, case: Case, grad: bool) -> tuple[dict[str, Any] | None, Exception | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return evaluate(t, case, grad), None
    except Exception as error:
        return None, error


def compare(case: Case, torch: Any, *, grad: bool = True) -> str:
    """Assert that both libraries agree; what was compared: "value", "first", "second", "error", or "wider"."""
    ours, our_error = _attempt(allgrad, case, grad)
    theirs, their_error = _attempt(torch, case, grad)
    if their_error is not None:
        if any(text in str(their_error) for text in ("not implemented for", "not support bool")):
            return "wider"  # PyTorch has no kernel for this dtype; here it may work
        assert our_error is not None, f"PyTorch raises {type(their_error).__name__}: {their_error}; allgrad does not"
        kinds = [k for k in (IndexError, TypeError, ValueError, RuntimeError) if isinstance(their_error, k)]
        for k in kinds:
            assert isinstance(our_error, k), f"PyTorch: {their_error!r}; allgrad: {our_error!r}"
        return "error"
    if our_error is not None:
        raise our_error
    assert ours is not None and theirs is not None
    assert ours["dtypes"] == theirs["dtypes"], f"dtypes {ours['dtypes']}, PyTorch {theirs['dtypes']}"
    _same(ours["values"], theirs["values"], case.rtol, "value")
    done = "value"
    for order in ("first", "second"):
        if order in theirs or order in ours:
            count = max(len(theirs.get(order, ())), len(ours.get(order, ())))
            none = [None] * count
            _same(ours.get(order, none), theirs.get(order, none), case.rtol, f"{order} gradient")
            done = order
    return done
