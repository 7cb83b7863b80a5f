"""``torch.special``: Bessel functions, orthogonal polynomials, the incomplete gamma functions."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.functions.arithmetic import binary_float, mul
from allgrad.functions.pointwise import sinc
from allgrad.functions.promote import as_tensor_like, floating, into, to, unary_float
from allgrad.ops import special_bessel as s


def i0(input: Any, *, out: Any = None) -> Any:
    """The modified Bessel function of the first kind, order 0."""
    return into(unary_float(s.i0, input), out)


def i0e(input: Any, *, out: Any = None) -> Any:
    """``exp(-|input|) i0(input)``."""
    return into(unary_float(s.i0e, input), out)


def i1(input: Any, *, out: Any = None) -> Any:
    """The modified Bessel function of the first kind, order 1."""
    return into(unary_float(s.i1, input), out)


def i1e(input: Any, *, out: Any = None) -> Any:
    """``exp(-|input|) i1(input)``."""
    return into(unary_float(s.i1e, input), out)


def igamma(input: Any, other: Any, *, out: Any = None) -> Any:
    """The regularized lower incomplete gamma function P(input, other); differentiable in ``other``."""
    return into(binary_float(s.igamma, input, other), out)


def igammac(input: Any, other: Any, *, out: Any = None) -> Any:
    """The regularized upper incomplete gamma function Q(input, other); differentiable in ``other``."""
    return into(binary_float(s.igammac, input, other), out)


def _one(op: Any, input: Any, name: str, **meta: Any) -> Any:
    return apply(op, (floating(as_tensor_like(input, f"{name}(): argument 'input'")),), meta)


def bessel_j0(input: Any, *, out: Any = None) -> Any:
    """The Bessel function of the first kind, order 0."""
    return into(_one(s.bessel_j, input, "bessel_j0", order=0), out)


def bessel_j1(input: Any, *, out: Any = None) -> Any:
    """The Bessel function of the first kind, order 1."""
    return into(_one(s.bessel_j, input, "bessel_j1", order=1), out)


def bessel_y0(input: Any, *, out: Any = None) -> Any:
    """The Bessel function of the second kind, order 0; nan below 0."""
    return into(_one(s.bessel_y, input, "bessel_y0", order=0), out)


def bessel_y1(input: Any, *, out: Any = None) -> Any:
    """The Bessel function of the second kind, order 1; nan below 0."""
    return into(_one(s.bessel_y, input, "bessel_y1", order=1), out)


def modified_bessel_i0(input: Any, *, out: Any = None) -> Any:
    """``i0`` under its long name."""
    return i0(input, out=out)


def modified_bessel_i1(input: Any, *, out: Any = None) -> Any:
    """``i1`` under its long name."""
    return i1(input, out=out)


def modified_bessel_k0(input: Any, *, out: Any = None) -> Any:
    """The modified Bessel function of the second kind, order 0; infinite at 0, nan below."""
    return into(_one(s.bessel_k, input, "modified_bessel_k0", order=0, scaled=False), out)


def modified_bessel_k1(input: Any, *, out: Any = None) -> Any:
    """The modified Bessel function of the second kind, order 1; infinite at 0, nan below."""
    return into(_one(s.bessel_k, input, "modified_bessel_k1", order=1, scaled=False), out)


def scaled_modified_bessel_k0(input: Any, *, out: Any = None) -> Any:
    """``exp(input) modified_bessel_k0(input)``."""
    return into(_one(s.bessel_k, input, "scaled_modified_bessel_k0", order=0, scaled=True), out)


def scaled_modified_bessel_k1(input: Any, *, out: Any = None) -> Any:
    """``exp(input) modified_bessel_k1(input)``."""
    return into(_one(s.bessel_k, input, "scaled_modified_bessel_k1", order=1, scaled=True), out)


def spherical_bessel_j0(input: Any, *, out: Any = None) -> Any:
    """``sin(input) / input``, 1 at 0."""
    input = floating(as_tensor_like(input, "spherical_bessel_j0(): argument 'input'"))
    return into(sinc(mul(input, 0.3183098861837907)), out)


def _polynomial(family: str, input: Any, n: Any, out: Any) -> Any:
    like: Any = input if isinstance(input, Variable) else n
    x = input if isinstance(input, Variable) else like.new_tensor(float(input))
    degree = n if isinstance(n, Variable) else like.new_tensor(float(n))
    x = floating(x)
    return into(apply(s.polynomial, (x, to(degree, x.dtype)), {"family": family}), out)


def chebyshev_polynomial_t(input: Any, n: Any, *, out: Any = None) -> Any:
    """Chebyshev's polynomial of the first kind, of degree ``n``."""
    return _polynomial("chebyshev_t", input, n, out)


def chebyshev_polynomial_u(input: Any, n: Any, *, out: Any = None) -> Any:
    """Chebyshev's polynomial of the second kind."""
    return _polynomial("chebyshev_u", input, n, out)


def chebyshev_polynomial_v(input: Any, n: Any, *, out: Any = None) -> Any:
    """Chebyshev's polynomial of the third kind."""
    return _polynomial("chebyshev_v", input, n, out)


def chebyshev_polynomial_w(input: Any, n: Any, *, out: Any = None) -> Any:
    """Chebyshev's polynomial of the fourth kind."""
    return _polynomial("chebyshev_w", input, n, out)


def shifted_chebyshev_polynomial_t(input: Any, n: Any, *, out: Any = None) -> Any:
    """Chebyshev's polynomial of the first kind at ``2 input - 1``."""
    return _polynomial("chebyshev_t", 2 * input - 1, n, out)


def shifted_chebyshev_polynomial_u(input: Any, n: Any, *, out: Any = None) -> Any:
    """Chebyshev's polynomial of the second kind at ``2 input - 1``."""
    return _polynomial("chebyshev_u", 2 * input - 1, n, out)


def shifted_chebyshev_polynomial_v(input: Any, n: Any, *, out: Any = None) -> Any:
    """Chebyshev's polynomial of the third kind at ``2 input - 1``."""
    return _polynomial("chebyshev_v", 2 * input - 1, n, out)


def shifted_chebyshev_polynomial_w(input: Any, n: Any, *, out: Any = None) -> Any:
    """Chebyshev's polynomial of the fourth kind at ``2 input - 1``."""
    return _polynomial("chebyshev_w", 2 * input - 1, n, out)


def hermite_polynomial_h(input: Any, n: Any, *, out: Any = None) -> Any:
    """The physicists' Hermite polynomial."""
    return _polynomial("hermite_h", input, n, out)


def hermite_polynomial_he(input: Any, n: Any, *, out: Any = None) -> Any:
    """The probabilists' Hermite polynomial."""
    return _polynomial("hermite_he", input, n, out)


def laguerre_polynomial_l(input: Any, n: Any, *, out: Any = None) -> Any:
    """Laguerre's polynomial."""
    return _polynomial("laguerre_l", input, n, out)


def legendre_polynomial_p(input: Any, n: Any, *, out: Any = None) -> Any:
    """Legendre's polynomial."""
    return _polynomial("legendre_p", input, n, out)


def log_i0(input: Any) -> Any:
    """``log(i0(input))`` without overflow."""
    return i0e(input).log() + input.abs()


def i1_over_i0(input: Any) -> Any:
    """``i1(input) / i0(input)`` without overflow."""
    return i1e(input) / i0e(input)
