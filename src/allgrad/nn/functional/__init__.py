"""``nn.functional``: the layers and losses as functions, PyTorch's names and defaults."""

from __future__ import annotations

from allgrad.nn.functional.activations import log_softmax, relu, sigmoid, softmax, softmin, tanh
from allgrad.nn.functional.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from allgrad.nn.functional.cross_entropy import cross_entropy, nll_loss
from allgrad.nn.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from allgrad.nn.functional.embedding import embedding, one_hot
from allgrad.nn.functional.linear import bilinear, linear
from allgrad.nn.functional.losses import binary_cross_entropy_with_logits, mse_loss
from allgrad.nn.functional.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from allgrad.nn.functional.padding import pad
from allgrad.nn.functional.pooling import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d

__all__ = [
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "embedding",
    "feature_alpha_dropout",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "relu",
    "rms_norm",
    "sigmoid",
    "softmax",
    "softmin",
    "tanh",
]
