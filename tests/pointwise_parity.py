"""A generated sweep over the pointwise functions: the same call in PyTorch and in allgrad.

Compared: dtype, shape, values, kind of error, gradients, and for smooth functions second gradients.
``python tests/pointwise_parity.py`` prints the table of counts; ``test_pointwise_parity.py`` demands it to be clean.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import allgrad

DTYPES = ("bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64")
FLOATS = ("float32", "float64")
KINKS = (-2.5, -1.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 6.0, float("nan"), float("inf"), float("-inf"))
WHOLE = (0, 1, 2, 3, 7, 5)
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 4e-3, "bfloat16": 2e-2}
# What differs on purpose: (function, what) -> why.
ON_PURPOSE: dict[tuple[str, str], str] = {
    **{
        (f"{name}_", "recorded"): "PyTorch has no derivative of its in-place version; ours is that of the function"
        for name in ("acosh", "asinh", "atanh")
    },
    **{
        (name, what): "PyTorch's trigamma is right to 1e-10 only; ours to 1e-14, see test_special.py"
        for name, what in (
            ("digamma", "gradient"),
            ("digamma_", "float64 recorded"),
            ("lgamma", "float64 second"),
            ("mvlgamma", "float64"),
            ("polygamma 0", "float64"),
            ("polygamma 1", "float64"),
            ("special.gammaln", "float64"),
            ("special.digamma", "float64"),
            ("special.psi", "float64"),
            ("special.multigammaln", "float64"),
            ("special.polygamma", "float64"),
        )
    },
    **{
        (name, "float"): "PyTorch has nan at infinity, where the limit is 0"
        for name in ("polygamma 2", "polygamma method", "special.zeta")
    },
    ("copysign", "kinks"): "PyTorch divides inf by inf; the slope of copysign at infinity is 1 or -1",
    **{
        (name, "kinks"): "the slope of elu at nan is nan here and 1 in PyTorch"
        for name in ("elu", "elu 0.7", "selu", "celu", "celu 1.7")
    },
    ("softsign", "kinks"): "PyTorch has nan at infinity, where the slope is 0",
    ("gelu", "float16"): "PyTorch has nan at infinity; gelu(inf) is inf and gelu(-inf) 0",
    ("gelu", "float32"): "as for float16",
    ("mish", "float32 gradients wide"): "PyTorch's exponential overflows to nan",
    ("hardsigmoid", "gradients wide"): "PyTorch has no second derivative of hardsigmoid; ours is 0",
    ("hardsigmoid", "float64"): "PyTorch multiplies float64 by 1/6 in single precision",
    ("celu 1.7", "float64"): "PyTorch divides by alpha in single precision",
    ("leaky_relu -0.5", "in place"): "PyTorch cannot do it from the output; ours keeps the input",
    ("number % x", "float"): "PyTorch has no derivative in the divisor of number % x; ours is -floor(number / x)",
    ("numbers", "float"): "PyTorch has no derivative of number // x; it is 0",
    ("round decimals=0", "int64"): "PyTorch refuses decimals=0 for integers, though it takes them without the argument",
    ("special.round", "int64"): "as for round",
}

Case = tuple[str, str, Callable[[Any], Any], str]  # function, description, call of the library, what to compare


def values(dtype: str, *, shift: int = 0) -> np.ndarray[Any, Any]:
    """A few numbers of every sort that the dtype has."""
    if dtype == "bool":
        return np.array([True, False, True, False, True, True])
    if dtype.startswith(("int", "uint")):
        a = np.roll(np.array(WHOLE), shift)
        return (a if dtype.startswith("uint") else a * np.array([1, -1, 1, 1, -1, 1])).astype(dtype)
    return np.roll(np.array(KINKS), shift).astype(np.float32 if dtype == "bfloat16" else dtype)


def tensor(lib: Any, a: np.ndarray[Any, Any], dtype: str, grad: bool = False) -> Any:
    t = lib.tensor(a.tolist(), dtype=getattr(lib, dtype)) if a.size else lib.zeros(a.shape, dtype=getattr(lib, dtype))
    return t.requires_grad_() if grad else t


def as_numpy(t: Any) -> np.ndarray[Any, Any]:
    t = t.detach()
    return np.asarray((t.float() if "bfloat16" in str(t.dtype) else t).numpy(force=True))


def run(call: Callable[[Any], Any], lib: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(lib)
        except Exception as error:
            return error


def same_error(theirs: Exception, ours: Exception) -> bool:
    # NotImplementedError is how PyTorch says that a kernel lacks a dtype; what programs catch is RuntimeError.
    wanted = RuntimeError if isinstance(theirs, NotImplementedError) else type(theirs)
    return isinstance(ours, wanted)


def difference(theirs: Any, ours: Any, loose: float = 1.0) -> str:
    """What differs between two results, '' for nothing."""
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        if isinstance(theirs, Exception) and isinstance(ours, Exception):
            if same_error(theirs, ours):
                return ""
            return f"error {type(ours).__name__}: {ours}, wanted {type(theirs).__name__}: {theirs}"
        return f"{_shown(ours)}, wanted {_shown(theirs)}"
    if isinstance(theirs, (tuple, list)):
        if len(theirs) != len(ours):
            return f"{len(ours)} results, wanted {len(theirs)}"
        return next((d for d in (difference(a, b, loose) for a, b in zip(theirs, ours)) if d), "")
    if not isinstance(theirs, torch.Tensor):
        return "" if str(theirs) == str(ours) else f"{ours!r}, wanted {theirs!r}"
    if str(theirs.dtype) != str(ours.dtype):
        return f"dtype {ours.dtype}, wanted {theirs.dtype}"
    if tuple(theirs.shape) != tuple(ours.shape):
        return f"shape {tuple(ours.shape)}, wanted {tuple(theirs.shape)}"
    a, b = as_numpy(theirs), as_numpy(ours)
    if a.dtype.kind == "f":
        tol = TOLERANCE[str(theirs.dtype).removeprefix("torch.")] * loose
        with np.errstate(all="ignore"):
            good = np.isclose(b.astype(np.float64), a.astype(np.float64), rtol=tol, atol=tol * 0.1, equal_nan=True)
    else:
        good = a == b
    if good.all():
        return ""
    at = tuple(np.argwhere(~np.atleast_1d(good))[0])
    return f"value {np.atleast_1d(b)[at]!r} at {at}, wanted {np.atleast_1d(a)[at]!r}"


def _shown(x: Any) -> str:
    if isinstance(x, Exception):
        return f"{type(x).__name__}({str(x)[:90]})"
    return f"a result of {getattr(x, 'dtype', type(x).__name__)}"


def gradients(lib: Any, f: Callable[..., Any], arrays: list[np.ndarray[Any, Any]], dtype: str, second: bool) -> Any:
    xs = [tensor(lib, a, dtype, grad=True) for a in arrays]
    y = f(*xs)
    weight = tensor(lib, (np.arange(y.numel()).reshape(tuple(y.shape)) % 5 * 0.25 + 0.5), dtype)
    first = lib.autograd.grad((y * weight).sum(), xs, create_graph=second, allow_unused=True)
    if not second:
        return first
    total = sum((g * g).sum() if g is not None else 0 for g in first)
    return [*first, *lib.autograd.grad(total, xs, allow_unused=True)]


def sweep(cases: Iterator[Case], excused: set[tuple[str, str]]) -> tuple[collections.Counter[str], list[str]]:
    """Counts of calls per function, and a line for each difference; ``excused`` gets the reasons that were needed."""
    counts: collections.Counter[str] = collections.Counter()
    wrong = []
    for name, what, call, loose in cases:
        found = difference(run(call, torch), run(call, allgrad), float(loose))
        counts[name] += 1
        if not found:
            continue
        reasons = {(n, w) for n, w in ON_PURPOSE if name == n and w in what}
        excused |= reasons
        if not reasons:
            wrong.append(f"{name} {what}: {found}")
    return counts, wrong


def groups() -> dict[str, Callable[[], Iterator[Case]]]:
    """All generators of cases by title."""
    import pointwise_cases
    import pointwise_cases_choice
    import pointwise_cases_more

    return pointwise_cases.GROUPS | pointwise_cases_more.GROUPS | pointwise_cases_choice.GROUPS


def main() -> None:
    excused: set[tuple[str, str]] = set()
    for title, cases in groups().items():
        counts, wrong = sweep(cases(), excused)
        print(f"{title}: {len(counts)} functions, {sum(counts.values())} calls, {len(wrong)} differ")
        for line in wrong:
            print("   ", line)
    print(f"on purpose, {len(excused)}:")
    for key, why in ON_PURPOSE.items():
        print(f"    {' '.join(key)}: {why}{'' if key in excused else '  -- NOT NEEDED'}")


if __name__ == "__main__":
    main()
