"""Methods that multiply and factor matrices."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable
from allgrad.functions import linalg as l
from allgrad.functions import linalg_factor as f
from allgrad.functions import matmul as m
from allgrad.functions import matmul_add as a
from allgrad.functions import matmul_outer as o
from allgrad.functions import reduce_count as c


class LinalgMethods(Variable):
    """``a @ b``, ``a.inverse()`` and their kin."""

    def __matmul__(self, other: Any) -> Any:
        return m.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return m.matmul(other, self)

    matmul = m.matmul
    mm = m.mm
    bmm = m.bmm
    mv = m.mv
    dot = m.dot
    vdot = m.vdot
    addmm = a.addmm
    addmv = a.addmv
    addr = a.addr
    addbmm = a.addbmm
    baddbmm = a.baddbmm
    addmm_ = a.addmm_
    addmv_ = a.addmv_
    addr_ = a.addr_
    addbmm_ = a.addbmm_
    baddbmm_ = a.baddbmm_
    outer = ger = o.outer
    inner = o.inner
    kron = o.kron
    cross = o.cross
    trace = o.trace
    dist = c.dist
    cov = c.cov
    corrcoef = c.corrcoef
    inverse = l.inverse
    det = l.det
    logdet = l.logdet
    slogdet = l.slogdet
    cholesky = l.cholesky_of
    cholesky_solve = l.cholesky_solve
    cholesky_inverse = l.cholesky_inverse
    triangular_solve = l.triangular_solve
    matrix_power = l.matrix_power
    matrix_exp = f.matrix_exp
    qr = f.qr_of
    svd = f.svd_of
    pinverse = f.pinverse
