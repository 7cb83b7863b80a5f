"""A trained batch norm folded into the layer before it, for evaluation."""

from __future__ import annotations

import copy
from typing import Any

from allgrad.errors import ArgumentError
from allgrad.nn.parameter import Parameter


def _scale(bn_rv: Any, bn_eps: float, bn_w: Any) -> Any:
    inverse = (bn_rv + bn_eps).rsqrt()
    return inverse if bn_w is None else bn_w * inverse


def _folded(weight: Any, bias: Any, mean: Any, scale: Any, bn_b: Any, shape: list[int]) -> tuple[Any, Any]:
    shift = -mean if bias is None else bias - mean
    new_bias = shift * scale if bn_b is None else shift * scale + bn_b
    new_weight = weight * scale.reshape(shape)
    return (
        Parameter(new_weight.detach(), weight.requires_grad),
        Parameter(new_bias.detach(), weight.requires_grad if bias is None else bias.requires_grad),
    )


def fuse_conv_bn_weights(
    conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any, transpose: bool = False
) -> tuple[Any, Any]:
    """Weight and bias of the convolution that does both: channels first, or second if ``transpose``."""
    shape = [1, -1, *[1] * (conv_w.dim() - 2)] if transpose else [-1, *[1] * (conv_w.dim() - 1)]
    return _folded(conv_w, conv_b, bn_rm, _scale(bn_rv, bn_eps, bn_w), bn_b, shape)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Any, Any]:
    """Weight (out, in) and bias (out,) of the linear layer that does both."""
    return _folded(linear_w, linear_b, bn_rm, _scale(bn_rv, bn_eps, bn_w), bn_b, [-1, 1])


def _evaluating(layer: Any, bn: Any) -> Any:
    if layer.training or bn.training:
        raise ArgumentError("Fusion only for eval! Call model.eval() first")
    if bn.running_mean is None or bn.running_var is None:
        raise ArgumentError(
            "fusing needs running_mean and running_var; this norm was made with track_running_stats=False"
        )
    return copy.deepcopy(layer)


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """One convolution that computes ``bn(conv(x))``, both in eval mode."""
    fused = _evaluating(conv, bn)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """One linear layer that computes ``bn(linear(x))``, both in eval mode."""
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise ArgumentError(
            f"To fuse, linear.out_features == bn.num_features or bn.num_features == 1, found {linear.out_features} "
            f"and {bn.num_features}"
        )
    fused = _evaluating(linear, bn)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
