"""Reductions, order, scans, softmax: a generated sweep against PyTorch, and references from NumPy and SciPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from sweep import Case, compare

R = np.random.default_rng(0)


def real(*shape: int, dtype: str = "float64") -> Any:
    return R.normal(size=shape).astype(dtype)


NAN = np.array([[1.0, np.nan, 3.0, 2.0], [4.0, 5.0, -1.0, 0.5], [np.nan, np.nan, np.nan, np.nan]])
TIES = np.array([[1.0, 3.0, 3.0, 2.0], [3.0, 0.0, 3.0, -1.0]])
ZEROS = np.array([[1.5, 0.0, 3.0, 2.0], [0.0, 5.0, 0.0, 0.5], [1.0, 2.0, 3.0, 4.0]])
INF = np.array([[-np.inf, -np.inf, -np.inf], [1.0, -np.inf, 2.0], [0.0, 1.0, np.inf]])
X = real(3, 4, 5)
DIMS: list[Any] = [None, 0, 1, -1, -3, (0, 2), (1,), (0, 1, 2), ()]


def _cases() -> list[Case]:
    c: list[Case] = []

    def add(name: str, call: Any, *arrays: Any, **settings: Any) -> None:
        c.append(Case(name, call, arrays, **settings))

    for name in ("sum", "mean", "nansum", "nanmean", "amax", "amin", "var", "std", "logsumexp", "count_nonzero"):
        for dim, keep in itertools.product(DIMS, (False, True)):
            if dim is None and name in ("amax", "amin", "logsumexp"):
                continue
            if name == "count_nonzero":
                if not keep:
                    add(f"{name} {dim}", lambda t, x, n=name, d=dim: getattr(t, n)(x, d), X)
                continue
            add(f"{name} {dim} {keep}", lambda t, x, n=name, d=dim, k=keep: getattr(t, n)(x, dim=d, keepdim=k), X)
            add(f"x.{name} {dim} {keep}", lambda t, x, n=name, d=dim, k=keep: getattr(x, n)(dim=d, keepdim=k), ZEROS)
        for data in (NAN, TIES, INF, real(0, 3), real(), real(1), real(3, 0), real(2, 0, 4)):
            for dim in (None, 0, -1):
                order = 1 if data is NAN or data is INF else 2
                if dim is None and name in ("amax", "amin", "logsumexp"):
                    continue
                add(
                    f"{name} {data.shape} {dim}", lambda t, x, n=name, d=dim: getattr(t, n)(x, dim=d), data, order=order
                )
    for name in ("sum", "mean", "prod", "nansum", "cumsum", "cumprod", "max", "min", "argmax", "argmin", "any", "all",
                 "median", "mode", "sort", "argsort", "std", "var", "softmax", "logsumexp", "count_nonzero", "amax",
                 "cummax", "norm", "topk", "kthvalue", "diff", "msort", "logcumsumexp", "aminmax"):  # fmt: skip
        for dtype in ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"):
            data = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
            if name in ("cumsum", "cumprod", "softmax", "logsumexp", "cummax", "logcumsumexp"):
                add(f"{name} {dtype}", lambda t, x, n=name: getattr(t, n)(x, 1), data, order=0, rtol=2e-3)
            elif name in ("topk", "kthvalue"):
                add(f"{name} {dtype}", lambda t, x, n=name: getattr(t, n)(x, 2)[0], data, order=0)
            elif name in ("sort", "mode", "argsort"):
                add(f"{name} {dtype}", lambda t, x, n=name: getattr(t, n)(x), data[:, :3], order=0)
            else:
                add(f"{name} {dtype}", lambda t, x, n=name: getattr(t, n)(x), data, order=0, rtol=2e-3)
    for name in ("sum", "mean", "prod", "nansum", "cumsum", "cumprod"):
        for dtype in ("float32", "float64", "int32", "bool", "int64"):
            dim = (0,) if name.startswith("cum") else ()
            add(
                f"{name} dtype={dtype}",
                lambda t, x, n=name, d=dtype, a=dim: getattr(t, n)(x, *a, dtype=getattr(t, d)),
                np.arange(1, 7).reshape(2, 3),
            )
            add(
                f"{name} real dtype={dtype}",
                lambda t, x, n=name, d=dtype, a=dim: getattr(t, n)(x, *a, dtype=getattr(t, d)),
                ZEROS,
                rtol=1e-6,
                order=2 if dtype.startswith("float") else 0,
            )
    for name in ("var", "std", "var_mean", "std_mean"):
        for dim, correction, keep in itertools.product((None, 0, (0, 2)), (0, 1, 2, 0.5, 3, 5), (False, True)):
            add(
                f"{name} {dim} correction={correction} {keep}",
                lambda t, x, n=name, d=dim, k=correction, p=keep: getattr(t, n)(x, dim=d, correction=k, keepdim=p),
                X,
            )
        add(f"{name}(False)", lambda t, x, n=name: getattr(t, n)(x, False), X)
        add(f"{name}(unbiased)", lambda t, x, n=name: getattr(t, n)(x, unbiased=False), X)
        add(f"{name}(1, False)", lambda t, x, n=name: getattr(t, n)(x, 1, False), X)
        add(f"{name}(1, False, True)", lambda t, x, n=name: getattr(t, n)(x, 1, False, True), X)
        add(f"{name} constant", lambda t, x, n=name: getattr(t, n)(x, 1), np.ones((2, 3)), order=1)
        add(f"{name} one", lambda t, x, n=name: getattr(t, n)(x, 1), np.ones((2, 1)), order=1)
        add(f"{name} int", lambda t, x, n=name: getattr(t, n)(x), np.arange(3))
    for name in ("max", "min", "median", "nanmedian", "mode", "cummax", "cummin", "argmax", "argmin", "cumsum",
                 "cumprod", "logcumsumexp", "softmax", "log_softmax", "prod", "sort", "argsort", "any", "all"):  # fmt: skip
        for data in (X, TIES, ZEROS, NAN, INF, real(), real(1), real(2, 1, 3)):
            order = 1 if data is NAN or data is INF or data is TIES else 2
            if name in ("prod", "cumprod") and (data is NAN or data is INF):
                order = 0  # nan and inf times zero: each formula has its own nans
            for dim in (0, -1, 1, 3, -4):
                if name in ("sort", "argsort", "median", "nanmedian", "mode") and data is TIES:
                    add(
                        f"{name} ties {dim}", lambda t, x, n=name, d=dim: _first(getattr(t, n)(x, dim=d)), data, order=0
                    )
                elif name == "logcumsumexp" and data is INF:
                    add(f"{name} inf {dim}", lambda t, x, n=name, d=dim: getattr(t, n)(x, dim=d), data, order=0)
                elif name == "mode" and data is NAN:
                    continue  # PyTorch's answer depends on how its sort places the nans
                elif name in ("sort", "argsort", "nanmedian") and data is NAN:
                    add(f"{name} nan {dim}", lambda t, x, n=name, d=dim: _first(getattr(t, n)(x, dim=d)), data, order=0)
                else:
                    label = f"{name} {data.shape} {dim}"
                    add(label, lambda t, x, n=name, d=dim: getattr(t, n)(x, dim=d), data, order=order)
                    add(f"x.{label}", lambda t, x, n=name, d=dim: getattr(x, n)(d), data, order=order)
            if name in ("max", "min", "median", "nanmedian", "mode", "prod", "argmax", "argmin", "any", "all"):
                add(f"{name} keepdim", lambda t, x, n=name: getattr(t, n)(x, 0, keepdim=True), X)
                if name != "mode":
                    add(f"{name} full {data.shape}", lambda t, x, n=name: getattr(t, n)(x), data, order=order)
    for name in ("max", "min", "argmax", "argmin", "median", "mode", "amax", "aminmax", "sum", "prod", "any", "all",
                 "nanmedian", "sort", "cummax", "cumsum", "softmax", "var"):  # fmt: skip
        for shape in ((0,), (0, 3), (3, 0)):
            if name not in ("cummax", "cumsum", "softmax", "mode", "sort"):
                add(f"{name} empty {shape}", lambda t, x, n=name: getattr(t, n)(x), np.zeros(shape))
            for dim in (0, 1):
                add(f"{name} empty {shape} {dim}", lambda t, x, n=name, d=dim: getattr(t, n)(x, dim=d), np.zeros(shape))
    for name in ("max", "min"):
        add(f"{name} other", lambda t, x, y, n=name: getattr(t, n)(x, y), X, real(4, 5))
        add(f"x.{name} other=", lambda t, x, y, n=name: getattr(x, n)(other=y), X, real(5))
    for p in ("fro", 2, 1, 0, 3, 1.5, 0.5, -1, np.inf, -np.inf, "nuc"):
        for dim in (None, 1, (0, 1)):
            for data, label in ((real(3, 4), "real"), (ZEROS[:2], "zeros"), (np.zeros((2, 3)), "all zero")):
                if (label != "real" and p in (-1, 0.5, 1.5, 3)) or (p == "nuc" and (dim == 1 or label == "all zero")):
                    continue
                order = 2 if label == "real" else 1
                add(f"norm {p} {dim} {label}", lambda t, x, q=p, d=dim: t.norm(x, q, d), data, order=order)
                if p not in ("fro", "nuc"):
                    add(
                        f"vector_norm {p} {dim} {label}",
                        lambda t, x, q=p, d=dim: t.linalg.vector_norm(x, q, d, keepdim=True),
                        data,
                        order=order,
                    )
    add("norm method", lambda t, x: x.norm(dim=1, keepdim=True), real(3, 4))
    add("norm dtype", lambda t, x: x.norm(dtype=t.float64), real(3, 4, dtype="float32"), rtol=1e-6)
    for k, dim, largest in itertools.product((0, 1, 2, 3, 9), (-1, 0), (True, False)):
        add(f"topk {k} {dim} {largest}", lambda t, x, k=k, d=dim, b=largest: t.topk(x, k, d, b), real(3, 4))
    for k in (0, 1, 3, 4, 5):
        add(f"kthvalue {k}", lambda t, x, k=k: t.kthvalue(x, k), real(3, 4))
        add(f"kthvalue {k} 0 keepdim", lambda t, x, k=k: x.kthvalue(k, 0, True), real(5, 2))
    add("topk long", lambda t, x: t.topk(x, 5, 1), real(3, 500))
    add("topk long smallest", lambda t, x: t.topk(x, 5, 1, largest=False), real(3, 500))
    add("topk 0-d", lambda t, x: t.topk(x, 1), real())
    for stable, descending in itertools.product((True, False), (True, False)):
        add(
            f"sort {stable} {descending}",
            lambda t, x, s=stable, d=descending: t.sort(x, dim=1, descending=d, stable=s),
            real(3, 6),
        )
        if stable:
            add(f"sort stable ties {descending}", lambda t, x, d=descending: t.sort(x, stable=True, descending=d), TIES)
            add(f"argsort ties {descending}", lambda t, x, d=descending: t.argsort(x, stable=True, descending=d), TIES)
            add(
                f"sort nan {descending}",
                lambda t, x, d=descending: t.sort(x, stable=True, descending=d)[0],
                NAN,
                order=0,
            )
    q = np.array([0.0, 0.1, 0.5, 0.77, 1.0])
    for method, dim, keep in itertools.product(
        ("linear", "lower", "higher", "midpoint", "nearest"), (None, 0, -1), (False, True)
    ):
        for name in ("quantile", "nanquantile"):
            add(
                f"{name} {method} {dim} {keep}",
                lambda t, x, q, n=name, m=method, d=dim, k=keep: getattr(t, n)(x, q.detach(), d, k, interpolation=m),
                real(4, 3, 2),
                q,
            )
            add(
                f"{name} nan {method} {dim} {keep}",
                lambda t, x, n=name, m=method, d=dim, k=keep: getattr(t, n)(x, 0.3, d, k, interpolation=m),
                NAN,
                order=0,
            )
    for bad in (lambda t, x: t.quantile(x, 1.5), lambda t, x: t.quantile(x, 0.5, interpolation="cubic"),
                lambda t, x: t.quantile(x.long(), 0.5), lambda t, x: t.quantile(x, 0.5, 7)):  # fmt: skip
        add("quantile error", bad, X)
    for n, dim in itertools.product((0, 1, 2, 7), (-1, 0)):
        add(f"diff {n} {dim}", lambda t, x, n=n, d=dim: t.diff(x, n, d), real(4, 5))
    add("diff prepend", lambda t, x, y: t.diff(x, prepend=y, append=y), real(4, 5), real(4, 1))
    add("diff bool", lambda t, x: t.diff(x), np.array([True, False, False, True]))
    add("diff 0-d", lambda t, x: t.diff(x), real())
    for dim in (0, -1):
        add(f"trapezoid {dim}", lambda t, y, d=dim: t.trapezoid(y, dim=d), real(3, 4))
        add(f"trapezoid dx {dim}", lambda t, y, d=dim: t.trapezoid(y, dx=0.5, dim=d), real(3, 4))
        add(f"trapezoid x {dim}", lambda t, y, x, d=dim: t.trapezoid(y, x, dim=d), real(4, 4), real(4))
        add(f"trapz x wide {dim}", lambda t, y, x, d=dim: t.trapz(y, x, dim=d), real(3, 4), real(3, 4))
        add(f"cumulative {dim}", lambda t, y, d=dim: t.cumulative_trapezoid(y, dim=d), real(3, 4))
        add(f"cumulative x {dim}", lambda t, y, x, d=dim: t.cumulative_trapezoid(y, x, dim=d), real(4, 4), real(4))
    add("trapezoid mismatch", lambda t, y, x: t.trapezoid(y, x), real(3, 4), real(5))
    for bins, low, high in ((4, 0, 0), (5, -1, 1), (3, 2, 2), (1, 0, 0), (0, 0, 1), (4, 2, -2)):
        add(f"histc {bins} {low} {high}", lambda t, x, b=bins, l=low, h=high: t.histc(x, b, l, h), real(50), order=0)
    add("histogram", lambda t, x: t.histogram(x, 6), real(50), order=0)
    add("histogram range", lambda t, x: t.histogram(x, 6, range=(-1.0, 1.5)), real(50), order=0)
    add("histogram density", lambda t, x: t.histogram(x, 6, density=True), real(50), order=0)
    add("histogram weight", lambda t, x, w: t.histogram(x, 6, weight=w), real(50), real(50), order=0)
    add("histogram edges", lambda t, x, e: t.histogram(x, e), real(50), np.array([-2.0, -0.3, 0.1, 2.0]), order=0)
    add("bincount", lambda t, x: t.bincount(x), np.array([1, 4, 1, 0]))
    add("bincount min", lambda t, x: x.bincount(minlength=9), np.array([1, 4, 1, 0]))
    add("bincount weights", lambda t, x, w: t.bincount(x, w), np.array([1, 4, 1, 0]), real(4), order=0)
    add(
        "bincount f32", lambda t, x, w: t.bincount(x, w), np.array([1, 1]), real(2, dtype="float32"), order=0, rtol=1e-6
    )
    add("bincount negative", lambda t, x: t.bincount(x), np.array([1, -4]))
    add("bincount 2d", lambda t, x: t.bincount(x), np.array([[1, 4]]))
    add("bincount float", lambda t, x: t.bincount(x), real(3))
    for p in (2, 1, 0, 3, np.inf):
        add(f"dist {p}", lambda t, x, y, p=p: t.dist(x, y, p), real(3, 4), real(4))
    add("cov", lambda t, x: t.cov(x), real(3, 6))
    add("cov 1-d", lambda t, x: t.cov(x), real(6))
    add("cov correction", lambda t, x: t.cov(x, correction=0), real(3, 6))
    add("cov f", lambda t, x, f: t.cov(x, fweights=f), real(3, 4), np.array([1, 2, 1, 3]))
    add("cov a", lambda t, x: t.cov(x, aweights=t.tensor([1.0, 0.5, 2.0, 1.0], dtype=t.float64)), real(3, 4))
    add(
        "cov f a",
        lambda t, x, f: t.cov(x, fweights=f, aweights=t.tensor([1.0, 0.5, 2.0, 1.0], dtype=t.float64)),
        real(3, 4),
        np.array([1, 2, 1, 3]),
    )
    add("cov 3-d", lambda t, x: t.cov(x), real(2, 3, 4))
    add("corrcoef", lambda t, x: t.corrcoef(x), real(3, 6))
    add("corrcoef 1-d", lambda t, x: t.corrcoef(x), real(6))
    for name in ("sum", "mean", "amax", "std", "all"):
        add(f"{name} twice", lambda t, x, n=name: getattr(t, n)(x, dim=(1, 1)), X)
        add(f"{name} range", lambda t, x, n=name: getattr(t, n)(x, dim=3), X)
        add(f"{name} range 0-d", lambda t, x, n=name: getattr(t, n)(x, dim=1), real())
        add(f"{name} axis", lambda t, x, n=name: getattr(t, n)(x, axis=1, keepdims=True), X)
        add(f"{name} list", lambda t, x, n=name: getattr(t, n)([1.0]), X)
        add(f"{name} strange dim", lambda t, x, n=name: getattr(x, n)(dim="a"), X)
    for dim in (0, -1, 2):
        add(f"softmax int {dim}", lambda t, x, d=dim: t.softmax(x, d), np.arange(4).reshape(2, 2))
        add(
            f"softmax dtype {dim}",
            lambda t, x, d=dim: t.softmax(x, d, dtype=t.float32),
            np.arange(4).reshape(2, 2),
            rtol=1e-6,
        )
    for name in ("softmax", "log_softmax"):
        for shape in ((40, 10), (700, 3), (100, 30), (5, 600), (0, 3), (3, 0), (2, 3, 4)):
            for dim in range(len(shape)):
                order = 2 if np.prod(shape) < 500 else 1
                add(f"{name} {shape} {dim}", lambda t, x, n=name, d=dim: getattr(t, n)(x, d), real(*shape), order=order)
    for shape, dim in (((300, 20), 0), ((300, 20), 1), ((6, 40, 50), (0, 2)), ((6, 40, 50), 1), ((40, 6, 50), (0, 1)),
                       ((2, 1100), 1), ((1100, 2), 0), ((5, 600, 3), 1), ((1, 5000), None), ((3000,), 0)):  # fmt: skip
        for name in ("sum", "mean", "var", "amax", "logsumexp", "norm"):
            if dim is None and name in ("amax", "logsumexp"):
                continue
            data = real(*shape)
            add(f"{name} big {shape} {dim}", lambda t, x, n=name, d=dim: getattr(t, n)(x, dim=d), data, order=1)
            if len(shape) > 1 and dim is not None:
                add(
                    f"{name} big turned {shape} {dim}",
                    lambda t, x, n=name, d=dim: getattr(t, n)(x.transpose(0, -1), dim=d),
                    data,
                    order=1,
                )
    return c


# Where allgrad differs on purpose: the start of a case's name, and why.
DIFFERENT = {
    "nanmean (3, 4) -1": "the gradient of a row of nan only is 0, not nan: no nan enters the sum",
    "amax (3, 4)": "where the maximum is nan the gradient goes to the nans, as in max(); PyTorch divides 0 by 0",
    "amin (3, 4)": "where the minimum is nan the gradient goes to the nans, as in min(); PyTorch divides 0 by 0",
    "var ()": "PyTorch counts the elements of an empty dim wrongly in backward: infinite gradients",
    "x.var ()": "PyTorch counts the elements of an empty dim wrongly in backward: infinite gradients",
    "std ()": "PyTorch counts the elements of an empty dim wrongly in backward: infinite gradients",
    "x.std ()": "PyTorch counts the elements of an empty dim wrongly in backward: infinite gradients",
    "logsumexp () False": "PyTorch cannot differentiate an empty dim without keepdim",
    "x.logsumexp () False": "PyTorch cannot differentiate an empty dim without keepdim",
    "logsumexp (3, 3) -1": "the gradient of a row of -inf is 0, not nan",
    "cummax empty (0,) 1": "a dim out of range is an error on an empty tensor too",
    "dist 0": "PyTorch's backward of the 0-norm of a difference fails",
    "var (1,) None": "0 degrees of freedom: all is nan, PyTorch's second gradient too",
}


def _first(found: Any) -> Any:
    return found[0] if isinstance(found, tuple) else found


CASES = _cases()


@pytest.mark.parametrize("group", range(12))
def test_sweep_against_pytorch(group: int) -> None:
    """Values, dtypes, shapes, gradients, second gradients and error types."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    wrong = []
    for case in CASES[group::12]:
        if any(case.name.startswith(name) for name in DIFFERENT):
            continue
        try:
            compare(case, torch)
        except Exception as error:
            wrong.append(f"{case.name}: {type(error).__name__}: {str(error).strip()[:400]}")
    assert not wrong, f"{len(wrong)} of {len(CASES[group::12])} differ:\n" + "\n".join(wrong)
