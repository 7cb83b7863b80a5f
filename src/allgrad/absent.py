"""What a CPU has not: the errors for what PyTorch programs ask of GPUs, hubs and exporters."""

from __future__ import annotations

from typing import Any, NoReturn

from allgrad.errors import UnsupportedError


def refuse(what: str, instead: str) -> NoReturn:
    """UnsupportedError saying what is not there and what to do instead."""
    raise UnsupportedError(f"{what} is not available: allgrad trains on CPUs. {instead}")


class NoDevice:
    """A count of zero devices, with PyTorch's questions about them."""

    name = "accelerator"

    @classmethod
    def is_available(cls) -> bool:
        """False."""
        return False

    @classmethod
    def device_count(cls) -> int:
        """0."""
        return 0

    @classmethod
    def is_initialized(cls) -> bool:
        """False."""
        return False

    @classmethod
    def manual_seed(cls, seed: int) -> None:
        """Nothing to seed."""

    @classmethod
    def manual_seed_all(cls, seed: int) -> None:
        """Nothing to seed."""

    @classmethod
    def synchronize(cls, device: Any = None) -> None:
        """Nothing to wait for."""

    @classmethod
    def empty_cache(cls) -> None:
        """Nothing to empty."""

    @classmethod
    def current_device(cls) -> NoReturn:
        """An error: there is none."""
        refuse(f"a current {cls.name} device", "Guard the call with is_available().")

    @classmethod
    def set_device(cls, device: Any) -> NoReturn:
        """An error: there is none."""
        refuse(f"{cls.name} device {device!r}", "Guard the call with is_available().")

    @classmethod
    def get_device_name(cls, device: Any = None) -> NoReturn:
        """An error: there is none."""
        refuse(f"{cls.name} device {device!r}", "Guard the call with is_available().")


def on_cpu(device: Any) -> None:
    """UnsupportedError if ``device`` names an accelerator; None and the CPU pass."""
    if device is None:
        return
    name = str(getattr(device, "type", device)).partition(":")[0]
    if name not in ("cpu", "meta"):
        refuse(f"device {device!r}", "Leave the device out, or say device='cpu'; torch.cuda.is_available() is False.")
