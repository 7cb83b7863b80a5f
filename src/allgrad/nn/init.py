"""Initial values of parameters, in place, without gradient; PyTorch's distributions.

Sources: Glorot & Bengio 2010 (xavier), He et al. 2015 (kaiming), Saxe et al. 2013 (orthogonal), Martens 2010 (sparse).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from allgrad.autograd.inplace import bump
from allgrad.errors import ArgumentError
from allgrad.random import Generator, default_generator


def _source(generator: Any) -> Generator:
    return default_generator() if generator is None else generator


def _fill(tensor: Any, values: Any, name: str) -> Any:
    np.copyto(tensor._a, values, casting="unsafe")
    bump(tensor, name)
    return tensor


def calculate_gain(nonlinearity: str, param: Any = None) -> float:
    """The gain that keeps the variance through ``nonlinearity``; ``param`` is the slope of leaky_relu."""
    linear = (
        "linear",
        "sigmoid",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
    )
    if nonlinearity in linear:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = float(param)
        else:
            raise ArgumentError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ArgumentError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Uniform between ``a`` and ``b``."""
    return _fill(tensor, _source(generator).uniform(tensor._a.shape, tensor._a.dtype, a, b), "uniform_")


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Normal with ``mean`` and standard deviation ``std``."""
    return _fill(tensor, _source(generator).normal(tensor._a.shape, tensor._a.dtype, mean, std), "normal_")


def trunc_normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Any:
    """Normal with ``mean`` and ``std``, cut to [a, b]: what falls outside is drawn again."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be incorrect.",
            stacklevel=2,
        )

    def below(x: float) -> float:
        return (1.0 + math.erf((x - mean) / std / math.sqrt(2.0))) / 2.0

    draw = _normal_rejected if below(b) - below(a) > 0.3 else _uniform_rejected
    return _fill(tensor, draw(_source(generator), tensor._a, mean, std, a, b), "trunc_normal_")


def _normal_rejected(source: Generator, like: Any, mean: float, std: float, a: float, b: float) -> Any:
    """Normal numbers, those outside [a, b] drawn anew: few, as more than 0.3 of the mass is inside."""
    low, high = like.dtype.type(a), like.dtype.type(b)
    found = source.normal(like.shape, like.dtype, mean, std)
    while True:
        outside = (found < low) | (found > high)
        if not outside.any():
            return found
        found = np.where(outside, source.normal(like.shape, like.dtype, mean, std), found)


def _uniform_rejected(source: Generator, like: Any, mean: float, std: float, a: float, b: float) -> Any:
    """Uniform numbers in [a, b], each accepted with its density over the density of the likeliest one."""
    log_peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    found, pending = np.empty_like(like), np.ones(like.shape, bool)
    while pending.any():
        candidates = source.uniform(like.shape, like.dtype, a, b)
        found = np.where(pending, candidates, found)
        log_density = ((candidates - like.dtype.type(mean)) / like.dtype.type(std)) ** 2 * like.dtype.type(-0.5)
        level = np.log(source.uniform(like.shape, like.dtype, 0.0, 1.0))
        pending = pending & (level > log_density - like.dtype.type(log_peak))
    return found


def constant_(tensor: Any, val: float) -> Any:
    """``val`` everywhere."""
    return _fill(tensor, val, "constant_")


def ones_(tensor: Any) -> Any:
    """One everywhere."""
    return _fill(tensor, 1.0, "ones_")


def zeros_(tensor: Any) -> Any:
    """Zero everywhere."""
    return _fill(tensor, 0.0, "zeros_")


def eye_(tensor: Any) -> Any:
    """The identity matrix: (n, m)."""
    if tensor._a.ndim != 2:
        raise ArgumentError("Only tensors with 2 dimensions are supported")
    return _fill(tensor, np.eye(*tensor._a.shape), "eye_")


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Convolution weights that pass their input on, as far as there are channels: (out, in, *kernel)."""
    a = tensor._a
    if a.ndim not in (3, 4, 5):
        raise ArgumentError("Only tensors with 3, 4, or 5 dimensions are supported")
    if a.shape[0] % groups:
        raise ArgumentError("dim 0 must be divisible by groups")
    out_per_group = a.shape[0] // groups
    values = np.zeros(a.shape, a.dtype)
    centre = tuple(n // 2 for n in a.shape[2:])
    for g in range(groups):
        for d in range(min(out_per_group, a.shape[1])):
            values[(g * out_per_group + d, d, *centre)] = 1
    return _fill(tensor, values, "dirac_")


def _fans(tensor: Any) -> tuple[int, int]:
    shape = tensor._a.shape
    if len(shape) < 2:
        raise ArgumentError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


_calculate_fan_in_and_fan_out = _fans


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform on ±gain·sqrt(6 / (fan_in + fan_out))."""
    fan_in, fan_out = _fans(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / float(fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with std gain·sqrt(2 / (fan_in + fan_out))."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _kaiming_std(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    modes = {"fan_in": 0, "fan_out": 1}
    if mode.lower() not in modes:
        raise ArgumentError(f"Mode {mode} not supported, please use one of {list(modes)}")
    return calculate_gain(nonlinearity, a) / math.sqrt(_fans(tensor)[modes[mode.lower()]])


def kaiming_uniform_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Uniform on ±gain·sqrt(3 / fan)."""
    if 0 in tensor._a.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Normal with std gain / sqrt(fan)."""
    if 0 in tensor._a.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """A (semi-)orthogonal matrix over the first dimension against all others, times ``gain``."""
    shape = tensor._a.shape
    if len(shape) < 2:
        raise ArgumentError("Only tensors with 2 or more dimensions are supported")
    if tensor._a.size == 0:
        return tensor
    rows, cols = shape[0], tensor._a.size // shape[0]
    flat = _source(generator).normal((rows, cols), tensor._a.dtype, 0.0, 1.0)
    q, r = np.linalg.qr(flat.T if rows < cols else flat)
    q = q * np.sign(np.diagonal(r))
    return _fill(tensor, ((q.T if rows < cols else q) * gain).reshape(shape), "orthogonal_")


def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Normal with ``std``, a share ``sparsity`` of each column set to zero: (rows, columns)."""
    if tensor._a.ndim != 2:
        raise ArgumentError("Only tensors with 2 dimensions are supported")
    rows, cols = tensor._a.shape
    source = _source(generator)
    values = source.normal((rows, cols), tensor._a.dtype, 0.0, std)
    for c in range(cols):
        values[source.permutation(rows)[: math.ceil(sparsity * rows)], c] = 0
    return _fill(tensor, values, "sparse_")


uniform, normal, constant, eye, dirac = uniform_, normal_, constant_, eye_, dirac_
xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal = (
    xavier_uniform_,
    xavier_normal_,
    kaiming_uniform_,
    kaiming_normal_,
)
orthogonal, sparse = orthogonal_, sparse_
