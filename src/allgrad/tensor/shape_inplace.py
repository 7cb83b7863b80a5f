"""Shapes changed in place: ``t_``, ``squeeze_``, ``resize_``, triangles; and views in another dtype."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace, bump, check_inplace
from allgrad.autograd.record import Variable, apply, wrap
from allgrad.dtypes import to_dtype
from allgrad.errors import GradientError, ShapeError
from allgrad.functions import shape as f
from allgrad.functions.dims import scalar_name
from allgrad.functions.shape_layout import as_strided, matrices
from allgrad.ops import layout as ops
from allgrad.ops.layout_strided import view_dtype
from allgrad.ops.shape import window


def become(x: Any, name: str, view: Any) -> Any:
    """Let ``x`` be ``view(x)``: what it was lives on as the base that it now views."""
    check_inplace(x, name)
    old = x
    if x._view is None:
        old = wrap(x._a)
        old._cell, old._node, old._rg = x._cell, x._node, x._rg
        if x._node is not None and x._node.retained is not None:
            x._node.retained = None  # the gradient in the old shape is no longer that of x
    new = view(old)
    x._a, x._view, x._node = new._a, new._view, new._node
    bump(x, name)
    return x


def dtype_view(x: Any, dtype: Any) -> Any:
    """The same memory read as another dtype; the last dimension shrinks or grows with the element size."""
    d, a = to_dtype(dtype), x._a
    big, small = d.itemsize, a.itemsize
    if big != small:
        words = f"to view {scalar_name(x)} as {d!r} (different element sizes)"
        if not a.ndim:
            raise ShapeError(f"self.dim() cannot be 0 {words}")
        if a.shape[-1] * small % big:
            raise ShapeError(f"self.size(-1) must be divisible by {big // small} {words}, but got {a.shape[-1]}")
        if a.strides[-1] != small and a.size > 1:
            raise ShapeError(f"self.stride(-1) must be 1 {words}, but got {a.strides[-1] // small}")
    return apply(view_dtype, (x,), {"dtype": d.np})


class ShapeInplaceMethods(Variable):
    """Methods that change the shape of the Tensor itself."""

    def t_(self) -> Any:
        """Transposed."""
        return become(self, "t_", f.t)

    def transpose_(self, dim0: int, dim1: int) -> Any:
        """Two dimensions exchanged."""
        return become(self, "transpose_", lambda x: f.transpose(x, dim0, dim1))

    swapaxes_ = swapdims_ = transpose_

    def as_strided_(self, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
        """Another shape and other strides over the same memory."""
        return become(self, "as_strided_", lambda x: as_strided(x, size, stride, storage_offset))

    def squeeze_(self, dim: Any = None) -> Any:
        """Without dimensions of length one."""
        return become(self, "squeeze_", lambda x: f.squeeze(x, dim))

    def unsqueeze_(self, dim: int) -> Any:
        """With a dimension of length one before ``dim``."""
        return become(self, "unsqueeze_", lambda x: f.unsqueeze(x, dim))

    def resize_(self, *sizes: Any, memory_format: Any = None) -> Any:
        """Another shape over the same memory, or over a larger copy of it whose new elements are zeros."""
        shape = f.sizes_arg(sizes, "resize_")
        if self.requires_grad:  # type: ignore[attr-defined]
            raise GradientError("cannot resize variables that require grad")
        check_inplace(self, "resize_")
        a = self._a
        if shape != a.shape:
            memory = a.base if isinstance(a.base, np.ndarray) else a
            start = self.storage_offset()  # type: ignore[attr-defined]
            if start + prod(shape) <= memory.size:
                steps = np.empty(shape, np.int8).strides
                self._a = window(a, shape, tuple(n * a.itemsize for n in steps))
            else:
                grown = np.zeros(prod(shape), a.dtype)
                grown[: a.size] = a.reshape(-1)
                self._a = grown.reshape(shape)
            bump(self, "resize_")
        return self

    def resize_as_(self, the_template: Any, memory_format: Any = None) -> Any:
        """``resize_`` to the shape of another Tensor."""
        return self.resize_(the_template._a.shape)

    def tril_(self, diagonal: int = 0) -> Any:
        """Zeros above ``diagonal``."""
        return apply_inplace(ops.tril, matrices(self, "tril"), (), {"diagonal": int(diagonal)})

    def triu_(self, diagonal: int = 0) -> Any:
        """Zeros below ``diagonal``."""
        return apply_inplace(ops.triu, matrices(self, "triu"), (), {"diagonal": int(diagonal)})
