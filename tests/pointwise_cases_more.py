"""More calls of the pointwise sweep: three operands, activations, special functions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pointwise_parity import DTYPES, FLOATS, KINKS, Case, gradients, tensor, values


def _f(lib: Any) -> Any:
    return lib.nn.functional


ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": lambda f, x, **k: f.relu(x, **k),
    "relu6": lambda f, x, **k: f.relu6(x, **k),
    "leaky_relu": lambda f, x, **k: f.leaky_relu(x, **k),
    "leaky_relu 0.3": lambda f, x, **k: f.leaky_relu(x, 0.3, **k),
    "leaky_relu -0.5": lambda f, x, **k: f.leaky_relu(x, negative_slope=-0.5, **k),
    "leaky_relu 2": lambda f, x, **k: f.leaky_relu(x, 2.0, **k),
    "elu": lambda f, x, **k: f.elu(x, **k),
    "elu 0.7": lambda f, x, **k: f.elu(x, alpha=0.7, **k),
    "selu": lambda f, x, **k: f.selu(x, **k),
    "celu": lambda f, x, **k: f.celu(x, **k),
    "celu 1.7": lambda f, x, **k: f.celu(x, alpha=1.7, **k),
    "gelu": lambda f, x: f.gelu(x),
    "gelu tanh": lambda f, x: f.gelu(x, approximate="tanh"),
    "silu": lambda f, x, **k: f.silu(x, **k),
    "mish": lambda f, x, **k: f.mish(x, **k),
    "hardswish": lambda f, x, **k: f.hardswish(x, **k),
    "hardsigmoid": lambda f, x, **k: f.hardsigmoid(x, **k),
    "hardtanh": lambda f, x, **k: f.hardtanh(x, **k),
    "hardtanh -0.5 2": lambda f, x, **k: f.hardtanh(x, -0.5, 2.0, **k),
    "softplus": lambda f, x: f.softplus(x),
    "softplus 2 3.1": lambda f, x: f.softplus(x, beta=2, threshold=3.1),
    "softsign": lambda f, x: f.softsign(x),
    "tanhshrink": lambda f, x: f.tanhshrink(x),
    "softshrink": lambda f, x: f.softshrink(x),
    "softshrink 1": lambda f, x: f.softshrink(x, 1.0),
    "hardshrink": lambda f, x: f.hardshrink(x),
    "hardshrink 1": lambda f, x: f.hardshrink(x, lambd=1.0),
    "threshold": lambda f, x, **k: f.threshold(x, 0.5, -3.0, **k),
    "logsigmoid": lambda f, x: f.logsigmoid(x),
    "rrelu": lambda f, x, **k: f.rrelu(x, **k),
    "sigmoid": lambda f, x: f.sigmoid(x),
    "tanh": lambda f, x: f.tanh(x),
}
NO_INPLACE = (
    "gelu",
    "gelu tanh",
    "softplus",
    "softplus 2 3.1",
    "softsign",
    "tanhshrink",
    "softshrink",
    "softshrink 1",
    "hardshrink",
    "hardshrink 1",
    "logsigmoid",
    "sigmoid",
    "tanh",
)
WIDE = np.concatenate([np.linspace(-9.5, 9.5, 39), [-88.0, 88.0, -200.0, 200.0, 25.0, -25.0]])


def activations() -> Iterator[Case]:
    for name, f in ACTIVATIONS.items():
        for dtype in DTYPES:
            yield name, dtype, lambda lib, f=f, d=dtype: f(_f(lib), tensor(lib, values(d), d)), "1"
            if dtype in ("float16", "bfloat16", *FLOATS):
                yield name, f"{dtype} wide", lambda lib, f=f, d=dtype: f(_f(lib), tensor(lib, WIDE, d)), "10"
        for dtype in FLOATS:
            for title, a, second in (("kinks", np.array(KINKS), False), ("wide", WIDE, True)):
                yield (
                    name,
                    f"{dtype} gradients {title}",
                    lambda lib, f=f, d=dtype, a=a, s=second: gradients(lib, lambda x, f=f: f(_f(lib), x), [a], d, s),
                    "100" if second else "10",
                )
            if name not in NO_INPLACE:
                yield (
                    name,
                    f"{dtype} recorded in place",
                    lambda lib, f=f, d=dtype: gradients(
                        lib, lambda x, f=f: f(_f(lib), x * 1, inplace=True), [WIDE], d, False
                    ),
                    "10",
                )


THREE: dict[str, Callable[..., Any]] = {
    "where": lambda lib, a, b, c: lib.where(c > 0.9, a, b),
    "lerp": lambda lib, a, b, c: lib.lerp(a, b, c),
    "lerp number": lambda lib, a, b, c: lib.lerp(a, b, 0.3) + 0 * c,
    "addcmul": lambda lib, a, b, c: lib.addcmul(a, b, c, value=0.5),
    "addcdiv": lambda lib, a, b, c: lib.addcdiv(a, b, c, value=0.5),
    "clamp": lambda lib, a, b, c: lib.clamp(a, b, c),
    "clamp min": lambda lib, a, b, c: lib.clamp(a, min=b) * c,
    "clamp max": lambda lib, a, b, c: lib.clamp(a, max=b) * c,
    "clamp numbers": lambda lib, a, b, c: a.clamp(0.5, 1.5) * b * c,
    "add alpha": lambda lib, a, b, c: lib.add(a, b, alpha=0.3) * c,
    "sub alpha": lambda lib, a, b, c: a.sub(b, alpha=2) * c,
    "rsub alpha": lambda lib, a, b, c: lib.rsub(a, b, alpha=2) * c,
    "div floor": lambda lib, a, b, c: lib.div(a, b, rounding_mode="floor") * c,
    "div trunc": lambda lib, a, b, c: a.div(b, rounding_mode="trunc") * c,
    "addcmul_": lambda lib, a, b, c: (a * 1).addcmul_(b, c, value=2),
    "addcdiv_": lambda lib, a, b, c: (a * 1).addcdiv_(b, c, value=2),
    "lerp_": lambda lib, a, b, c: (a * 1).lerp_(b, c),
    "clamp_": lambda lib, a, b, c: (a * 1).clamp_(b, c),
    "add_ alpha": lambda lib, a, b, c: (a * 1).add_(b, alpha=0.3) * c,
    "sub_ alpha": lambda lib, a, b, c: (a * 1).sub_(b, alpha=0.3) * c,
    "div_ floor": lambda lib, a, b, c: (a * c).div_(b, rounding_mode="floor") * c,
    "copy_": lambda lib, a, b, c: (a * 1).copy_(b) * c,
    "fill_": lambda lib, a, b, c: (a * 1).fill_(b.sum()) * c,
    "zero_": lambda lib, a, b, c: (a * 1).zero_() * c + b,
    "pow 3": lambda lib, a, b, c: a**3 * b**2 * c**0.5,
    "pow 0 1 -1": lambda lib, a, b, c: a**0 * b**1 * c**-1,
    "number ** x": lambda lib, a, b, c: 2**a * 0.5**b * c,
    "numbers": lambda lib, a, b, c: (2 - a) / (3 * b) + 1 / c - c / 2 + 7 // a,
    "number % x": lambda lib, a, b, c: 5 % (b + 1) * a * c,
}


def three() -> Iterator[Case]:
    a, b, c = np.linspace(0.2, 1.9, 6), np.linspace(2.1, 0.4, 6), np.linspace(0.3, 1.5, 6)
    shapes = (((6,), (6,), (6,)), ((6,), (1,), (2, 6)), ((2, 3), (3,), ()))
    for name, f in THREE.items():
        for dtype, (sa, sb, sc) in itertools.product(FLOATS, shapes):
            arrays = [np.resize(a, sa), np.resize(b, sb), np.resize(c, sc)]
            yield (
                name,
                f"{dtype} {sa} {sb} {sc}",
                lambda lib, f=f, d=dtype, r=arrays: gradients(lib, lambda *given, f=f: f(lib, *given), r, d, True),
                "50",
            )
        for d1, d2 in itertools.product(("bool", "int64", "float32", "float64"), repeat=2):
            x, y = values(d1)[:6], values(d2, shift=2)[:6]
            yield (
                name,
                f"{d1} {d2}",
                lambda lib, f=f, x=x, y=y, d1=d1, d2=d2: f(
                    lib, tensor(lib, x, d1), tensor(lib, y, d2), tensor(lib, x, d1)
                ),
                "1",
            )


ROUNDED = np.array([0.125, 2.675, -1.5, 2.5, 1234.567, -0.005, 15.0, 25.0, float("nan"), float("inf")])
SINGLE: dict[str, Callable[..., Any]] = {
    **{f"round decimals={k}": (lambda lib, x, k=k: lib.round(x, decimals=k)) for k in (-2, -1, 0, 1, 2)},
    "logit eps": lambda lib, x: lib.logit(x, eps=0.1),
    "logit eps method": lambda lib, x: x.logit(0.3),
    "nan_to_num given": lambda lib, x: lib.nan_to_num(x, nan=1.0, posinf=2.0, neginf=-3.0),
    "nan_to_num nan": lambda lib, x: x.nan_to_num(5.0),
    "polygamma 0": lambda lib, x: lib.polygamma(0, x.abs() + 0.1),
    "polygamma 1": lambda lib, x: lib.polygamma(1, x.abs() + 0.1),
    "polygamma 2": lambda lib, x: lib.polygamma(2, x.abs() + 0.1),
    "polygamma method": lambda lib, x: (x.abs() + 0.5).polygamma(3),
    "mvlgamma": lambda lib, x: lib.mvlgamma(x.abs() + 2.5, 3),
    "special.expit": lambda lib, x: lib.special.expit(x),
    "special.logit": lambda lib, x: lib.special.logit(x),
    "special.erf": lambda lib, x: lib.special.erf(x),
    "special.erfc": lambda lib, x: lib.special.erfc(x),
    "special.erfcx": lambda lib, x: lib.special.erfcx(x),
    "special.erfinv": lambda lib, x: lib.special.erfinv(x),
    "special.gammaln": lambda lib, x: lib.special.gammaln(x),
    "special.digamma": lambda lib, x: lib.special.digamma(x),
    "special.psi": lambda lib, x: lib.special.psi(x),
    "special.polygamma": lambda lib, x: lib.special.polygamma(1, x.abs() + 0.1),
    "special.entr": lambda lib, x: lib.special.entr(x),
    "special.ndtr": lambda lib, x: lib.special.ndtr(x),
    "special.ndtri": lambda lib, x: lib.special.ndtri(x),
    "special.log_ndtr": lambda lib, x: lib.special.log_ndtr(x),
    "special.exp2": lambda lib, x: lib.special.exp2(x),
    "special.expm1": lambda lib, x: lib.special.expm1(x),
    "special.log1p": lambda lib, x: lib.special.log1p(x),
    "special.round": lambda lib, x: lib.special.round(x),
    "special.sinc": lambda lib, x: lib.special.sinc(x),
    "special.xlogy": lambda lib, x: lib.special.xlogy(x, x + 1),
    "special.xlogy 2": lambda lib, x: lib.special.xlogy(x, 2.0),
    "special.xlogy number": lambda lib, x: lib.special.xlogy(2, x),
    "special.xlog1py": lambda lib, x: lib.special.xlog1py(x, x),
    "special.zeta": lambda lib, x: lib.special.zeta(x.abs() + 1.5, x.abs() + 0.5),
    "special.multigammaln": lambda lib, x: lib.special.multigammaln(x.abs() + 2.5, 2),
    "special.logsumexp": lambda lib, x: lib.special.logsumexp(x, 0),
    "special.softmax": lambda lib, x: lib.special.softmax(x, 0),
    "special.log_softmax": lambda lib, x: lib.special.log_softmax(x, 0),
}


def single() -> Iterator[Case]:
    for name, f in SINGLE.items():
        for dtype in ("bool", "int64", *FLOATS):
            a = ROUNDED if dtype in FLOATS and "round" in name else values(dtype)
            yield name, dtype, lambda lib, f=f, a=a, d=dtype: f(lib, tensor(lib, a, d)), "10"
        if name.split(" ")[0] not in ("special.zeta",):
            inner = np.linspace(0.11, 0.93, 7)
            for dtype in FLOATS:
                yield (
                    name,
                    f"{dtype} gradients",
                    lambda lib, f=f, d=dtype, a=inner: gradients(lib, lambda x, f=f: f(lib, x), [a], d, True),
                    "50",
                )


GROUPS = {"activations": activations, "three operands": three, "single": single}
