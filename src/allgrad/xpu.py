"""``torch.xpu``: there is none, and it says so."""

from __future__ import annotations

from allgrad.absent import NoDevice

is_available = NoDevice.is_available
device_count = NoDevice.device_count
manual_seed = NoDevice.manual_seed
synchronize = NoDevice.synchronize
empty_cache = NoDevice.empty_cache
