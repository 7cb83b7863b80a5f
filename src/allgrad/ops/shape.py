"""Ops that move elements about without computing: most are views."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.ops.op import op
from allgrad.ops.reduce_fast import total

Array = Any
Shape = tuple[int, ...]


def window(x: Array, shape: Shape, strides: Shape, skip: int = 0) -> Array:
    """A view of the memory of ``x`` from ``skip`` bytes after its first element; ValueError if it leaves that memory.

    NumPy's ``as_strided`` would do, but it is slower, hides whose memory it is, and checks nothing.
    """
    if type(x) is not np.ndarray:
        x = np.asarray(x)
    if 0 in shape:
        return np.empty(shape, x.dtype)
    base = x.base if type(x.base) is np.ndarray else x
    if base is not x:
        skip += x.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    if not base.flags.c_contiguous:
        base = base.transpose(sorted(range(base.ndim), key=lambda d: -base.strides[d]))
    if not base.flags.c_contiguous:
        raise ValueError(f"memory of strides {base.strides} has gaps; views by stride need a clone() of it first")
    return np.ndarray(shape, x.dtype, base, skip, strides)


@op
def sum_to(x: Array, *, shape: Shape) -> Array:
    """Sum ``x`` back to a shape that broadcasts to its own: the adjoint of ``expand``."""
    if x.shape == shape:
        return x
    lead = x.ndim - len(shape)
    if lead < 0:
        raise ValueError(f"{x.shape} cannot be summed to {shape}")
    if lead and x.shape[lead:] == shape:
        return total(x, tuple(range(lead)), False)
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1)
    y = total(x, axes, True)
    if y.shape[lead:] != shape:
        raise ValueError(f"{x.shape} cannot be summed to {shape}")
    return y.reshape(shape)


sum_to.pull(x=lambda g, x_shape: expand(g, shape=x_shape))


@op(view=True)
def expand(x: Array, *, shape: Shape) -> Array:
    """``x`` broadcast to ``shape`` without copying; read-only where one element stands at several places."""
    old = x.shape
    if old == shape:
        return x[...]
    lead = len(shape) - len(old)
    strides = (0,) * lead
    for n, m, step in zip(old, shape[lead:], x.strides):
        if n != m and n != 1:
            raise ValueError(f"shape {list(old)} cannot be broadcast to {list(shape)}")
        strides += (step if n == m else 0,)
    try:
        y = window(x, shape, strides)
    except ValueError:  # memory with gaps, from another library
        return np.broadcast_to(x, shape)
    if y.size != x.size:
        y.flags.writeable = False
    return y


expand.pull(x=lambda g, x_shape: sum_to(g, shape=x_shape))


@op(view=True)
def reshape(x: Array, *, shape: Shape) -> Array:
    """The same elements in row-major order under another shape; a view where NumPy can."""
    return x.reshape(shape)


reshape.pull(x=lambda g, x_shape: reshape(g, shape=x_shape))


@op(view=True)
def permute(x: Array, *, dims: Shape) -> Array:
    """Axes in another order."""
    return x.transpose(dims)


permute.pull(x=lambda g, *, dims: permute(g, dims=tuple(sorted(range(len(dims)), key=dims.__getitem__))))


@op(view=True)
def transpose(x: Array, *, dim0: int, dim1: int) -> Array:
    """Two axes exchanged."""
    return x.swapaxes(dim0, dim1)


transpose.pull(x=lambda g, *, dim0, dim1: transpose(g, dim0=dim0, dim1=dim1))


@op(name="slice", view=True)
def slice_(x: Array, *, index: Any) -> Array:
    """Basic indexing: ints, slices, None and Ellipsis; always a view."""
    y = x[index]
    return y if isinstance(y, np.ndarray) else x[(*index, ...)]


slice_.pull(x=lambda g, x_shape, *, index: unslice(g, index=index, shape=x_shape))


@op
def unslice(x: Array, *, index: Any, shape: Shape) -> Array:
    """Zeros of ``shape`` with ``x`` at ``index``: the adjoint of basic indexing."""
    y = np.zeros(shape, x.dtype)
    y[index] = x
    return y


unslice.pull(x=lambda g, *, index: slice_(g, index=index))


@op
def cat(*xs: Array, dim: int) -> Array:
    """Joined along an existing axis."""
    return np.concatenate(xs, axis=dim)


@cat.pull_all
def _cat(g: Array, shapes: Any, *, dim: int, wanted: Any) -> Any:
    """Each input's slice of the gradient."""
    results, start = [], 0
    lead = (slice(None),) * (dim % g.ndim)
    for i, size in enumerate(shape[dim] for shape in shapes):
        results.append(slice_(g, index=(*lead, slice(start, start + size))) if wanted[i] else None)
        start += size
    return results


@op
def stack(*xs: Array, dim: int) -> Array:
    """Joined along a new axis."""
    return np.stack(xs, axis=dim)


@stack.pull_all
def _stack(g: Array, *, dim: int, wanted: Any) -> Any:
    lead = (slice(None),) * (dim % g.ndim)
    return [slice_(g, index=(*lead, i, ...)) if w else None for i, w in enumerate(wanted)]


@op(view=True, multi=True)
def split(x: Array, *, sizes: tuple[int, ...], dim: int) -> tuple[Array, ...]:
    """Consecutive pieces of an axis, all views; one backward joins their gradients."""
    lead = (slice(None),) * (dim % x.ndim)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(x[(*lead, slice(start, start + size))])
        start += size
    return tuple(pieces)


@split.pull_all
def _split(gs: Any, *, dim: int) -> Any:
    return (cat(*gs, dim=dim),)


@op(view=True, multi=True)
def unbind(x: Array, *, dim: int) -> tuple[Array, ...]:
    """All slices of an axis, without it; one backward stacks their gradients."""
    lead = (slice(None),) * (dim % x.ndim)
    return tuple(x[(*lead, i, ...)] for i in range(x.shape[dim]))


@unbind.pull_all
def _unbind(gs: Any, *, dim: int) -> Any:
    return (stack(*gs, dim=dim),)
