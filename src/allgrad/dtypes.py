"""Dtypes: PyTorch's names for NumPy's types, and PyTorch's promotion between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from allgrad.errors import DtypeError, MissingPackageError

__all__ = [
    "bfloat16",
    "bool_",
    "dtype",
    "finfo",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "iinfo",
    "int8",
    "int16",
    "int32",
    "int64",
    "promote_types",
    "result_category",
    "set_default_dtype",
    "to_dtype",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]


class dtype:
    """One element type, such as ``allgrad.float32``.  Prints as in PyTorch: ``torch.float32``."""

    __slots__ = ("_np", "category", "is_floating_point", "name")

    is_complex = False

    def __init__(self, name: str, np_dtype: Any, category: int) -> None:
        self.name = name
        self._np = None if np_dtype is None else np.dtype(np_dtype)
        self.category = category  # 0 bool, 1 integer, 2 floating
        self.is_floating_point = category == 2

    @property
    def np(self) -> np.dtype[Any]:
        """The NumPy dtype of the same elements."""
        if self._np is None:
            self._np = _ml_bfloat16()
        return self._np

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return 2 if self._np is None else self._np.itemsize

    @property
    def is_signed(self) -> bool:
        """Whether negative values exist."""
        return self.category == 2 or self.name.startswith("int")

    def to_real(self) -> dtype:
        """The real dtype of the same width: itself, for there are no complex dtypes."""
        return self

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name


def _ml_bfloat16() -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ImportError:
        raise MissingPackageError("bfloat16 needs the package ml_dtypes; try: pip install ml_dtypes") from None
    found = np.dtype(ml_dtypes.bfloat16)
    _FROM_NP[found] = bfloat16
    return found


bool_ = dtype("bool", np.bool_, 0)
uint8 = dtype("uint8", np.uint8, 1)
uint16 = dtype("uint16", np.uint16, 1)
uint32 = dtype("uint32", np.uint32, 1)
uint64 = dtype("uint64", np.uint64, 1)
int8 = dtype("int8", np.int8, 1)
int16 = dtype("int16", np.int16, 1)
int32 = dtype("int32", np.int32, 1)
int64 = dtype("int64", np.int64, 1)
float16 = dtype("float16", np.float16, 2)
bfloat16 = dtype("bfloat16", None, 2)
float32 = dtype("float32", np.float32, 2)
float64 = dtype("float64", np.float64, 2)

ALL = (bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64, float16, bfloat16, float32, float64)
_FROM_NP: dict[np.dtype[Any], dtype] = {d._np: d for d in ALL if d._np is not None}
_BY_NAME = {d.name: d for d in ALL} | {
    "float": float32,
    "double": float64,
    "half": float16,
    "long": int64,
    "int": int32,
}
_PYTHON = {bool: bool_, int: int64, float: float64}
_default = float32


def get_default_dtype() -> dtype:
    """The floating dtype that Python floats become: float32 unless changed."""
    return _default


def set_default_dtype(d: dtype, /) -> None:
    """Set the floating dtype that Python floats become; only floating dtypes are taken."""
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise DtypeError(f"only floating-point types are supported as the default type, not {d!r}")
    _default = d


def from_np(np_dtype: np.dtype[Any]) -> dtype:
    """The dtype of a NumPy array: ``from_np(a.dtype)``; DtypeError for strings, objects, complex."""
    found = _FROM_NP.get(np_dtype)
    if found is None:
        found = _FROM_NP.get(np_dtype.newbyteorder("="))
    if found is None and np_dtype.name == "bfloat16":
        _ml_bfloat16()
        found = bfloat16
    if found is None:
        names = ", ".join(d.name for d in ALL)
        raise DtypeError(f"can't use NumPy dtype {np_dtype}: the supported dtypes are {names}")
    return found


def to_dtype(what: Any) -> dtype:
    """A dtype from a dtype, a name (``"float32"``), a Python type or a NumPy dtype."""
    if isinstance(what, dtype):
        return what
    if isinstance(what, str):
        found = _BY_NAME.get(what.removeprefix("torch."))
        if found is not None:
            return found
    if what in _PYTHON:
        return _PYTHON[what]
    try:
        return from_np(np.dtype(what))
    except TypeError:
        raise DtypeError(f"not a dtype: {what!r}; try allgrad.float32") from None


def _promotion_table() -> dict[tuple[dtype, dtype], dtype]:
    order = [bool_, uint8, int8, int16, int32, int64]
    table: dict[tuple[dtype, dtype], dtype] = {}
    for a in ALL:
        for b in ALL:
            if a is b:
                out = a
            elif a.category != b.category:
                out = max(a, b, key=lambda d: d.category)
            elif a.category == 2:
                out = float32 if {a, b} == {float16, bfloat16} else max(a, b, key=lambda d: d.itemsize)
            elif a in order and b in order:
                out = int16 if {a, b} == {uint8, int8} else max(a, b, key=order.index)
            else:  # uint16, uint32, uint64 with another integer: PyTorch promotes to the wider, signed wins ties
                out = max(a, b, key=lambda d: (d.itemsize, d.is_signed))
            table[a, b] = out
    return table


_PROMOTED = _promotion_table()


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that both fit into by PyTorch's rules: (int64, float16) -> float16."""
    return _PROMOTED[type1, type2]


def result_category(value: Any) -> int:
    """0, 1 or 2 for a Python bool, int or float."""
    return 0 if isinstance(value, bool) else 1 if isinstance(value, int) else 2


class finfo:
    """Limits of a floating dtype: ``bits eps max min tiny smallest_normal resolution dtype``."""

    def __init__(self, type: dtype | None = None) -> None:
        d = _default if type is None else type
        if not isinstance(d, dtype) or not d.is_floating_point:
            raise DtypeError(f"torch.finfo() requires a floating point input type, found {d!r}; use torch.iinfo")
        self.bits = d.itemsize * 8
        self.dtype = d.name
        info: Any = np.finfo(d.np) if d is not bfloat16 else _ml_finfo()
        self.eps = float(info.eps)
        self.max = float(info.max)
        self.min = float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(info.resolution)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


def _ml_finfo() -> Any:
    import ml_dtypes

    return ml_dtypes.finfo(bfloat16.np)


class iinfo:
    """Limits of an integer dtype: ``bits max min dtype``."""

    def __init__(self, type: dtype) -> None:
        if not isinstance(type, dtype) or type.category != 1:
            raise DtypeError(f"torch.iinfo() requires an integer input type, found {type!r}; use torch.finfo")
        info = np.iinfo(type.np)
        self.bits, self.max, self.min, self.dtype = info.bits, int(info.max), int(info.min), type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"
