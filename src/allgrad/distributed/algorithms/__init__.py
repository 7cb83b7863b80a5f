"""Ways of training over ranks that go beyond the plain mean of gradients."""

from allgrad.distributed.algorithms import ddp_comm_hooks, join, model_averaging
from allgrad.distributed.algorithms.join import Join, Joinable, JoinHook

__all__ = ["Join", "JoinHook", "Joinable", "ddp_comm_hooks", "join", "model_averaging"]
