"""Special functions, under ``torch.erf`` and its like and under ``torch.special``."""

from __future__ import annotations

import math
from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError
from allgrad.functions.arithmetic import add, binary_float, div, log, mul
from allgrad.functions.compare_choice import where
from allgrad.functions.pointwise import log1p
from allgrad.functions.promote import as_tensor_like, floating, into, unary_float
from allgrad.ops import special as s


def erf(input: Any, *, out: Any = None) -> Any:
    """The error function: ``2 / sqrt(pi)`` times the integral of ``exp(-t²)`` from 0 to ``input``."""
    return into(unary_float(s.erf, input), out)


def erfc(input: Any, *, out: Any = None) -> Any:
    """``1 - erf(input)``, exact in the right tail."""
    return into(unary_float(s.erfc, input), out)


def erfcx(input: Any, *, out: Any = None) -> Any:
    """``exp(input²) erfc(input)``."""
    return into(unary_float(s.erfcx, input), out)


def erfinv(input: Any, *, out: Any = None) -> Any:
    """The inverse of erf; infinite at -1 and 1, nan outside."""
    return into(unary_float(s.erfinv, input), out)


def lgamma(input: Any, *, out: Any = None) -> Any:
    """``log |gamma(input)|``."""
    return into(unary_float(s.lgamma, input), out)


def digamma(input: Any, *, out: Any = None) -> Any:
    """The derivative of ``lgamma``."""
    return into(unary_float(s.digamma, input), out)


def polygamma(n: int, input: Any, *, out: Any = None) -> Any:
    """The n-th derivative of ``digamma``."""
    input = floating(as_tensor_like(input, "polygamma(): argument 'input'"))
    if n < 0:
        raise ArgumentError(f"polygamma(n, x) does not support negative n, found {n}")
    return into(apply(s.polygamma, (input,), {"n": int(n)}), out)


def mvlgamma(input: Any, p: int, *, out: Any = None) -> Any:
    """The logarithm of the multivariate gamma function of dimension ``p``."""
    input = floating(as_tensor_like(input, "mvlgamma(): argument 'input'"))
    if p < 1:
        raise ArgumentError(f"p has to be greater than or equal to 1, found {p}")
    total = lgamma(input)
    for k in range(1, p):
        total = add(total, lgamma(add(input, -k / 2)))
    return into(add(total, p * (p - 1) / 4 * math.log(math.pi)), out)


def zeta(input: Any, other: Any, *, out: Any = None) -> Any:
    """Hurwitz's zeta function: the sum over k >= 0 of ``(k + other)**-input``, input > 1."""
    return into(binary_float(s.zeta, input, other), out)


def entr(input: Any, *, out: Any = None) -> Any:
    """``-input * log(input)``; 0 at 0, -inf below."""
    return into(unary_float(s.entr, input), out)


def ndtr(input: Any, *, out: Any = None) -> Any:
    """The share of the normal distribution below ``input``."""
    x = floating(as_tensor_like(input, "ndtr(): argument 'input'"))
    return into(mul(erfc(mul(x, -math.sqrt(0.5))), 0.5), out)


def ndtri(input: Any, *, out: Any = None) -> Any:
    """The number below which a share ``input`` of the normal distribution lies."""
    return into(unary_float(s.ndtri, input), out)


def log_ndtr(input: Any, *, out: Any = None) -> Any:
    """``log(ndtr(input))``, exact in the left tail."""
    x = floating(as_tensor_like(input, "log_ndtr(): argument 'input'"))
    tail = x < 0
    left = where(tail, x, -1.0)
    right = where(tail, 1.0, x)
    scaled = log(mul(erfcx(mul(left, -math.sqrt(0.5))), 0.5))
    below = add(scaled, div(mul(left, left), -2))
    above = log1p(mul(erfc(mul(right, math.sqrt(0.5))), -0.5))
    return into(where(tail, below, above), out)
