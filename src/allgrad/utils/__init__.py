"""The rooms that PyTorch users look for under ``torch.utils``: ``data`` and ``tensorboard``."""
