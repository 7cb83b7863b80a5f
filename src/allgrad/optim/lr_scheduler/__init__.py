"""Learning rate schedules."""

from __future__ import annotations

from allgrad.optim.lr_scheduler.base import LRScheduler
from allgrad.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from allgrad.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from allgrad.optim.lr_scheduler.cyclic import CyclicLR
from allgrad.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from allgrad.optim.lr_scheduler.onecycle import OneCycleLR
from allgrad.optim.lr_scheduler.plateau import ReduceLROnPlateau

_LRScheduler = LRScheduler
"""The name that older programs derive from."""

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
