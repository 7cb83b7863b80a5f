"""Special functions: the error function and the gamma function with their families.

All dtypes are computed in double precision and rounded once: float32 results are right to the last bit, as good as ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from allgrad.ops.arithmetic import exp, gate, log, where
from allgrad.ops.op import op
from allgrad.ops.special_erf import erf64, erf_single, erfc64, erfcx64, erfinv64
from allgrad.ops.special_gamma import digamma64, lgamma64, polygamma64, zeta64

Array = Any
_BLOCK = 1 << 15  # elements a pass: the kernels' scratch stays in the second-level cache


def _in_double(kernel: Callable[[Array], Array], x: Array) -> Array:
    flat = np.reshape(x, -1)
    out = np.empty(flat.shape, flat.dtype)
    for start in range(0, flat.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        out[part] = kernel(flat[part].astype(np.float64))
    return out.reshape(np.shape(x))


# -- the error function ----------------------------------------------------------------------------

_SLOPE = 2.0 / math.sqrt(math.pi)


@op
def erf(x: Array) -> Array:
    """``2 / sqrt(pi)`` times the integral of ``exp(-t²)`` from 0 to x."""
    return _in_double(erf64 if x.dtype.itemsize == 8 else erf_single, x)


erf.pull(x=lambda g, x: g * (exp(-(x * x)) * _SLOPE))


@op
def erfc(x: Array) -> Array:
    """``1 - erf(x)``, exact in the right tail."""
    return _in_double(erfc64, x)


erfc.pull(x=lambda g, x: g * (exp(-(x * x)) * -_SLOPE))


@op
def erfcx(x: Array) -> Array:
    """``exp(x²) erfc(x)``: the right tail without its fall."""
    return _in_double(erfcx64, x)


erfcx.pull(x=lambda g, x, out: g * (x * out * 2 - _SLOPE))


@op
def erfinv(x: Array) -> Array:
    """The number whose erf is x; infinite at -1 and 1, nan outside."""
    return _in_double(erfinv64, x)


erfinv.pull(x=lambda g, out: g * (exp(out * out) * (1.0 / _SLOPE)))


@op
def ndtri(x: Array) -> Array:
    """The quantile of the normal distribution: the number below which a share x of it lies."""
    return _in_double(_ndtri64, x)


def _ndtri64(p: Array) -> Array:
    left = -math.sqrt(2.0) * erfinv64(1.0 - 2.0 * p)
    # Below 1e-3 the subtraction from 1 loses p's digits: steps of Halley on log(erfc) bring them back.
    tail = (p > 0) & (p < 1e-3)
    a = -left[tail] / math.sqrt(2.0)
    wanted = 2.0 * p[tail]
    a = np.where(np.isfinite(a), a, np.sqrt(-np.log(wanted)))
    for _ in range(4):
        scaled = erfcx64(a)
        gap = np.log(scaled) - a * a - np.log(wanted)
        a += gap * scaled / _SLOPE
    left[tail] = -math.sqrt(2.0) * a
    return left


ndtri.pull(x=lambda g, out: g * (exp(out * out * 0.5) * math.sqrt(2.0 * math.pi)))


# -- the gamma function ----------------------------------------------------------------------------


@op
def lgamma(x: Array) -> Array:
    """``log |gamma(x)|``; inf at 0, -1, -2, ..."""
    return _in_double(lgamma64, x)


lgamma.pull(x=lambda g, x: g * digamma(x))


@op
def digamma(x: Array) -> Array:
    """The derivative of ``lgamma``."""
    return _in_double(digamma64, x)


digamma.pull(x=lambda g, x: g * polygamma(x, n=1))


@op
def polygamma(x: Array, *, n: int) -> Array:
    """The n-th derivative of ``digamma``."""
    return _in_double(lambda a: polygamma64(n, a), x)


polygamma.pull(x=lambda g, x, *, n: g * polygamma(x, n=n + 1))


@op
def zeta(s: Array, q: Array) -> Array:
    """Hurwitz's zeta function, the sum over k >= 0 of ``(k + q)**-s`` for s > 1."""
    s, q = np.asarray(s), np.asarray(q)
    return zeta64(s.astype(np.float64), q.astype(np.float64)).astype(s.dtype)


zeta.pull(q=lambda g, s, q: g * (-s * zeta(s + 1, q)))


# -- entropy ---------------------------------------------------------------------------------------


@op
def entr(x: Array) -> Array:
    """``-x log(x)``; 0 at 0, -inf below."""
    y = -x * np.log(x)
    return np.where(x == 0, y.dtype.type(0), np.where(x < 0, y.dtype.type(-np.inf), y))


entr.pull(x=lambda g, x: gate(g * (-log(where(x > 0, x, 1.0)) - 1), x > 0))
