"""``torch.backends.cuda``: its switches can be set; CUDA is not there."""

from __future__ import annotations

from types import SimpleNamespace

from allgrad.backends.switches import is_built

__all__ = ["enable_flash_sdp", "enable_math_sdp", "enable_mem_efficient_sdp", "is_built", "matmul"]

matmul = SimpleNamespace(
    allow_tf32=False, allow_fp16_reduced_precision_reduction=True, allow_bf16_reduced_precision_reduction=True
)


def enable_flash_sdp(enabled: bool) -> None:
    """Nothing to switch: attention has one way."""


def enable_math_sdp(enabled: bool) -> None:
    """Nothing to switch: attention has one way."""


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Nothing to switch: attention has one way."""
