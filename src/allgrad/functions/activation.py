"""Elementwise activation functions, with PyTorch's signatures of ``nn.functional``."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.autograd.inplace import apply_inplace
from allgrad.autograd.record import apply
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.creation import check_range
from allgrad.functions.promote import as_tensor_like, floating
from allgrad.ops import activation as a
from allgrad.ops import activation_smooth as s
from allgrad.ops.arithmetic import mul
from allgrad.ops.op import Op
from allgrad.random import default_generator

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al., 2017


def _run(op: Op, input: Any, inplace: bool = False, *, whole: bool = False, **meta: Any) -> Any:
    """Run an activation; whole numbers are refused unless PyTorch takes them too."""
    input = as_tensor_like(input, f"{op.name}(): argument 'input'")
    kind = input._a.dtype.kind
    if kind == "b" or (kind in "iu" and not whole):
        raise DtypeError(f"{op.name}() is not implemented for {input.dtype!r}; try input.float()")
    return apply_inplace(op, input, (), meta) if inplace else apply(op, (input,), meta)


def _no_bool(input: Any, name: str) -> Any:
    input = as_tensor_like(input, f"{name}(): argument 'input'")
    if input._a.dtype.kind == "b":
        raise DtypeError(f"{name}() is not implemented for bool; try input.float()")
    return floating(input)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """``input`` limited to [min_val, max_val]; derivative 0 at both ends."""
    if min_val > max_val:
        raise ArgumentError(f"min_val cannot be greater than max_val, found {min_val} > {max_val}")
    if int(min_val) < 0 and input._a.dtype.kind == "u":
        raise DtypeError("cannot do hardtanh on an unsigned type with negative limits")
    return _run(a.hardtanh, input, inplace, whole=True, min_val=min_val, max_val=max_val)


def relu6(input: Any, inplace: bool = False) -> Any:
    """``input`` limited to [0, 6]."""
    return _run(a.hardtanh, input, inplace, whole=True, min_val=0.0, max_val=6.0)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """``input`` above 0, else ``negative_slope * input``."""
    return _run(a.leaky_relu, input, inplace, negative_slope=float(negative_slope))


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """``input`` above the threshold, else ``value``."""
    check_range(value, as_tensor_like(input, "threshold(): argument 'input'")._a.dtype, wraps=False)
    return _run(a.threshold, input, inplace, whole=True, threshold=threshold, value=value)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """``input`` moved towards 0 by ``lambd``; 0 nearer than that."""
    if lambd < 0:
        raise ArgumentError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return _run(a.softshrink, input, lambd=float(lambd))


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """``input`` farther than ``lambd`` from 0, else 0."""
    return _run(a.hardshrink, input, lambd=float(lambd))


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """``relu6(input + 3) / 6``."""
    return _run(a.hardsigmoid, input, inplace)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """``input * relu6(input + 3) / 6``."""
    return _run(a.hardswish, input, inplace)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """``input`` above 0, else ``alpha * (exp(input) - 1)``."""
    return _run(s.elu, input, inplace, alpha=float(alpha))


def selu(input: Any, inplace: bool = False) -> Any:
    """``elu`` with the scale and alpha that keep zero mean and unit variance."""
    return _run(s.elu, input, inplace, alpha=_SELU_ALPHA, scale=_SELU_SCALE)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """``max(0, input) + min(0, alpha * (exp(input / alpha) - 1))``."""
    if alpha == 0:
        raise ArgumentError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _run(s.elu, input, inplace, alpha=float(alpha), input_scale=1.0 / alpha)


def gelu(input: Any, approximate: str = "none") -> Any:
    """``input`` times the share of the normal distribution below it; approximate="tanh" as GPT-2 has it."""
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"approximate argument must be either none or tanh, found {approximate!r}")
    return _run(s.gelu if approximate == "none" else s.gelu_tanh, input)


def silu(input: Any, inplace: bool = False) -> Any:
    """``input * sigmoid(input)``."""
    return _run(s.silu, input, inplace)


def mish(input: Any, inplace: bool = False) -> Any:
    """``input * tanh(softplus(input))``."""
    return _run(s.mish, input, inplace)


def softplus(input: Any, beta: float = 1, threshold: float = 20) -> Any:
    """``log(1 + exp(beta * input)) / beta``; linear where ``beta * input`` exceeds the threshold."""
    return _run(s.softplus, input, beta=float(beta), threshold=float(threshold))


def softsign(input: Any) -> Any:
    """``input / (1 + |input|)``; whole numbers become floating ones."""
    return _run(s.softsign, _no_bool(input, "softsign"))


def tanhshrink(input: Any) -> Any:
    """``input - tanh(input)``; whole numbers become floating ones."""
    return _run(s.tanhshrink, _no_bool(input, "tanhshrink"))


def logsigmoid(input: Any) -> Any:
    """``log(sigmoid(input))`` without overflow."""
    return _run(s.log_sigmoid, input)


def rrelu(input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Any:
    """``leaky_relu`` with a slope drawn for each element from [lower, upper) in training, else of their mean."""
    input = as_tensor_like(input, "rrelu(): argument 'input'")
    if lower > upper:
        raise ArgumentError(f"Lower bound should be less than or equal to the upper bound, found {lower} > {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = np.ones(input._a.shape, input._a.dtype)
    down = input._a <= 0
    # Drawn in double precision whatever the dtype, as PyTorch does.
    slope[down] = default_generator().uniform(int(down.sum()), np.float64, lower, upper)
    return apply_inplace(mul, input, (slope,)) if inplace else apply(mul, (input, slope), {})
