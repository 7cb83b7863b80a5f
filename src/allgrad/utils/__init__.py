"""The rooms that PyTorch users look for under ``torch.utils``."""

from allgrad.utils import data, tensorboard

__all__ = ["data", "tensorboard"]
