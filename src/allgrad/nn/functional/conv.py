"""Convolutions in one, two and three dimensions, and their transposes."""

from __future__ import annotations

import math
from typing import Any

from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.nn.functional.arguments import Ints, batched, ints, shaped, tensor, type_name
from allgrad.nn.functional.padding import pad
from allgrad.ops import conv as ops


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation: (n, c, length), (o, c/groups, k), (o,) -> (n, o, length'); the batch axis may be missing."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation: (n, c, h, w), (o, c/groups, kh, kw), (o,) -> (n, o, h', w'), where
    h' = (h + 2 padding - dilation (kh - 1) - 1) // stride + 1.  ``padding`` may be "valid" or "same"."""
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation: (n, c, d, h, w), (o, c/groups, kd, kh, kw), (o,) -> (n, o, d', h', w')."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv(d: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    name = f"conv{d}d"
    x, weight, bias = _operands(name, d, input, weight, bias)
    x, had_batch = batched(x, d, name)
    strides, dilations = ints(stride, d, name, "stride"), ints(dilation, d, name, "dilation")
    kernel = weight._a.shape[2:]
    paddings: Ints
    if isinstance(padding, str):
        x, paddings = _named_padding(x, padding, kernel, strides, dilations)
    else:
        paddings = ints(padding, d, name, "padding")
    _check_settings(name, strides, paddings, dilations, groups)
    shape, found = list(weight._a.shape), list(x._a.shape)
    if shape[0] % groups:
        raise ShapeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of "
            f"size {shape} instead"
        )
    if found[1] != shape[1] * groups:
        raise ShapeError(
            f"Given groups={groups}, weight of size {shape}, expected input{found} to have {shape[1] * groups} "
            f"channels, but got {found[1]} channels instead"
        )
    if bias is not None and bias._a.shape != (shape[0],):
        raise ShapeError(
            f"Given weight of size {shape}, expected bias to be 1-dimensional with {shape[0]} elements, but got bias "
            f"of size {list(bias._a.shape)} instead"
        )
    reach = [e * (k - 1) + 1 for e, k in zip(dilations, kernel)]
    wide = [n + 2 * p for n, p in zip(found[2:], paddings)]
    if any(r > n for r, n in zip(reach, wide)):
        raise ShapeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, wide))}). "
            f"Kernel size: ({' x '.join(map(str, reach))}). Kernel size can't be greater than actual input size"
        )
    meta = {"stride": strides, "padding": paddings, "dilation": dilations, "groups": groups}
    y = apply(ops.conv, (x, weight) if bias is None else (x, weight, bias), meta)
    return y if had_batch else shaped(y, y._a.shape[1:])


def _operands(name: str, d: int, input: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    # Whole numbers are taken too, as in PyTorch; bool is not.
    x, weight = tensor(input, name), tensor(weight, name, "weight")
    for other, what in ((weight, "weight"), (bias, "bias")):
        if other is not None and tensor(other, name, what)._a.dtype != x._a.dtype:
            raise DtypeError(
                f"Input type ({type_name(x)}) and {what} type ({type_name(other)}) should be the same; convert one"
            )
    if x._a.dtype.kind == "b":
        raise DtypeError(f'"{name}" not implemented for {type_name(x)!r}; convert with x.float()')
    if weight._a.ndim != d + 2:
        raise ShapeError(
            f"{name}: expected {d + 2}-dimensional weight (out, in/groups, kernel...), found size "
            f"{list(weight._a.shape)}"
        )
    if 0 in weight._a.shape[2:]:
        raise ShapeError(f"{name}: kernel size should be greater than zero, but got size {list(weight._a.shape)}")
    return x, weight, bias


def _check_settings(name: str, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> None:
    if any(s <= 0 for s in stride):
        raise ArgumentError(f"{name}: non-positive stride is not supported, found stride={list(stride)}")
    if any(p < 0 for p in padding):
        raise ArgumentError(f"{name}: negative padding is not supported, found padding={list(padding)}")
    if any(e <= 0 for e in dilation):
        raise ArgumentError(f"{name}: dilation should be greater than zero, found dilation={list(dilation)}")
    if groups <= 0:
        raise ArgumentError(f"{name}: non-positive groups is not supported, found groups={groups}")


def _named_padding(x: Any, padding: str, kernel: Ints, stride: Ints, dilation: Ints) -> tuple[Any, Ints]:
    if padding == "valid":
        return x, (0,) * len(kernel)
    if padding != "same":
        raise ArgumentError(f"Invalid padding string: '{padding}'; use 'valid', 'same' or numbers")
    if any(s != 1 for s in stride):
        raise ArgumentError("padding='same' is not supported for strided convolutions; give the padding as numbers")
    total = [e * (k - 1) for e, k in zip(dilation, kernel)]
    odd = [t % 2 for t in total]
    if any(odd):  # one more at the end, as in PyTorch
        x = pad(x, [side for extra in reversed(odd) for side in (0, extra)])
    return x, tuple(t // 2 for t in total)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The adjoint of ``conv1d``: (n, c, length), (c, o/groups, k), (o,) -> (n, o, length')."""
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The adjoint of ``conv2d``: (n, c, h, w), (c, o/groups, kh, kw), (o,) -> (n, o, h', w'), where
    h' = (h - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1."""
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The adjoint of ``conv3d``: (n, c, d, h, w), (c, o/groups, kd, kh, kw), (o,) -> (n, o, d', h', w')."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _conv_transpose(
    d: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    name = f"conv_transpose{d}d"
    x, weight, bias = _operands(name, d, input, weight, bias)
    x, had_batch = batched(x, d, name)
    strides, dilations = ints(stride, d, name, "stride"), ints(dilation, d, name, "dilation")
    paddings, extra = ints(padding, d, name, "padding"), ints(output_padding, d, name, "output_padding")
    _check_settings(name, strides, paddings, dilations, groups)
    shape, found = list(weight._a.shape), list(x._a.shape)
    if shape[0] != found[1] or found[1] % groups:
        raise ShapeError(
            f"Given transposed=1, weight of size {shape}, expected input{found} to have {shape[0]} channels, but got "
            f"{found[1]} channels instead (groups={groups})"
        )
    channels = shape[1] * groups
    if bias is not None and bias._a.shape != (channels,):
        raise ShapeError(
            f"Given transposed=1, weight of size {shape}, expected bias to be 1-dimensional with {channels} elements, "
            f"but got bias of size {list(bias._a.shape)} instead"
        )
    for e, s, a in zip(extra, strides, dilations):
        if e < 0 or e >= max(s, a):
            raise ArgumentError(
                f"output padding must be smaller than either stride or dilation, but got output_padding={list(extra)}, "
                f"stride={list(strides)}, dilation={list(dilations)}"
            )
    size = tuple(
        (n - 1) * s - 2 * p + e * (k - 1) + 1
        for n, s, p, e, k in zip(found[2:], strides, paddings, dilations, shape[2:])
    )
    if any(n + e <= 0 for n, e in zip(size, extra)) or math.prod(found[1:]) == 0:
        raise ShapeError(
            f"Given input size per channel: {found[2:]}. Calculated output size per channel: "
            f"{[n + e for n, e in zip(size, extra)]}. Output size is too small"
        )
    size = tuple(n + e for n, e in zip(size, extra))
    meta = {"size": size, "stride": strides, "padding": paddings, "dilation": dilations, "groups": groups}
    y = apply(ops.conv_input_grad, (x, weight) if bias is None else (x, weight, bias), meta)
    return y if had_batch else shaped(y, y._a.shape[1:])
