"""Named results, printed as PyTorch's: ``values, indices = x.max(dim=0)``."""

from __future__ import annotations

from typing import Any, NamedTuple


class _Shown:
    """Prints field by field."""

    __slots__ = ()

    def __repr__(self) -> str:
        me: Any = self
        fields = ",\n".join(f"{name}={value!r}" for name, value in zip(me._fields, me))
        return f"torch.return_types.{type(self).__name__}(\n{fields})"


class _ValuesIndices(NamedTuple):
    values: Any
    indices: Any


class max(_Shown, _ValuesIndices):
    """Of ``max(input, dim)``."""


class min(_Shown, _ValuesIndices):
    """Of ``min(input, dim)``."""


class sort(_Shown, _ValuesIndices):
    """Of ``sort``."""


class topk(_Shown, _ValuesIndices):
    """Of ``topk``."""


class kthvalue(_Shown, _ValuesIndices):
    """Of ``kthvalue``."""


class median(_Shown, _ValuesIndices):
    """Of ``median(input, dim)``."""


class nanmedian(_Shown, _ValuesIndices):
    """Of ``nanmedian(input, dim)``."""


class mode(_Shown, _ValuesIndices):
    """Of ``mode``."""


class cummax(_Shown, _ValuesIndices):
    """Of ``cummax``."""


class cummin(_Shown, _ValuesIndices):
    """Of ``cummin``."""


class _aminmax(NamedTuple):
    min: Any
    max: Any


class aminmax(_Shown, _aminmax):
    """Of ``aminmax``."""


class _histogram(NamedTuple):
    hist: Any
    bin_edges: Any


class histogram(_Shown, _histogram):
    """Of ``histogram``."""


class _linalg_inv_ex(NamedTuple):
    inverse: Any
    info: Any


class linalg_inv_ex(_Shown, _linalg_inv_ex):
    """Of ``linalg.inv_ex``."""


class _triangular_solve(NamedTuple):
    solution: Any
    cloned_coefficient: Any


class triangular_solve(_Shown, _triangular_solve):
    """Of ``triangular_solve``."""


class _linalg_slogdet(NamedTuple):
    sign: Any
    logabsdet: Any


class linalg_slogdet(_Shown, _linalg_slogdet):
    """Of ``linalg.slogdet``."""


class _linalg_cholesky_ex(NamedTuple):
    L: Any
    info: Any


class linalg_cholesky_ex(_Shown, _linalg_cholesky_ex):
    """Of ``linalg.cholesky_ex``."""


class _linalg_qr(NamedTuple):
    Q: Any
    R: Any


class linalg_qr(_Shown, _linalg_qr):
    """Of ``linalg.qr``."""


class _linalg_svd(NamedTuple):
    U: Any
    S: Any
    Vh: Any


class linalg_svd(_Shown, _linalg_svd):
    """Of ``linalg.svd``."""


class _svd(NamedTuple):
    U: Any
    S: Any
    V: Any


class svd(_Shown, _svd):
    """Of ``svd``."""


class _linalg_eigh(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class linalg_eigh(_Shown, _linalg_eigh):
    """Of ``linalg.eigh``."""


class _linalg_lstsq(NamedTuple):
    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


class linalg_lstsq(_Shown, _linalg_lstsq):
    """Of ``linalg.lstsq``."""
