"""Methods that give the same numbers in another dtype."""

from __future__ import annotations

from typing import Any

from allgrad import dtypes as d
from allgrad.autograd.record import Variable
from allgrad.errors import UnsupportedError
from allgrad.functions import casts as c
from allgrad.functions.promote import to as cast_to


class CastMethods(Variable):
    """``x.to(...)``, ``x.float()``, ``x.long()`` and their kin."""

    to = c.convert
    type = c.type_

    def float(self, memory_format: Any = None) -> Any:
        """As float32."""
        return cast_to(self, d.float32)

    def double(self, memory_format: Any = None) -> Any:
        """As float64."""
        return cast_to(self, d.float64)

    def half(self, memory_format: Any = None) -> Any:
        """As float16."""
        return cast_to(self, d.float16)

    def bfloat16(self, memory_format: Any = None) -> Any:
        """As bfloat16; needs the package ml_dtypes."""
        return cast_to(self, d.bfloat16)

    def long(self, memory_format: Any = None) -> Any:
        """As int64."""
        return cast_to(self, d.int64)

    def int(self, memory_format: Any = None) -> Any:
        """As int32."""
        return cast_to(self, d.int32)

    def short(self, memory_format: Any = None) -> Any:
        """As int16."""
        return cast_to(self, d.int16)

    def char(self, memory_format: Any = None) -> Any:
        """As int8."""
        return cast_to(self, d.int8)

    def byte(self, memory_format: Any = None) -> Any:
        """As uint8."""
        return cast_to(self, d.uint8)

    def bool(self, memory_format: Any = None) -> Any:
        """As bool: whether not zero."""
        return cast_to(self, d.bool_)

    def cuda(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Any:
        """An error: there is no GPU here."""
        raise UnsupportedError("Tensor.cuda(): allgrad runs on the CPU only; leave the call out, or use .to('cpu')")
