"""Methods for elementary and special functions, with their in-place twins."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable
from allgrad.functions import bessel
from allgrad.functions import pointwise as p
from allgrad.functions import pointwise_binary as b
from allgrad.functions import pointwise_special as s
from allgrad.ops import math as m
from allgrad.ops import special as so
from allgrad.tensor.twins import op_twin, replace, twin


class PointwiseMethods(Variable):
    """``x.sin()``, ``x.erf_()`` and their kin."""

    @property
    def real(self) -> Any:
        """Itself: there are no complex dtypes."""
        return self

    @property
    def imag(self) -> Any:
        """An error: there are no complex dtypes."""
        return p.imag(self)

    def is_conj(self) -> bool:
        """False: there are no complex dtypes."""
        return False

    is_neg = is_conj

    def __abs__(self) -> Any:
        return p.abs(self)

    abs = absolute = p.abs
    angle = p.angle
    conj = resolve_conj = resolve_neg = p.real
    acos = arccos = p.acos
    acosh = arccosh = p.acosh
    asin = arcsin = p.asin
    asinh = arcsinh = p.asinh
    atan = arctan = p.atan
    atanh = arctanh = p.atanh
    ceil = p.ceil
    cos = p.cos
    cosh = p.cosh
    deg2rad = p.deg2rad
    exp2 = p.exp2
    expm1 = p.expm1
    floor = p.floor
    frac = p.frac
    log10 = p.log10
    log1p = p.log1p
    log2 = p.log2
    logit = p.logit
    nan_to_num = p.nan_to_num
    rad2deg = p.rad2deg
    reciprocal = p.reciprocal
    round = p.round
    rsqrt = p.rsqrt
    sign = sgn = p.sign
    sin = p.sin
    sinc = p.sinc
    sinh = p.sinh
    square = p.square
    tan = p.tan
    trunc = fix = p.trunc

    digamma = s.digamma
    erf = s.erf
    erfc = s.erfc
    erfinv = s.erfinv
    i0 = bessel.i0
    igamma, igammac = bessel.igamma, bessel.igammac
    lgamma = s.lgamma
    mvlgamma = s.mvlgamma

    def polygamma(self, n: int) -> Any:
        """The n-th derivative of ``digamma``."""
        return s.polygamma(n, self)

    def polygamma_(self, n: int) -> Any:
        """The n-th derivative of ``digamma``, in place."""
        return replace(self, "polygamma_", lambda x: s.polygamma(n, x))

    atan2 = arctan2 = b.atan2
    copysign = b.copysign
    heaviside = b.heaviside
    hypot = b.hypot
    ldexp = b.ldexp
    logaddexp = b.logaddexp
    logaddexp2 = b.logaddexp2
    nextafter = b.nextafter
    xlogy = b.xlogy

    abs_ = absolute_ = twin(p.abs)
    acos_ = arccos_ = op_twin(m.acos)
    acosh_ = arccosh_ = op_twin(m.acosh)
    asin_ = arcsin_ = op_twin(m.asin)
    asinh_ = arcsinh_ = op_twin(m.asinh)
    atan_ = arctan_ = op_twin(m.atan)
    atanh_ = arctanh_ = op_twin(m.atanh)
    ceil_ = twin(p.ceil)
    cos_ = op_twin(m.cos)
    cosh_ = op_twin(m.cosh)
    deg2rad_ = twin(p.deg2rad)
    exp2_ = op_twin(m.exp2)
    expm1_ = op_twin(m.expm1)
    floor_ = twin(p.floor)
    frac_ = twin(p.frac)
    log10_ = op_twin(m.log10)
    log1p_ = op_twin(m.log1p)
    log2_ = op_twin(m.log2)
    logit_ = twin(p.logit)
    nan_to_num_ = twin(p.nan_to_num)
    rad2deg_ = twin(p.rad2deg)
    reciprocal_ = op_twin(m.reciprocal)
    round_ = twin(p.round)
    rsqrt_ = op_twin(m.rsqrt)
    sign_ = sgn_ = twin(p.sign)
    sin_ = op_twin(m.sin)
    sinc_ = op_twin(m.sinc)
    sinh_ = op_twin(m.sinh)
    square_ = twin(p.square)
    tan_ = op_twin(m.tan)
    trunc_ = fix_ = twin(p.trunc)

    digamma_ = op_twin(so.digamma)
    erf_ = op_twin(so.erf)
    erfc_ = op_twin(so.erfc)
    erfinv_ = op_twin(so.erfinv)
    i0_ = twin(bessel.i0)
    igamma_, igammac_ = twin(bessel.igamma), twin(bessel.igammac)
    lgamma_ = op_twin(so.lgamma)
    mvlgamma_ = twin(s.mvlgamma)

    atan2_ = arctan2_ = twin(b.atan2)
    copysign_ = twin(b.copysign)
    heaviside_ = twin(b.heaviside)
    hypot_ = twin(b.hypot)
    ldexp_ = twin(b.ldexp)
    nextafter_ = twin(b.nextafter)
    xlogy_ = twin(b.xlogy)
