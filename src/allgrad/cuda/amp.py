"""The old home of ``autocast`` and ``GradScaler`` for CUDA."""

from __future__ import annotations

from typing import Any

from allgrad import amp


class autocast(amp.autocast):
    """``torch.amp.autocast("cuda", ...)``: does nothing, with a warning if it was to be enabled."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """``torch.amp.GradScaler("cuda", ...)``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cuda", *args, **kwargs)


__all__ = ["GradScaler", "autocast"]
