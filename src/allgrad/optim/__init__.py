"""Optimizers and learning rate schedules, with PyTorch's names, options and ``state_dict`` layout."""

from __future__ import annotations

from allgrad.optim import lr_scheduler, swa_utils
from allgrad.optim.adadelta import Adadelta
from allgrad.optim.adafactor import Adafactor
from allgrad.optim.adagrad import Adagrad
from allgrad.optim.adam import Adam, AdamW
from allgrad.optim.adamax import Adamax
from allgrad.optim.asgd import ASGD
from allgrad.optim.layerwise import LAMB, LARS
from allgrad.optim.lbfgs import LBFGS
from allgrad.optim.nadam import NAdam
from allgrad.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from allgrad.optim.radam import RAdam
from allgrad.optim.rmsprop import RMSprop
from allgrad.optim.rprop import Rprop
from allgrad.optim.sgd import SGD
from allgrad.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "swa_utils",
]
