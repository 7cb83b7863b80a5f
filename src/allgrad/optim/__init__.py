"""Optimizers and learning rate schedules, with PyTorch's names, options and ``state_dict`` layout."""

from __future__ import annotations

from allgrad.optim.adam import Adam, AdamW
from allgrad.optim.optimizer import Optimizer
from allgrad.optim.rmsprop import RMSprop
from allgrad.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
