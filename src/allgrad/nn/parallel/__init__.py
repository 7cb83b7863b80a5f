"""Where PyTorch users look for DistributedDataParallel; it lives in ``allgrad.distributed``."""

from allgrad.distributed.ddp import DistributedDataParallel
from allgrad.nn.modules.data_parallel import DataParallel

__all__ = ["DataParallel", "DistributedDataParallel"]
