"""The rooms that PyTorch users look for under ``torch.utils``."""

from allgrad.utils import checkpoint, data, tensorboard

__all__ = ["checkpoint", "data", "tensorboard"]
