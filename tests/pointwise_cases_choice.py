"""More calls of the pointwise sweep: where, clamp, isin, casts and promotion."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from pointwise_parity import DTYPES, Case, gradients, tensor, values


def choices() -> Iterator[Case]:
    limits = (None, -1, 0.5, 2, True, float("nan"), float("inf"))
    for dtype, low, high in itertools.product(DTYPES, limits, limits):
        for name in ("clamp", "clip"):
            yield (
                name,
                f"{dtype} {low} {high}",
                lambda lib, n=name, d=dtype, lo=low, hi=high: getattr(lib, n)(tensor(lib, values(d), d), lo, hi),
                "1",
            )
    for d1, d2, d3 in itertools.product(("bool", "uint8", "int64", "float32", "float64"), repeat=3):
        x, y = values(d2)[:6], values(d3, shift=1)[:6]
        yield (
            "where",
            f"{d1} {d2} {d3}",
            lambda lib, d1=d1, d2=d2, d3=d3, x=x, y=y: lib.where(
                tensor(lib, values(d1)[:6], d1), tensor(lib, x, d2), tensor(lib, y, d3)
            ),
            "1",
        )
        yield (
            "where method",
            f"{d1} {d2} {d3}",
            lambda lib, d1=d1, d2=d2, d3=d3, x=x, y=y: tensor(lib, x, d2).where(
                tensor(lib, values(d1)[:6], d1), tensor(lib, y, d3)
            ),
            "1",
        )
    for number, d in itertools.product((True, 2, 2.5), DTYPES):
        for other in (True, 3, 0.5):
            yield (
                "where",
                f"numbers {number} {other}",
                lambda lib, k=number, o=other: lib.where(lib.tensor([True, False]), k, o),
                "1",
            )
        yield (
            "where",
            f"{number} {d}",
            lambda lib, k=number, d=d: lib.where(lib.tensor([True, False] * 3), k, tensor(lib, values(d)[:6], d)),
            "1",
        )
    for shape in ((6,), (2, 3), ()):
        yield (
            "where",
            f"nonzero {shape}",
            lambda lib, s=shape: lib.where(lib.tensor([0, 1, 0, 2, 3, 0])[: 6 if s else 1].reshape(s)),
            "1",
        )
    for d1, d2 in itertools.product(("int32", "int64", "float32", "float64"), repeat=2):
        for invert in (False, True):
            yield (
                "isin",
                f"{d1} {d2} {invert}",
                lambda lib, d1=d1, d2=d2, i=invert: lib.isin(
                    tensor(lib, values(d1), d1), tensor(lib, values(d2)[2:4], d2), invert=i
                ),
                "1",
            )
        for name in ("equal", "allclose"):
            yield (
                name,
                f"{d1} {d2}",
                lambda lib, n=name, d1=d1, d2=d2: getattr(lib, n)(
                    tensor(lib, values(d1), d1), tensor(lib, values(d2), d2)
                ),
                "1",
            )
            yield (
                name,
                f"{d1} {d2} no nan",
                lambda lib, n=name, d1=d1, d2=d2: getattr(lib, n)(
                    tensor(lib, values(d1)[:6], d1), tensor(lib, values(d2)[:6], d2)
                ),
                "1",
            )
    for equal_nan, rtol in itertools.product((False, True), (1e-5, 0.5, 0.0)):
        yield (
            "isclose",
            f"{equal_nan} {rtol}",
            lambda lib, e=equal_nan, r=rtol: lib.isclose(
                tensor(lib, values("float32"), "float32"),
                tensor(lib, values("float32", shift=1), "float32"),
                rtol=r,
                atol=0.3,
                equal_nan=e,
            ),
            "1",
        )
    yield (
        "isin",
        "numbers",
        lambda lib: (
            lib.isin(2, lib.tensor([1, 2])),
            lib.isin(lib.tensor([1, 2]), 2),
            lib.isin(lib.tensor([1.5, 2]), 1.5),
        ),
        "1",
    )
    yield "isin", "two numbers", lambda lib: lib.isin(2, 3), "1"


def casts() -> Iterator[Case]:
    for d1, d2 in itertools.product(DTYPES, DTYPES):
        a = values(d1)
        a = a[np.isfinite(a)] if a.dtype.kind == "f" else a
        if d2 == "uint8":
            a = np.abs(a)  # a negative number as an unsigned one is undefined in C

        yield "to", f"{d1} {d2}", lambda lib, a=a, d1=d1, d2=d2: tensor(lib, a, d1).to(getattr(lib, d2)), "1"
        yield "type", f"{d1} {d2}", lambda lib, a=a, d1=d1, d2=d2: tensor(lib, a, d1).type(getattr(lib, d2)), "1"
        yield (
            "type_as",
            f"{d1} {d2}",
            lambda lib, a=a, d1=d1, d2=d2: tensor(lib, a, d1).type_as(tensor(lib, values(d2), d2)),
            "1",
        )
        yield (
            "to other",
            f"{d1} {d2}",
            lambda lib, a=a, d1=d1, d2=d2: tensor(lib, a, d1).to(tensor(lib, values(d2), d2)),
            "1",
        )
        yield "can_cast", f"{d1} {d2}", lambda lib, d1=d1, d2=d2: lib.can_cast(getattr(lib, d1), getattr(lib, d2)), "1"
        yield (
            "promote_types",
            f"{d1} {d2}",
            lambda lib, d1=d1, d2=d2: lib.promote_types(getattr(lib, d1), getattr(lib, d2)),
            "1",
        )
        for s1, s2 in itertools.product(((), (2,)), repeat=2):
            yield (
                "result_type",
                f"{d1}{s1} {d2}{s2}",
                lambda lib, d1=d1, d2=d2, s1=s1, s2=s2: lib.result_type(
                    lib.zeros(s1, dtype=getattr(lib, d1)), lib.zeros(s2, dtype=getattr(lib, d2))
                ),
                "1",
            )
        for number in (True, 1, 1.5):
            yield (
                "result_type",
                f"{d1} {number}",
                lambda lib, d=d1, k=number: lib.result_type(lib.zeros(2, dtype=getattr(lib, d)), k),
                "1",
            )
    for d in DTYPES:
        for name in ("float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool"):
            a = np.abs(np.nan_to_num(values(d).astype(np.float64), nan=0, posinf=3, neginf=2)).astype(values(d).dtype)
            yield name, d, lambda lib, n=name, a=a, d=d: getattr(tensor(lib, a, d), n)(), "1"
        yield "type()", d, lambda lib, d=d: tensor(lib, values(d), d).type(), "1"
        yield (
            "is_floating_point",
            d,
            lambda lib, d=d: (
                lib.is_floating_point(tensor(lib, values(d), d)),
                lib.is_tensor(tensor(lib, values(d), d)),
            ),
            "1",
        )
    for what in ("cpu", None, "cpu:0"):
        yield "to", f"device {what}", lambda lib, w=what: lib.ones(2).to(w), "1"
    yield "to", "device dtype copy", lambda lib: lib.ones(2).to("cpu", lib.float64, copy=True), "1"
    yield "to", "keywords", lambda lib: lib.ones(2).to(device="cpu", dtype=lib.int64, non_blocking=True), "1"
    yield "to", "python types", lambda lib: (lib.ones(2).to(int), lib.ones(2).to(float), lib.ones(2).to(bool)), "1"
    yield (
        "to",
        "itself",
        lambda lib: (lambda x: (x.to(lib.float32) is x, x.to(lib.float32, copy=True) is x, x.float() is x))(
            lib.ones(2)
        ),
        "1",
    )
    yield "to", "nonsense", lambda lib: lib.ones(2).to("nowhere"), "1"
    yield (
        "to",
        "gradient",
        lambda lib: gradients(
            lib, lambda x: x.to(lib.float16).to(lib.float64) * x.double(), [np.arange(3.0)], "float32", True
        ),
        "1000",
    )


GROUPS = {"choices": choices, "casts": casts}
