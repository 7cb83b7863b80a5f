"""Other shapes of the same elements: views where the memory allows."""

from __future__ import annotations

from math import prod
from operator import index as as_int
from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.dtypes import from_np
from allgrad.errors import DtypeError, IndexRangeError, ShapeError
from allgrad.functions.promote import as_tensor_like
from allgrad.ops import shape as ops

Shape = tuple[int, ...]


def tensor_arg(x: Any, function: str, name: str = "input") -> Any:
    """``x`` as a Tensor; a TypeError naming the function and its argument."""
    return x if isinstance(x, Variable) else as_tensor_like(x, f"{function}(): argument '{name}'")


def dim_arg(dim: Any, ndim: int) -> int:
    """``dim`` counted from the front; -1 is the last.  A 0-d tensor takes 0 and -1."""
    try:
        d = as_int(dim)
    except TypeError:
        raise DtypeError(f"argument 'dim' must be int, not {type(dim).__name__}") from None
    n = ndim or 1
    if not -n <= d < n:
        raise IndexRangeError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
    return d + n if d < 0 else d


def dims_arg(dims: Any, ndim: int) -> Shape:
    """One or several different dims, counted from the front, in the given order."""
    if isinstance(dims, (tuple, list)):
        found = tuple(dim_arg(d, ndim) for d in dims)
        for d in found:
            if found.count(d) > 1:
                raise ShapeError(f"dim {d} appears multiple times in the list of dims")
        return found
    return (dim_arg(dims, ndim),)


def sizes_arg(size: tuple[Any, ...], function: str) -> Shape:
    """The ints meant by ``f(2, 3)`` or ``f((2, 3))``."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    try:
        return tuple([as_int(n) for n in size])
    except TypeError:
        bad = next(n for n in size if not hasattr(n, "__index__"))
        raise DtypeError(f"{function}(): sizes must be ints, found {type(bad).__name__} ({bad!r})") from None


def _resolved(shape: Shape, count: int) -> Shape:
    """``shape`` with its -1 worked out for ``count`` elements."""
    known, free = 1, -1
    for i, n in enumerate(shape):
        if n >= 0:
            known *= n
        elif n == -1 and free < 0:
            free = i
        elif n == -1:
            raise ShapeError("only one dimension can be inferred")
        else:
            raise ShapeError(f"invalid shape dimension {n} at index {i} of shape {list(shape)}")
    if free >= 0:
        if known == 0:
            if count == 0:
                raise ShapeError(
                    f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified dimension "
                    "size -1 can be any value and is ambiguous"
                )
        elif count % known == 0:
            return shape[:free] + (count // known,) + shape[free + 1 :]
    elif known == count:
        return shape
    raise ShapeError(f"shape '{list(shape)}' is invalid for input of size {count}")


def reshape(input: Any, shape: Any) -> Any:
    """The same elements in row-major order under ``shape``; one length may be -1.  A view where possible."""
    input = tensor_arg(input, "reshape")
    shape = sizes_arg((shape,), "reshape")
    return apply(ops.reshape, (input,), {"shape": _resolved(shape, input._a.size)})


def view(input: Any, shape: Shape) -> Any:
    """As ``reshape``, but an error where the memory order forbids a view."""
    made = reshape(input, shape)
    if input._a.size > 1 and made._a.base is not input._a and made._a.base is not input._a.base:
        raise ShapeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            f"contiguous subspaces): {list(input._a.shape)} with strides {list(input.stride())} as {list(shape)}. "
            "Use .reshape(...) instead."
        )
    return made


def permute(input: Any, dims: Any) -> Any:
    """The dimensions in another order, as a view."""
    input = tensor_arg(input, "permute")
    order = sizes_arg((dims,), "permute")
    n = input._a.ndim
    if len(order) != n:
        raise ShapeError(
            f"permute(): number of dimensions in the tensor input does not match the length of the desired ordering "
            f"of dimensions i.e. input.dim() = {n} is not equal to len(dims) = {len(order)}"
        )
    order = tuple(dim_arg(d, n) for d in order)
    if len(set(order)) != n:
        raise ShapeError(f"permute(): duplicate dims are not allowed: {list(order)}.")
    return apply(ops.permute, (input,), {"dims": order})


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged, as a view."""
    input = tensor_arg(input, "transpose")
    n = input._a.ndim
    dim0, dim1 = dim_arg(dim0, n), dim_arg(dim1, n)
    if n == 0:
        return apply(ops.reshape, (input,), {"shape": ()})
    return apply(ops.transpose, (input,), {"dim0": dim0, "dim1": dim1})


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """``transpose`` under NumPy's name."""
    return transpose(input, axis0, axis1)


def swapdims(input: Any, dim0: int, dim1: int) -> Any:
    """``transpose``."""
    return transpose(input, dim0, dim1)


def t(input: Any) -> Any:
    """Transpose of a matrix; vectors and scalars as they are."""
    input = tensor_arg(input, "t")
    n = input._a.ndim
    if n > 2:
        raise ShapeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
    if n < 2:
        return apply(ops.reshape, (input,), {"shape": input._a.shape})
    return apply(ops.transpose, (input,), {"dim0": 0, "dim1": 1})


