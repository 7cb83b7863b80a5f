"""Where PyTorch users look for ``DistributedDataParallel``."""

from allgrad.distributed.ddp import DistributedDataParallel

__all__ = ["DistributedDataParallel"]
