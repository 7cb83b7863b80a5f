"""Optimizers over ranks, where PyTorch users look for them."""

from allgrad.distributed.optim.large_batch import ScaledLR, scaled_lr
from allgrad.distributed.optim.post_localSGD_optimizer import PostLocalSGDOptimizer
from allgrad.distributed.sharded_step import ShardedOptimizer
from allgrad.distributed.zero import ZeroRedundancyOptimizer

__all__ = ["PostLocalSGDOptimizer", "ScaledLR", "ShardedOptimizer", "ZeroRedundancyOptimizer", "scaled_lr"]
