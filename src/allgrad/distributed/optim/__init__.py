"""Optimizers over ranks, where PyTorch users look for them."""

from allgrad.distributed.zero import ZeroRedundancyOptimizer

__all__ = ["ZeroRedundancyOptimizer"]
