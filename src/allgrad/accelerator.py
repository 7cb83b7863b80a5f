"""``torch.accelerator``: there is none, and it says so."""

from __future__ import annotations

from typing import Any

from allgrad.absent import NoDevice, refuse

is_available = NoDevice.is_available
device_count = NoDevice.device_count
synchronize = NoDevice.synchronize
set_device_index = NoDevice.set_device


def current_accelerator(check_available: bool = False) -> None:
    """None: there is none."""
    return


def current_device_index() -> Any:
    """An error: there is none."""
    refuse("a current accelerator", "Guard the call with torch.accelerator.is_available().")
