"""Methods that reduce, sort and scan."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import Variable
from allgrad.functions import reduce as r
from allgrad.functions import reduce_count as h
from allgrad.functions import reduce_extreme as e
from allgrad.functions import reduce_norm as n
from allgrad.functions import scan as c
from allgrad.functions import softmax as s
from allgrad.functions import sort as o
from allgrad.functions.dims import one_dim
from allgrad.ops import scan


class ReduceMethods(Variable):
    """``x.sum()``, ``x.max(dim)``, ``x.softmax(-1)`` and their kin."""

    sum = r.sum
    mean = r.mean
    nansum = r.nansum
    nanmean = r.nanmean
    prod = r.prod
    var = r.var
    std = r.std
    any = r.any
    all = r.all
    count_nonzero = r.count_nonzero
    max = e.max
    min = e.min
    amax = e.amax
    amin = e.amin
    aminmax = e.aminmax
    argmax = e.argmax
    argmin = e.argmin
    norm = n.norm
    renorm = n.renorm
    logsumexp = n.logsumexp
    softmax = s.softmax
    log_softmax = s.log_softmax
    sort = o.sort
    argsort = o.argsort
    msort = o.msort
    topk = o.topk
    kthvalue = o.kthvalue
    median = o.median
    nanmedian = o.nanmedian
    mode = o.mode
    quantile = o.quantile
    nanquantile = o.nanquantile
    histc = h.histc
    histogram = h.histogram
    bincount = h.bincount
    cumsum = c.cumsum
    cumprod = c.cumprod
    logcumsumexp = c.logcumsumexp
    cummax = c.cummax
    cummin = c.cummin
    diff = c.diff

    def cumsum_(self, dim: int) -> Any:
        """The running sum along ``dim``, in place."""
        return apply_inplace(scan.cumsum, self, (), {"dim": one_dim(dim, self._a.ndim, "cumsum_")})

    def cumprod_(self, dim: int) -> Any:
        """The running product along ``dim``, in place."""
        return apply_inplace(scan.cumprod, self, (), {"dim": one_dim(dim, self._a.ndim, "cumprod_")})
