"""TensorBoard's files without TensorBoard: ``SummaryWriter`` with PyTorch's methods."""

from allgrad.utils.tensorboard.writer import SummaryWriter

__all__ = ["SummaryWriter"]
