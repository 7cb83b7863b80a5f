"""The same program in PyTorch and in allgrad, and what each came to."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import allgrad

Program = Callable[[Any], Any]


def shown(x: Any) -> Any:
    """A result as plain data: values, requires_grad and form."""
    if isinstance(x, (tuple, list)):
        return [shown(part) for part in x]
    if isinstance(x, dict):
        return {key: shown(part) for key, part in x.items()}
    if hasattr(x, "detach"):
        return {"value": np.array(x.detach().tolist()), "requires_grad": x.requires_grad, "dtype": str(x.dtype)}
    return x


def outcome(t: Any, program: Program) -> Any:
    """What a program returns, or the family of the error it raises."""
    try:
        return shown(program(t))
    except Exception as error:
        families = (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError)
        found = [f.__name__ for f in families if isinstance(error, f)]
        return f"raises {found[0] if found else type(error).__name__}", found


def agree(a: Any, b: Any, where: str = "result") -> None:
    """Assert that PyTorch's outcome ``a`` and allgrad's ``b`` are the same to 1e-6; errors by family."""
    if isinstance(a, tuple) or isinstance(b, tuple):
        assert isinstance(a, tuple) and isinstance(b, tuple), f"{where}: PyTorch {a}, allgrad {b}"
        assert set(a[1]) <= set(b[1]) or set(a[1]) & set(b[1]), f"{where}: PyTorch {a}, allgrad {b}"
    elif isinstance(a, list):
        assert isinstance(b, list) and len(a) == len(b), f"{where}: PyTorch {a}, allgrad {b}"
        for k, (x, y) in enumerate(zip(a, b)):
            agree(x, y, f"{where}[{k}]")
    elif isinstance(a, dict):
        assert isinstance(b, dict) and a.keys() == b.keys(), f"{where}: PyTorch {a}, allgrad {b}"
        for key in a:
            agree(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, np.ndarray):
        assert a.shape == b.shape, f"{where}: PyTorch {a.shape}, allgrad {b.shape}"
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-7, err_msg=where)
    elif isinstance(a, float):
        assert b == pytest.approx(a, rel=1e-6, nan_ok=True), where
    else:
        assert a == b, f"{where}: PyTorch {a!r}, allgrad {b!r}"


def both(program: Program) -> None:
    """Run a program in both libraries and compare; skipped where PyTorch is not installed."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own deprecations
        theirs = outcome(torch, program)
    agree(theirs, outcome(allgrad, program))
