"""Grad modes under the module path that PyTorch gives them."""

from __future__ import annotations

from allgrad.autograd.modes import enable_grad, inference_mode, no_grad, set_grad_enabled, set_multithreading_enabled

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled", "set_multithreading_enabled"]
