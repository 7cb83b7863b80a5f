"""Named results, printed as PyTorch's: ``values, indices = x.max(dim=0)``."""

from __future__ import annotations

from typing import Any, NamedTuple


def _show(result: Any) -> str:
    fields = ",\n".join(f"{name}={value!r}" for name, value in zip(result._fields, result))
    return f"torch.return_types.{type(result).__name__}(\n{fields})"


class _ValuesIndices(NamedTuple):
    values: Any
    indices: Any

    __repr__ = _show


class max(_ValuesIndices):
    """Of ``max(input, dim)``."""


class min(_ValuesIndices):
    """Of ``min(input, dim)``."""


class sort(_ValuesIndices):
    """Of ``sort``."""


class topk(_ValuesIndices):
    """Of ``topk``."""


class kthvalue(_ValuesIndices):
    """Of ``kthvalue``."""


class median(_ValuesIndices):
    """Of ``median(input, dim)``."""


class nanmedian(_ValuesIndices):
    """Of ``nanmedian(input, dim)``."""


class mode(_ValuesIndices):
    """Of ``mode``."""


class cummax(_ValuesIndices):
    """Of ``cummax``."""


class cummin(_ValuesIndices):
    """Of ``cummin``."""


class aminmax(NamedTuple):
    """Of ``aminmax``."""

    min: Any
    max: Any

    __repr__ = _show


class histogram(NamedTuple):
    """Of ``histogram``."""

    hist: Any
    bin_edges: Any

    __repr__ = _show


class linalg_inv_ex(NamedTuple):
    """Of ``linalg.inv_ex``."""

    inverse: Any
    info: Any

    __repr__ = _show


class triangular_solve(NamedTuple):
    """Of ``triangular_solve``."""

    solution: Any
    cloned_coefficient: Any

    __repr__ = _show


class linalg_slogdet(NamedTuple):
    """Of ``linalg.slogdet``."""

    sign: Any
    logabsdet: Any

    __repr__ = _show


class linalg_cholesky_ex(NamedTuple):
    """Of ``linalg.cholesky_ex``."""

    L: Any
    info: Any

    __repr__ = _show


class linalg_qr(NamedTuple):
    """Of ``linalg.qr``."""

    Q: Any
    R: Any

    __repr__ = _show


class linalg_svd(NamedTuple):
    """Of ``linalg.svd``."""

    U: Any
    S: Any
    Vh: Any

    __repr__ = _show


class svd(NamedTuple):
    """Of ``svd``."""

    U: Any
    S: Any
    V: Any

    __repr__ = _show


class linalg_eigh(NamedTuple):
    """Of ``linalg.eigh``."""

    eigenvalues: Any
    eigenvectors: Any

    __repr__ = _show


class linalg_lstsq(NamedTuple):
    """Of ``linalg.lstsq``."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any

    __repr__ = _show
