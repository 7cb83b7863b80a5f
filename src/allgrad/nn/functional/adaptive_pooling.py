"""Pooling to a given output size, unpooling, and power-average pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from allgrad.nn.functional.arguments import Ints, floating, ints, tensor
from allgrad.nn.functional.pooling import avg_pool1d, avg_pool2d, avg_pool3d, check_input
from allgrad.ops import pool_avg, pool_index
from allgrad.ops.arithmetic import pow_scalar, where


def _target(x: Any, d: int, name: str, output_size: Any) -> Ints:
    """Output sizes; None keeps the input's."""
    check_input(x, d, name)
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * d
    if len(given) == 1:
        given = tuple(given) * d
    if len(given) != d:
        raise ShapeError(f"{name}: output_size must have {d} elements, found {list(given)}")
    sizes = ints(tuple(n if k is None else k for n, k in zip(x._a.shape[-d:], given)), d, name, "output_size")
    if any(n < 0 for n in sizes):
        raise ArgumentError(f"{name}: elements of output_size must be greater than or equal to 0, found {list(sizes)}")
    return sizes


def _adaptive_avg(d: int, input: Any, output_size: Any) -> Any:
    name = f"adaptive_avg_pool{d}d"
    x = floating(input, name)
    return apply(pool_avg.adaptive_avg, (x,), {"out_size": _target(x, d, name, output_size)})


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Means over ``output_size`` windows: (n, c, length) -> (n, c, output_size)."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Means over windows that cover the image evenly: (n, c, h, w) -> (n, c, *output_size); None keeps a size."""
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """Means over windows that cover the volume evenly: (n, c, d, h, w) -> (n, c, *output_size)."""
    return _adaptive_avg(3, input, output_size)


def _adaptive_max(d: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{d}d"
    x = floating(input, name)
    sizes = _target(x, d, name, output_size)
    places = apply(pool_index.adaptive_max_indices, (x.detach(),), {"out_size": sizes})
    y = apply(pool_index.pool_pick, (x, places), {"spatial": d})
    return (y, places) if return_indices else y


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest of ``output_size`` windows: (n, c, length) -> (n, c, output_size)."""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest of windows that cover the image evenly: (n, c, h, w) -> (n, c, *output_size)."""
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest of windows that cover the volume evenly: (n, c, d, h, w) -> (n, c, *output_size)."""
    return _adaptive_max(3, input, output_size, return_indices)


def _unpool(d: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Any:
    name = f"max_unpool{d}d"
    x, index = floating(input, name), tensor(indices, name, "indices")
    check_input(x, d, name)
    if index._a.dtype != np.int64:
        raise DtypeError(f"{name}: elements in indices should be type int64 but got: {index.dtype}")
    if index._a.shape != x._a.shape:
        raise ShapeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(x._a.shape)}) but got indices "
            f"tensor with shape: {list(index._a.shape)}"
        )
    kernel, paddings = ints(kernel_size, d, name, "kernel_size"), ints(padding, d, name, "padding")
    strides = kernel if stride is None else ints(stride, d, name, "stride")
    natural = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(x._a.shape[-d:], strides, kernel, paddings)]
    size = tuple(natural) if output_size is None else tuple(int(n) for n in output_size)[-d:]
    if len(size) != d:
        raise ArgumentError(f"{name}: output_size should be a sequence containing {d} or {d + 2} elements")
    for n, wanted, s in zip(natural, size, strides):
        if not n - s < wanted < n + s:
            raise ArgumentError(
                f"{name}: invalid output_size {list(size)}: {wanted} is not between {n - s} and {n + s}"
            )
    flat = int(np.prod(size))
    if index._a.size and (int(index._a.min()) < 0 or int(index._a.max()) >= flat):
        wrong = int(index._a.max()) if int(index._a.max()) >= flat else int(index._a.min())
        raise IndexRangeError(f"Found an invalid max index: {wrong} (output volumes are of size {list(size)})")
    return apply(pool_index.max_unpool, (x, index), {"size": size})


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Undo ``max_pool1d``: maxima back at their places, zeros elsewhere."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Undo ``max_pool2d``: maxima back at their places, zeros elsewhere."""
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """Undo ``max_pool3d``: maxima back at their places, zeros elsewhere."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _lp(d: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    average = (avg_pool1d, avg_pool2d, avg_pool3d)[d - 1]
    x = floating(input, f"lp_pool{d}d")
    kernel = ints(kernel_size, d, f"lp_pool{d}d", "kernel_size")
    powers = apply(pow_scalar, (x,), {"exponent": float(norm_type)})
    total = average(powers, kernel, stride, 0, ceil_mode) * float(np.prod(kernel))
    # The root is infinitely steep at zero; a window of zeros gets gradient zero, as in PyTorch.
    total = apply(where, (total._a == 0, x._a.dtype.type(0), total), {})
    return apply(pow_scalar, (total,), {"exponent": 1.0 / norm_type})


def lp_pool1d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """``(sum x**p)**(1/p)`` over each window: (n, c, length) -> (n, c, length')."""
    return _lp(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """``(sum x**p)**(1/p)`` over each window: (n, c, h, w) -> (n, c, h', w')."""
    return _lp(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
    """``(sum x**p)**(1/p)`` over each window: (n, c, d, h, w) -> (n, c, d', h', w')."""
    return _lp(3, input, norm_type, kernel_size, stride, ceil_mode)
