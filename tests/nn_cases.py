"""Layers and losses for the comparison with PyTorch: how to build each, and shapes of what it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """``build(nn)`` makes the layer; ``inputs`` are shapes of normal numbers, or arrays."""

    build: Callable[[Any], Any]
    inputs: tuple[Any, ...]


IMAGE = (2, 4, 7, 8)
SEQUENCE = (2, 4, 9)
VOLUME = (2, 2, 4, 5, 6)
INDICES = np.array([[0, 2, 1], [3, 3, 0]])

LAYERS: dict[str, Case] = {
    "Linear": Case(lambda nn: nn.Linear(5, 3), ((2, 4, 5),)),
    "Linear, no bias": Case(lambda nn: nn.Linear(5, 3, bias=False), ((5,),)),
    "Bilinear": Case(lambda nn: nn.Bilinear(5, 3, 4), ((6, 5), (6, 3))),
    "Identity": Case(lambda nn: nn.Identity(), ((2, 3),)),
    "Flatten": Case(lambda nn: nn.Flatten(), (IMAGE,)),
    "Unflatten": Case(lambda nn: nn.Unflatten(1, (2, 2)), (IMAGE,)),
    "Conv1d": Case(lambda nn: nn.Conv1d(4, 6, 3, stride=2, padding=1), (SEQUENCE,)),
    "Conv1d, same": Case(lambda nn: nn.Conv1d(4, 6, 4, padding="same", dilation=2), (SEQUENCE,)),
    "Conv2d": Case(lambda nn: nn.Conv2d(4, 6, 3, padding=1), (IMAGE,)),
    "Conv2d, groups": Case(lambda nn: nn.Conv2d(4, 8, (3, 2), stride=(2, 1), groups=2, bias=False), (IMAGE,)),
    "Conv2d, depthwise": Case(lambda nn: nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), (IMAGE,)),
    "Conv2d, reflect": Case(lambda nn: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), (IMAGE,)),
    "Conv2d, circular": Case(lambda nn: nn.Conv2d(4, 3, 3, padding=(1, 2), padding_mode="circular"), (IMAGE,)),
    "Conv3d": Case(lambda nn: nn.Conv3d(2, 3, 3, padding=1), (VOLUME,)),
    "ConvTranspose1d": Case(lambda nn: nn.ConvTranspose1d(4, 3, 3, stride=2, output_padding=1), (SEQUENCE,)),
    "ConvTranspose2d": Case(lambda nn: nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), (IMAGE,)),
    "ConvTranspose2d, groups": Case(lambda nn: nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2), (IMAGE,)),
    "ConvTranspose3d": Case(lambda nn: nn.ConvTranspose3d(2, 3, 2, stride=2), (VOLUME,)),
    "MaxPool1d": Case(lambda nn: nn.MaxPool1d(3, 2, padding=1), (SEQUENCE,)),
    "MaxPool2d": Case(lambda nn: nn.MaxPool2d(2), (IMAGE,)),
    "MaxPool2d, ceil": Case(lambda nn: nn.MaxPool2d(3, stride=2, padding=1, dilation=2, ceil_mode=True), (IMAGE,)),
    "MaxPool3d": Case(lambda nn: nn.MaxPool3d(2), (VOLUME,)),
    "AvgPool1d": Case(lambda nn: nn.AvgPool1d(3, 2, padding=1), (SEQUENCE,)),
    "AvgPool2d": Case(lambda nn: nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), (IMAGE,)),
    "AvgPool3d": Case(lambda nn: nn.AvgPool3d(2), (VOLUME,)),
    "AdaptiveAvgPool1d": Case(lambda nn: nn.AdaptiveAvgPool1d(4), (SEQUENCE,)),
    "AdaptiveAvgPool2d": Case(lambda nn: nn.AdaptiveAvgPool2d((3, None)), (IMAGE,)),
    "AdaptiveMaxPool1d": Case(lambda nn: nn.AdaptiveMaxPool1d(4), (SEQUENCE,)),
    "AdaptiveMaxPool2d": Case(lambda nn: nn.AdaptiveMaxPool2d((3, 5)), (IMAGE,)),
    **{
        f"{kind}Pad{n}d": Case(lambda nn, k=kind, n=n: getattr(nn, f"{k}Pad{n}d")(1), ((SEQUENCE, IMAGE, VOLUME)[n - 1],))
        for kind in ("Reflection", "Replication", "Circular", "Zero")
        for n in (1, 2, 3)
    },
    "ConstantPad2d": Case(lambda nn: nn.ConstantPad2d((1, 2, 0, 1), 3.5), (IMAGE,)),
    "Upsample": Case(lambda nn: nn.Upsample(scale_factor=2), (IMAGE,)),
    "Upsample, bilinear": Case(lambda nn: nn.Upsample(size=(9, 5), mode="bilinear"), (IMAGE,)),
    "UpsamplingBilinear2d": Case(lambda nn: nn.UpsamplingBilinear2d(scale_factor=2), (IMAGE,)),
    "UpsamplingNearest2d": Case(lambda nn: nn.UpsamplingNearest2d(scale_factor=2), (IMAGE,)),
    "PixelShuffle": Case(lambda nn: nn.PixelShuffle(2), (IMAGE,)),
    "PixelUnshuffle": Case(lambda nn: nn.PixelUnshuffle(2), ((2, 3, 4, 6),)),
    "ChannelShuffle": Case(lambda nn: nn.ChannelShuffle(2), (IMAGE,)),
    "Unfold": Case(lambda nn: nn.Unfold(3, padding=1, stride=2), (IMAGE,)),
    "Fold": Case(lambda nn: nn.Fold((4, 5), 2), ((2, 12, 12),)),
    "BatchNorm1d": Case(lambda nn: nn.BatchNorm1d(4), ((6, 4),)),
    "BatchNorm1d, sequences": Case(lambda nn: nn.BatchNorm1d(4, affine=False), (SEQUENCE,)),
    "BatchNorm2d": Case(lambda nn: nn.BatchNorm2d(4, momentum=0.3), (IMAGE,)),
    "BatchNorm2d, cumulative": Case(lambda nn: nn.BatchNorm2d(4, momentum=None), (IMAGE,)),
    "BatchNorm2d, untracked": Case(lambda nn: nn.BatchNorm2d(4, track_running_stats=False), (IMAGE,)),
    "BatchNorm3d": Case(lambda nn: nn.BatchNorm3d(2), (VOLUME,)),
    "InstanceNorm1d": Case(lambda nn: nn.InstanceNorm1d(4), (SEQUENCE,)),
    "InstanceNorm2d": Case(lambda nn: nn.InstanceNorm2d(4, affine=True, track_running_stats=True), (IMAGE,)),
    "LayerNorm": Case(lambda nn: nn.LayerNorm((7, 8)), (IMAGE,)),
    "LayerNorm, no bias": Case(lambda nn: nn.LayerNorm(8, bias=False), (IMAGE,)),
    "LayerNorm, plain": Case(lambda nn: nn.LayerNorm(8, elementwise_affine=False), (IMAGE,)),
    "RMSNorm": Case(lambda nn: nn.RMSNorm(8), (IMAGE,)),
    "GroupNorm": Case(lambda nn: nn.GroupNorm(2, 4), (IMAGE,)),
    "LocalResponseNorm": Case(lambda nn: nn.LocalResponseNorm(2), (IMAGE,)),
    "Embedding": Case(lambda nn: nn.Embedding(5, 3), (INDICES,)),
    "Embedding, padding": Case(lambda nn: nn.Embedding(5, 3, padding_idx=3, scale_grad_by_freq=True), (INDICES,)),
    "EmbeddingBag": Case(lambda nn: nn.EmbeddingBag(5, 3, mode="sum"), (INDICES,)),
    "CosineSimilarity": Case(lambda nn: nn.CosineSimilarity(), ((4, 5), (4, 5))),
    "PairwiseDistance": Case(lambda nn: nn.PairwiseDistance(), ((4, 5), (4, 5))),
    **{
        name: Case(lambda nn, name=name: getattr(nn, name)(), ((3, 4, 6),))
        for name in (
            "ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Sigmoid", "Tanh", "LogSigmoid", "Softsign",
            "Tanhshrink", "LeakyReLU", "PReLU", "ELU", "CELU", "GELU", "Hardtanh", "Softplus", "Softshrink", "Hardshrink", "GLU",
        )
    },
    "ReLU, in place": Case(lambda nn: nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True)), ((3, 6),)),
    "GELU, tanh": Case(lambda nn: nn.GELU("tanh"), ((3, 4),)),
    "Threshold": Case(lambda nn: nn.Threshold(0.1, 20.0), ((3, 4),)),
    "PReLU, channels": Case(lambda nn: nn.PReLU(4), (IMAGE,)),
    "Softmax": Case(lambda nn: nn.Softmax(1), ((3, 4),)),
    "Softmin": Case(lambda nn: nn.Softmin(1), ((3, 4),)),
    "LogSoftmax": Case(lambda nn: nn.LogSoftmax(-1), ((3, 4),)),
    "Softmax2d": Case(lambda nn: nn.Softmax2d(), (IMAGE,)),
    "Sequential": Case(lambda nn: nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 2))), ((3, 4),)),
}  # fmt: skip

CLASSES = np.array([0, 2, 1, 1])
SIGNS = np.array([1.0, -1.0, 1.0, -1.0])
UNIT = np.array([[0.1, 0.9, 0.4], [0.5, 0.2, 0.7], [0.3, 0.8, 0.6], [0.25, 0.75, 0.35]])
WEIGHT = np.array([0.5, 1.0, 2.0])

LOSSES: dict[str, Case] = {
    "L1Loss": Case(lambda nn: nn.L1Loss(), ((4, 3), UNIT)),
    "MSELoss": Case(lambda nn: nn.MSELoss(reduction="sum"), ((4, 3), UNIT)),
    "SmoothL1Loss": Case(lambda nn: nn.SmoothL1Loss(beta=0.5), ((4, 3), UNIT)),
    "HuberLoss": Case(lambda nn: nn.HuberLoss(delta=0.7), ((4, 3), UNIT)),
    "NLLLoss": Case(lambda nn: nn.Sequential(nn.LogSoftmax(1)) and nn.NLLLoss(), ((4, 3), CLASSES)),
    "CrossEntropyLoss": Case(lambda nn: nn.CrossEntropyLoss(), ((4, 3), CLASSES)),
    "CrossEntropyLoss, smoothed": Case(
        lambda nn: nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=1), ((4, 3), CLASSES)
    ),
    "CrossEntropyLoss, none": Case(lambda nn: nn.CrossEntropyLoss(reduction="none"), ((4, 3), CLASSES)),
    "CrossEntropyLoss, images": Case(
        lambda nn: nn.CrossEntropyLoss(), ((2, 3, 2, 2), np.array([[[0, 1], [2, 0]]] * 2))
    ),
    "CrossEntropyLoss, probabilities": Case(
        lambda nn: nn.CrossEntropyLoss(), ((4, 3), UNIT / UNIT.sum(1, keepdims=True))
    ),
    "BCELoss": Case(lambda nn: nn.BCELoss(), (UNIT, UNIT[::-1].copy())),
    "BCEWithLogitsLoss": Case(lambda nn: nn.BCEWithLogitsLoss(), ((4, 3), UNIT)),
    "KLDivLoss": Case(lambda nn: nn.KLDivLoss(reduction="batchmean"), ((4, 3), UNIT)),
    "PoissonNLLLoss": Case(lambda nn: nn.PoissonNLLLoss(full=True), ((4, 3), UNIT * 5)),
    "GaussianNLLLoss": Case(lambda nn: nn.GaussianNLLLoss(full=True), ((4, 3), UNIT, UNIT + 0.1)),
    "HingeEmbeddingLoss": Case(lambda nn: nn.HingeEmbeddingLoss(), ((4,), SIGNS)),
    "CosineEmbeddingLoss": Case(lambda nn: nn.CosineEmbeddingLoss(margin=0.2), ((4, 3), (4, 3), SIGNS)),
    "MarginRankingLoss": Case(lambda nn: nn.MarginRankingLoss(margin=0.3), ((4,), (4,), SIGNS)),
    "TripletMarginLoss": Case(lambda nn: nn.TripletMarginLoss(swap=True), ((4, 3), (4, 3), (4, 3))),
    "TripletMarginWithDistanceLoss": Case(lambda nn: nn.TripletMarginWithDistanceLoss(), ((4, 3), (4, 3), (4, 3))),
    "MultiMarginLoss": Case(lambda nn: nn.MultiMarginLoss(p=2), ((4, 3), CLASSES)),
    "MultiLabelMarginLoss": Case(lambda nn: nn.MultiLabelMarginLoss(), ((2, 3), np.array([[2, 0, -1], [1, -1, 0]]))),
    "MultiLabelSoftMarginLoss": Case(lambda nn: nn.MultiLabelSoftMarginLoss(), ((4, 3), (UNIT > 0.5) * 1.0)),
    "SoftMarginLoss": Case(lambda nn: nn.SoftMarginLoss(), ((4,), SIGNS)),
    "old switches": Case(lambda nn: nn.MSELoss(size_average=False), ((4, 3), UNIT)),
}
WEIGHTED = ("NLLLoss", "CrossEntropyLoss", "MultiMarginLoss", "BCEWithLogitsLoss", "MultiLabelSoftMarginLoss")
