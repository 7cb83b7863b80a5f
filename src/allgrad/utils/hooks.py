"""``torch.utils.hooks``: the handle that registering a hook gives."""

from allgrad.autograd.node import RemovableHandle

__all__ = ["RemovableHandle"]
