"""Methods for other shapes, joining and cutting."""

from __future__ import annotations

from typing import Any

from allgrad.dtypes import dtype as Dtype
from allgrad.errors import ShapeError
from allgrad.functions import joining as j
from allgrad.functions import shape as f
from allgrad.functions import shape_layout as lay
from allgrad.tensor.shape_inplace import ShapeInplaceMethods, dtype_view


class ShapeMethods(ShapeInplaceMethods):
    """``reshape``, ``transpose``, ``split`` and their kin; most are views."""

    def reshape(self, *shape: Any) -> Any:
        """The same elements in row-major order; one length may be -1.  A view where possible."""
        return f.reshape(self, shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)

    def view(self, *shape: Any) -> Any:
        """As ``reshape``, but never a copy; with a dtype, the same memory read as that."""
        if len(shape) == 1 and isinstance(shape[0], Dtype):
            return dtype_view(self, shape[0])
        return f.view(self, f.sizes_arg(shape, "view"))

    def view_as(self, other: Any) -> Any:
        """A view in the shape of ``other``."""
        return f.view(self, other._a.shape)

    def reshape_as(self, other: Any) -> Any:
        """In the shape of ``other``."""
        return f.reshape(self, other._a.shape)

    def repeat(self, *repeats: Any) -> Any:
        """Repeated along each dimension, copied; more numbers than dimensions add dimensions at the front."""
        return lay.repeat(self, f.sizes_arg(repeats, "repeat"))

    def tile(self, *dims: Any) -> Any:
        """Repeated along the last dimensions, copied."""
        return lay.tile(self, f.sizes_arg(dims, "tile"))

    def flip(self, *dims: Any) -> Any:
        """The order of ``dims`` reversed, copied."""
        return lay.flip(self, dims[0] if len(dims) == 1 else dims)

    def permute(self, *dims: Any) -> Any:
        """The dimensions in another order, as a view."""
        return f.permute(self, f.sizes_arg(dims, "permute"))

    def expand(self, *size: Any) -> Any:
        """Dimensions of length one repeated without copying; -1 keeps a length."""
        return f.expand(self, f.sizes_arg(size, "expand"))

    def expand_as(self, other: Any) -> Any:
        """Expanded to the shape of ``other``."""
        return f.expand(self, other._a.shape)

    @property
    def T(self) -> Any:
        """All dimensions in reverse order, as a view."""
        return f.permute(self, tuple(range(self._a.ndim - 1, -1, -1)))

    @property
    def mT(self) -> Any:
        """The last two dimensions exchanged, as a view."""
        if self._a.ndim < 2:
            raise ShapeError(
                f"tensor.mT is only supported on matrices or batches of matrices. Got {self._a.ndim}-D tensor."
            )
        return f.transpose(self, -2, -1)

    mH = mT

    def __reversed__(self) -> Any:
        return lay.flip(self, (0,)) if self._a.ndim else self

    def sum_to_size(self, *size: Any) -> Any:
        """Summed back to a shape that broadcasts to this one."""
        return f.sum_to_size(self, f.sizes_arg(size, "sum_to_size"))

    def adjoint(self) -> Any:
        """The last two dimensions exchanged, as a view."""
        return f.adjoint(self)

    @property
    def H(self) -> Any:
        """A matrix transposed, as a view."""
        if self._a.ndim not in (0, 2):
            raise ShapeError(
                f"tensor.H is only supported on matrices (2-D tensors). Got {self._a.ndim}-D tensor. "
                "For batches of matrices, consider using tensor.mH"
            )
        return f.t(self)

    broadcast_to = f.broadcast_to
    flatten = f.flatten
    moveaxis = f.moveaxis
    movedim = f.movedim
    ravel = f.ravel
    squeeze = f.squeeze
    swapaxes = f.swapaxes
    swapdims = f.swapdims
    t = f.t
    transpose = f.transpose
    unflatten = f.unflatten
    unsqueeze = f.unsqueeze

    as_strided = lay.as_strided
    diag = lay.diag
    diag_embed = lay.diag_embed
    diagflat = lay.diagflat
    diagonal = lay.diagonal
    fliplr = lay.fliplr
    flipud = lay.flipud
    repeat_interleave = lay.repeat_interleave
    roll = lay.roll
    rot90 = lay.rot90
    tril = lay.tril
    triu = lay.triu
    unfold = lay.unfold

    chunk = j.chunk
    dsplit = j.dsplit
    hsplit = j.hsplit
    split = j.split
    split_with_sizes = j.split_with_sizes
    tensor_split = j.tensor_split
    unbind = j.unbind
    unsafe_chunk = j.unsafe_chunk
    unsafe_split = j.unsafe_split
    unsafe_split_with_sizes = j.unsafe_split_with_sizes
    vsplit = j.vsplit
