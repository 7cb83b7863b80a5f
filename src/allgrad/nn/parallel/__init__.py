"""Where PyTorch users look for DistributedDataParallel; it lives in ``allgrad.distributed``."""

from allgrad.distributed.ddp import DistributedDataParallel

__all__ = ["DistributedDataParallel"]
