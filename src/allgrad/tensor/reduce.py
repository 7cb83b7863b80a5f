"""Methods that reduce, sort and scan."""

from __future__ import annotations

from allgrad.autograd.record import Variable
from allgrad.functions import reduce as r
from allgrad.functions import reduce_extreme as e
from allgrad.functions import reduce_norm as n
from allgrad.functions import softmax as s
from allgrad.functions import sort as o


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
    logsumexp = n.logsumexp
    softmax = s.softmax
    log_softmax = s.log_softmax
    sort = o.sort
    argsort = o.argsort
    msort = o.msort
    topk = o.topk
