"""Softmax and log-softmax along one dimension."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import DtypeError
from allgrad.functions.dims import in_dtype, one_dim, scalar_name, tensor_of
from allgrad.functions.promote import into
from allgrad.ops import softmax as ops


def softmax(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """``exp(input) / sum(exp(input))`` along ``dim``: positive, summing to 1."""
    return into(_along(ops.softmax, input, dim, dtype), out)


def log_softmax(input: Any, dim: int, dtype: Any = None, *, out: Any = None) -> Any:
    """The logarithm of softmax, computed without it."""
    return into(_along(ops.log_softmax, input, dim, dtype), out)


def _along(op: Any, input: Any, dim: Any, dtype: Any) -> Any:
    input = in_dtype(tensor_of(input, op.name), dtype)
    d = one_dim(dim, input._a.ndim, op.name)
    if input._a.dtype.kind in "iub":
        raise DtypeError(f'"{op.name}_lastdim_kernel_impl" not implemented for {scalar_name(input)!r}')
    return apply(op, (input,), {"dim": d})
