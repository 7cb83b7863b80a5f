"""``DataParallel``: PyTorch's several GPUs in one process; here the module itself, on the one CPU."""

from __future__ import annotations

from typing import Any

from allgrad.nn.modules.module import Module


class DataParallel(Module):
    """Calls ``module``; parameters keep their ``module.`` prefix as in PyTorch.  For several processes use
    DistributedDataParallel."""

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[int] = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