def adjoint(input: Any) -> Any:
    """The last two dimensions exchanged, as a view."""
    input = tensor_arg(input, "adjoint")
    if input._a.ndim < 2:
        raise ShapeError(
            f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input._a.ndim}-D tensor."
        )
    return transpose(input, -2, -1)


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Dimensions ``source`` at the places ``destination``, the others in their order, as a view."""
    input = tensor_arg(input, "movedim")
    n = input._a.ndim
    if isinstance(source, (tuple, list)) and isinstance(destination, (tuple, list)) and len(source) != len(destination):
        raise ShapeError(
            f"movedim: Invalid source or destination dims: source ({list(source)} dims) should contain the same number "
            f"of dims as destination ({list(destination)} dims)"
        )
    for dims, what in ((source, "source"), (destination, "destination")):
        found = [dim_arg(d, n) for d in dims] if isinstance(dims, (tuple, list)) else [dim_arg(dims, n)]
        if len(set(found)) != len(found):
            raise ShapeError(f"movedim: repeated dim in `{what}` ({list(dims)})")
    if n == 0:
        return apply(ops.reshape, (input,), {"shape": ()})
    here, there = dims_arg(source, n), dims_arg(destination, n)
    order = [d for d in range(n) if d not in here]
    for to, d in sorted(zip(there, here)):
        order.insert(to, d)
    return apply(ops.permute, (input,), {"dims": tuple(order)})


moveaxis = movedim


def squeeze(input: Any, dim: Any = None) -> Any:
    """Without the dimensions of length one, all or those named, as a view."""
    input = tensor_arg(input, "squeeze")
    shape = input._a.shape
    if dim is None:
        kept = tuple([n for n in shape if n != 1])
    else:
        gone = dims_arg(dim, len(shape))
        kept = tuple([n for i, n in enumerate(shape) if n != 1 or i not in gone])
    return apply(ops.reshape, (input,), {"shape": kept})


def unsqueeze(input: Any, dim: int) -> Any:
    """With a dimension of length one before ``dim``, as a view."""
    input = tensor_arg(input, "unsqueeze")
    shape = input._a.shape
    at = dim_arg(dim, len(shape) + 1)
    return apply(ops.reshape, (input,), {"shape": shape[:at] + (1,) + shape[at:]})


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dimensions ``start_dim`` to ``end_dim`` as one; the input itself if that changes nothing."""
    input = tensor_arg(input, "flatten")
    shape = input._a.shape
    first, last = dim_arg(start_dim, len(shape)), dim_arg(end_dim, len(shape))
    if first > last:
        raise ShapeError(
            f"flatten() has invalid args: start_dim cannot come after end_dim, found {start_dim} and {end_dim}"
        )
    if not shape:
        return apply(ops.reshape, (input,), {"shape": (1,)})
    if first == last:
        return input
    return apply(ops.reshape, (input,), {"shape": shape[:first] + (prod(shape[first : last + 1]),) + shape[last + 1 :]})


def ravel(input: Any) -> Any:
    """All elements in one dimension."""
    return flatten(input)


def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """Dimension ``dim`` as several of lengths ``sizes``, one of which may be -1."""
    input = tensor_arg(input, "unflatten")
    shape = input._a.shape
    at = dim_arg(dim, len(shape))
    if not shape:
        raise IndexRangeError("unflatten: a 0-d tensor has no dimension to unflatten")
    sizes = sizes_arg((sizes,), "unflatten")
    if not sizes:
        raise ShapeError("unflatten: sizes must be non-empty")
    try:
        sizes = _resolved(sizes, shape[at])
    except ShapeError:
        raise ShapeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({shape[at]}) in the "
            "input tensor"
        ) from None
    return apply(ops.reshape, (input,), {"shape": shape[:at] + sizes + shape[at + 1 :]})


def expand_shape(shape: Shape, size: Shape, kind: str = "") -> Shape:
    """The shape that ``expand(size)`` gives: -1 keeps a length."""
    lead = len(size) - len(shape)
    if lead < 0:
        raise ShapeError(
            f"expand(torch.{kind}Tensor{{{list(shape)}}}, size={list(size)}): the number of sizes provided ({len(size)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    found = []
    for i, n in enumerate(size):
        old = shape[i - lead] if i >= lead else 1
        if n == -1:
            if i < lead:
                raise ShapeError(
                    f"The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}"
                )
            n = old
        elif old not in (1, n) or n < 0:
            raise ShapeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({old}) at non-singleton dimension "
                f"{i}.  Target sizes: {list(size)}.  Tensor sizes: {list(shape)}"
            )
        found.append(n)
    return tuple(found)


def expand(input: Any, size: Shape) -> Any:
    """Dimensions of length one repeated to ``size`` without copying; -1 keeps a length."""
    kind = from_np(input._a.dtype).name.capitalize()
    return apply(ops.expand, (input,), {"shape": expand_shape(input._a.shape, size, kind)})


def sum_to_size(input: Any, size: Shape) -> Any:
    """The adjoint of ``expand``: summed over the dimensions that ``size`` has not, or has with length one."""
    shape, lead = input._a.shape, input._a.ndim - len(size)
    if lead < 0 or any(n not in (1, m) for n, m in zip(size, shape[lead:])):
        raise ShapeError(f"size {{{list(size)}}} is not expandable to size {{{list(shape)}}}.")
    return apply(ops.sum_to, (input,), {"shape": size})


def broadcast_to(input: Any, size: Any) -> Any:
    """``input`` broadcast to ``size`` without copying."""
    return expand(tensor_arg(input, "broadcast_to"), sizes_arg((size,), "broadcast_to"))


def numel(input: Any) -> int:
    """Number of elements."""
    return tensor_arg(input, "numel")._a.size
