"""``torch.special``: special functions under the names that PyTorch gives them there."""

from __future__ import annotations

from allgrad.functions.arithmetic import sigmoid as expit
from allgrad.functions.pointwise import exp2, expm1, log1p, logit, round, sinc
from allgrad.functions.pointwise_binary import xlog1py, xlogy
from allgrad.functions.pointwise_special import (
    digamma,
    entr,
    erf,
    erfc,
    erfcx,
    erfinv,
    log_ndtr,
    ndtr,
    ndtri,
    polygamma,
    zeta,
)
from allgrad.functions.pointwise_special import lgamma as gammaln
from allgrad.functions.pointwise_special import mvlgamma as multigammaln
from allgrad.functions.reduce_norm import logsumexp
from allgrad.functions.softmax import log_softmax, softmax

psi = digamma

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammaln", "log1p", "log_ndtr",
    "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round", "sinc", "softmax",
    "xlog1py", "xlogy", "zeta",
]  # fmt: skip
