"""Settings of the whole process that PyTorch programs read and write, and its constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from allgrad.autograd.record import Variable
from allgrad.dtypes import float16, float32, float64, set_default_dtype
from allgrad.errors import ArgumentError, DtypeError
from allgrad.tensor import device
from allgrad.tensor.legacy import DoubleTensor, FloatTensor, HalfTensor
from allgrad.threads import blas_threads, set_blas_threads

inf, nan, pi, e = math.inf, math.nan, math.pi, math.e


class memory_format:
    """An order of elements in memory.  Accepted everywhere; memory is always row-major here."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class layout(memory_format):
    """``strided`` is the only one there is."""


contiguous_format, preserve_format = memory_format("contiguous_format"), memory_format("preserve_format")
channels_last, channels_last_3d = memory_format("channels_last"), memory_format("channels_last_3d")
strided, sparse_coo, sparse_csr = layout("strided"), layout("sparse_coo"), layout("sparse_csr")


class _State:
    """What was last set."""

    deterministic = True  # every operation here is; the switch is remembered for programs that read it
    warn_only = False
    precision = "highest"
    warn_always = False
    interop = 1


def get_num_threads() -> int:
    """How many threads BLAS uses in a product; 1 if it cannot be asked."""
    return blas_threads()


def set_num_threads(n: int) -> None:
    """Let BLAS use ``n`` threads in a product."""
    if not isinstance(n, int) or n < 1:
        raise ArgumentError(f"set_num_threads expects a positive integer, found {n!r}")
    set_blas_threads(n)


def get_num_interop_threads() -> int:
    """What ``set_num_interop_threads`` said; operations run one after another."""
    return _State.interop


def set_num_interop_threads(n: int) -> None:
    """Remembered; operations run one after another."""
    _State.interop = int(n)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Remembered; every operation is deterministic."""
    _State.deterministic, _State.warn_only = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What was last set."""
    return _State.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """What was last set."""
    return _State.warn_only


def set_deterministic_debug_mode(debug_mode: Any) -> None:
    """Remembered; every operation is deterministic."""
    _State.deterministic = debug_mode not in (0, "default")


def set_float32_matmul_precision(precision: str) -> None:
    """Remembered; products are always in full precision."""
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(f"precision must be one of highest, high, medium, found {precision!r}")
    _State.precision = precision


def get_float32_matmul_precision() -> str:
    """What was last set."""
    return _State.precision


def set_flush_denormal(mode: bool) -> bool:
    """False: it cannot be set from here."""
    return False


def set_warn_always(b: bool) -> None:
    """Remembered."""
    _State.warn_always = bool(b)


def is_warn_always_enabled() -> bool:
    """What was last set."""
    return _State.warn_always


def set_default_device(device: Any) -> None:
    """The CPU, or an error: there is nothing else."""
    if device is not None:
        _device(device)


def get_default_device() -> device:
    """The CPU."""
    return device("cpu")


_device = device


def set_default_tensor_type(t: Any) -> None:
    """The old ``set_default_dtype``: ``torch.DoubleTensor`` or its name."""
    kinds = {"FloatTensor": float32, "DoubleTensor": float64, "HalfTensor": float16}
    name = t.rpartition(".")[2] if isinstance(t, str) else getattr(t, "__name__", "")
    if name not in kinds or not (isinstance(t, str) or t in (FloatTensor, DoubleTensor, HalfTensor)):
        raise DtypeError(f"only floating-point types are supported as the default type, found {t!r}")
    set_default_dtype(kinds[name])


def is_storage(obj: Any) -> bool:
    """False: arrays are the storage."""
    return False


def typename(obj: Any) -> str:
    """The type's name as PyTorch writes it: ``torch.FloatTensor``."""
    if isinstance(obj, Variable):
        return obj.type()  # type: ignore[attr-defined]
    kind = obj if isinstance(obj, type) else type(obj)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def compile(
    model: Callable[..., Any] | None = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "inductor",
    mode: str | None = None, options: Any = None, disable: bool = False,
) -> Any:  # fmt: skip
    """``model`` itself, which runs as it stands; also as a decorator, with or without settings."""
    return (lambda function: function) if model is None else model


def get_autocast_dtype(device_type: str) -> Any:
    """float32: nothing is cast."""
    return float32


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """False."""
    return False


def _assert(condition: Any, message: str) -> None:
    """AssertionError unless the condition holds: PyTorch's traceable assert."""
    if not condition:
        raise AssertionError(message)


def detach(input: Any) -> Any:
    """A Tensor on the same memory that requires no grad."""
    return input.detach()


def is_same_size(input: Any, other: Any) -> bool:
    """Whether the shapes are equal."""
    return input.shape == other.shape


def is_nonzero(input: Any) -> bool:
    """Whether the only element is not zero."""
    return bool(input)


def get_device(input: Any) -> int:
    """-1, as for every CPU tensor."""
    return -1
