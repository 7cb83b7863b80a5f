"""``torch.cuda`` where there is none: questions are answered, requests are refused in words."""

from __future__ import annotations

from typing import Any, NoReturn

from allgrad.absent import NoDevice, refuse
from allgrad.cuda import amp


class _Cuda(NoDevice):
    name = "CUDA"


is_available = _Cuda.is_available
device_count = _Cuda.device_count
is_initialized = _Cuda.is_initialized
manual_seed = _Cuda.manual_seed
manual_seed_all = _Cuda.manual_seed_all
synchronize = _Cuda.synchronize
empty_cache = _Cuda.empty_cache
current_device = _Cuda.current_device
set_device = _Cuda.set_device
get_device_name = _Cuda.get_device_name


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing to reset."""


def get_device_properties(device: Any = None) -> NoReturn:
    """An error: there is none."""
    refuse(f"CUDA device {device!r}", "Guard the call with torch.cuda.is_available().")


def get_device_capability(device: Any = None) -> NoReturn:
    """An error: there is none."""
    refuse(f"CUDA device {device!r}", "Guard the call with torch.cuda.is_available().")


def get_rng_state_all() -> list[Any]:
    """No devices, no states."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Nothing to set."""


class Event:
    """An error on use: there are no CUDA events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse("torch.cuda.Event", "Use time.perf_counter().")


class Stream:
    """An error on use: there are no CUDA streams."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse("torch.cuda.Stream", "The CPU runs operations in the order they are called.")


__all__ = [
    "Event",
    "Stream",
    "amp",
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state_all",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_device",
    "set_rng_state_all",
    "synchronize",
]
