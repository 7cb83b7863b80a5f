"""``torch.onnx``: models are not exported."""

from __future__ import annotations

from typing import Any

from allgrad.absent import refuse


def export(model: Any, *args: Any, **kwargs: Any) -> Any:
    """An error: models are not exported."""
    refuse("torch.onnx.export", "Load the state dict into the same model under PyTorch and export it there.")
