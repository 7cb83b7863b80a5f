"""``allgrad.linalg``: linear algebra on matrices and batches of matrices, with PyTorch's names."""

from __future__ import annotations

from allgrad.errors import LinAlgError
from allgrad.functions.linalg import (
    cholesky,
    cholesky_ex,
    det,
    inv,
    inv_ex,
    matrix_power,
    slogdet,
    solve,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from allgrad.functions.linalg_factor import (
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lstsq,
    matrix_exp,
    matrix_rank,
    multi_dot,
    pinv,
    qr,
    svd,
    svdvals,
)
from allgrad.functions.linalg_norm import cond, matrix_norm, norm, vector_norm
from allgrad.functions.linalg_product import cross, diagonal, matmul, vander, vecdot
from allgrad.functions.numerical import householder_product

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
