"""The calls of the pointwise parity sweep, generated from lists of names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pointwise_parity import DTYPES, FLOATS, Case, gradients, tensor, values


def words(text: str) -> list[str]:
    return text.split()


UNARY = words(
    "angle abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh ceil cos cosh "
    "deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac isfinite isinf isnan isneginf isposinf isreal "
    "lgamma log log10 log1p log2 logical_not logit nan_to_num neg negative positive rad2deg reciprocal relu round "
    "rsqrt sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc bitwise_not clone"
)
SMOOTH = words(
    "acos acosh asin asinh atan atanh cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 lgamma log log10 "
    "log1p log2 logit rad2deg reciprocal rsqrt sigmoid sin sinc sinh sqrt square tan tanh abs neg positive relu "
    "ceil floor frac round sign trunc nan_to_num"
)
METHOD_ONLY_INPLACE = words(
    "abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 floor frac "
    "lgamma log log10 log1p log2 logical_not logit nan_to_num neg rad2deg reciprocal relu round rsqrt sgn sigmoid "
    "sign sin sinc sinh sqrt square tan tanh trunc bitwise_not"
)
BINARY = words(
    "add sub mul div true_divide floor_divide remainder fmod pow float_power atan2 hypot logaddexp logaddexp2 "
    "copysign heaviside nextafter xlogy ldexp maximum minimum fmax fmin eq ne lt le gt ge logical_and logical_or "
    "logical_xor bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift gcd lcm isclose rsub "
    "clamp_min clamp_max"
)
BINARY_SMOOTH = words(
    "add sub mul div pow remainder fmod atan2 hypot logaddexp logaddexp2 copysign xlogy maximum minimum fmax fmin "
    "clamp_min clamp_max ldexp"
)
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
}
INPLACE_BINARY = words(
    "add sub mul div floor_divide remainder fmod pow float_power atan2 hypot copysign heaviside nextafter xlogy "
    "ldexp eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor "
    "bitwise_left_shift bitwise_right_shift gcd lcm clamp_min clamp_max true_divide"
)


def unary() -> Iterator[Case]:
    for name in UNARY:
        for dtype in DTYPES:
            a = values(dtype)
            for shape in ((-1,), (), (0, 2)):
                part = a[: 0 if 0 in shape else 1 if shape == () else None].reshape(shape)
                yield (
                    name,
                    f"{dtype} {shape}",
                    lambda lib, n=name, p=part, d=dtype: getattr(lib, n)(tensor(lib, p, d)),
                    "1",
                )
    for name in METHOD_ONLY_INPLACE:
        for dtype in ("bool", "int64", "float32"):
            yield (
                name + "_",
                dtype,
                lambda lib, n=name, d=dtype: getattr(tensor(lib, values(d), d), n + "_")(),
                "1",
            )


def unary_gradients() -> Iterator[Case]:
    for name in SMOOTH:
        for dtype in FLOATS:
            a = values(dtype)
            yield (
                name,
                f"{dtype} gradient at kinks",
                lambda lib, n=name, d=dtype, a=a: gradients(lib, getattr(lib, n), [a], d, False),
                "4",
            )
            inner = np.linspace(0.11, 0.93, 7) + (1.0 if name == "acosh" else 0.0)
            yield (
                name,
                f"{dtype} second gradient",
                lambda lib, n=name, d=dtype, a=inner: gradients(lib, getattr(lib, n), [a], d, True),
                "50",
            )
            yield (
                name + "_",
                f"{dtype} recorded in place",
                lambda lib, n=name, d=dtype, a=inner: gradients(
                    lib, lambda x: getattr(x * 1, n + "_")(), [a], d, False
                ),
                "4",
            )


def _numbers() -> tuple[Any, ...]:
    return (True, 2, -1, 0, 2.5, 0.0)


def binary() -> Iterator[Case]:
    for name in BINARY:
        for da, db in itertools.product(DTYPES, DTYPES):
            a, b = values(da), values(db, shift=1)
            n = min(len(a), len(b))
            if name in ("floor_divide", "remainder", "fmod", "div", "true_divide") and db not in ("float32",):
                b = b[:n]
            for sa, sb in (((n,), (n,)), ((n,), ()), ((), (n,)), ((n, 1), (n,))):
                x = a[:n].reshape(sa) if sa else a[1].reshape(())
                y = b[:n].reshape(sb) if sb else b[2].reshape(())
                yield (
                    name,
                    f"{da}{sa} {db}{sb}",
                    lambda lib, n=name, x=x, y=y, da=da, db=db: getattr(lib, n)(tensor(lib, x, da), tensor(lib, y, db)),
                    "1",
                )
        for da, number in itertools.product(DTYPES, _numbers()):
            yield (
                name,
                f"{da} {number!r}",
                lambda lib, n=name, d=da, k=number: getattr(lib, n)(tensor(lib, values(d), d), k),
                "1",
            )


def operators() -> Iterator[Case]:
    for sign, f in OPERATORS.items():
        for da, number in itertools.product(DTYPES, _numbers()):
            yield sign, f"{da} {number!r}", lambda lib, f=f, d=da, k=number: f(tensor(lib, values(d), d), k), "1"
            yield sign, f"{number!r} {da}", lambda lib, f=f, d=da, k=number: f(k, tensor(lib, values(d), d)), "1"
        for foreign in (None, "a", [1.0], {}):
            yield (
                sign,
                f"float32 {foreign!r}",
                lambda lib, f=f, k=foreign: f(tensor(lib, values("float32"), "float32"), k),
                "1",
            )
            yield (
                sign,
                f"{foreign!r} float32",
                lambda lib, f=f, k=foreign: f(k, tensor(lib, values("float32"), "float32")),
                "1",
            )


def inplace() -> Iterator[Case]:
    for name in INPLACE_BINARY:
        for da, db in itertools.product(("bool", "uint8", "int64", "float32", "float64"), repeat=2):
            a, b = values(da), values(db, shift=1)
            n = min(len(a), len(b))
            for sb in ((n,), (), (2, n)):
                y = b[2].reshape(()) if sb == () else np.broadcast_to(b[:n], sb)
                yield (
                    name + "_",
                    f"{da} {db}{sb}",
                    lambda lib, n=name, x=a[:n], y=y, da=da, db=db: getattr(tensor(lib, x, da), n + "_")(
                        tensor(lib, y, db)
                    ),
                    "1",
                )
        for da, number in itertools.product(("bool", "int64", "float32"), _numbers()):
            yield (
                name + "_",
                f"{da} {number!r}",
                lambda lib, n=name, d=da, k=number: getattr(tensor(lib, values(d), d), n + "_")(k),
                "1",
            )


def binary_gradients() -> Iterator[Case]:
    for name in BINARY_SMOOTH:
        for dtype in FLOATS:
            a, b = np.meshgrid(values(dtype), values(dtype))
            yield (
                name,
                f"{dtype} gradient at kinks",
                lambda lib, n=name, d=dtype, a=a, b=b: gradients(lib, getattr(lib, n), [a, b], d, False),
                "4",
            )
            a, b = np.linspace(0.13, 2.9, 6), np.linspace(0.7, 2.2, 6)[::-1]
            for x, y in ((a, b), (a.reshape(6, 1), b), (a[0], b), (a, b[0])):
                yield (
                    name,
                    f"{dtype} second gradient {np.shape(x)} {np.shape(y)}",
                    lambda lib, n=name, d=dtype, x=x, y=y: gradients(
                        lib, getattr(lib, n), [np.asarray(x), np.asarray(y)], d, True
                    ),
                    "50",
                )
            if name not in ("maximum", "minimum", "fmax", "fmin", "logaddexp", "logaddexp2"):
                yield (
                    name + "_",
                    f"{dtype} recorded in place",
                    lambda lib, n=name, d=dtype, x=a, y=b: gradients(
                        lib, lambda p, q: getattr(p * 1, n + "_")(q), [x, y], d, False
                    ),
                    "4",
                )


GROUPS = {
    "unary": unary,
    "unary gradients": unary_gradients,
    "binary": binary,
    "operators": operators,
    "in place": inplace,
    "binary gradients": binary_gradients,
}
