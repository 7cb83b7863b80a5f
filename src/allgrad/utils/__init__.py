"""The rooms that PyTorch users look for under ``torch.utils``."""

from allgrad.utils import checkpoint, data, hooks, tensorboard

__all__ = ["checkpoint", "data", "hooks", "tensorboard"]
