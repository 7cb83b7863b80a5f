"""In-place twins as functions: ``torch.sin_(x)`` for ``x.sin_()``."""

from __future__ import annotations

from allgrad.tensor.arithmetic import ArithmeticMethods
from allgrad.tensor.compare import CompareMethods
from allgrad.tensor.pointwise import PointwiseMethods
from allgrad.tensor.random import RandomMethods

abs_ = PointwiseMethods.abs_
acos_ = PointwiseMethods.acos_
acosh_ = PointwiseMethods.acosh_
arccos_ = PointwiseMethods.arccos_
arccosh_ = PointwiseMethods.arccosh_
arcsin_ = PointwiseMethods.arcsin_
arcsinh_ = PointwiseMethods.arcsinh_
arctan_ = PointwiseMethods.arctan_
arctanh_ = PointwiseMethods.arctanh_
asin_ = PointwiseMethods.asin_
asinh_ = PointwiseMethods.asinh_
atan_ = PointwiseMethods.atan_
atanh_ = PointwiseMethods.atanh_
ceil_ = PointwiseMethods.ceil_
clamp_ = CompareMethods.clamp_
clamp_max_ = CompareMethods.clamp_max_
clamp_min_ = CompareMethods.clamp_min_
clip_ = CompareMethods.clip_
cos_ = PointwiseMethods.cos_
cosh_ = PointwiseMethods.cosh_
deg2rad_ = PointwiseMethods.deg2rad_
erf_ = PointwiseMethods.erf_
erfc_ = PointwiseMethods.erfc_
exp2_ = PointwiseMethods.exp2_
exp_ = ArithmeticMethods.exp_
expm1_ = PointwiseMethods.expm1_
fill_ = RandomMethods.fill_
fix_ = PointwiseMethods.fix_
floor_ = PointwiseMethods.floor_
frac_ = PointwiseMethods.frac_
gcd_ = CompareMethods.gcd_
lcm_ = CompareMethods.lcm_
ldexp_ = PointwiseMethods.ldexp_
log10_ = PointwiseMethods.log10_
log1p_ = PointwiseMethods.log1p_
log2_ = PointwiseMethods.log2_
log_ = ArithmeticMethods.log_
logit_ = PointwiseMethods.logit_
nan_to_num_ = PointwiseMethods.nan_to_num_
neg_ = ArithmeticMethods.neg_
negative_ = ArithmeticMethods.negative_
rad2deg_ = PointwiseMethods.rad2deg_
reciprocal_ = PointwiseMethods.reciprocal_
relu_ = ArithmeticMethods.relu_
round_ = PointwiseMethods.round_
rsqrt_ = PointwiseMethods.rsqrt_
sigmoid_ = ArithmeticMethods.sigmoid_
sin_ = PointwiseMethods.sin_
sinc_ = PointwiseMethods.sinc_
sinh_ = PointwiseMethods.sinh_
sqrt_ = ArithmeticMethods.sqrt_
square_ = PointwiseMethods.square_
tan_ = PointwiseMethods.tan_
tanh_ = ArithmeticMethods.tanh_
trunc_ = PointwiseMethods.trunc_
xlogy_ = PointwiseMethods.xlogy_
zero_ = RandomMethods.zero_
