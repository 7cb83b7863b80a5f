"""``torch.types``: names for annotations."""

from __future__ import annotations

import os
from typing import IO, Any

from allgrad.dtypes import dtype
from allgrad.tensor import Tensor
from allgrad.tensor.size import Size, device

__all__ = ["Device", "FileLike", "Number", "Size", "Tensor", "device", "dtype"]

Number = int | float | bool
Device = device | str | int | None
FileLike = str | os.PathLike[str] | IO[Any]
