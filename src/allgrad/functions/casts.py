"""From one dtype to another, and what dtypes have to say of Tensors."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.dtypes import dtype as Dtype
from allgrad.dtypes import from_np, to_dtype
from allgrad.errors import ArgumentError, DtypeError
from allgrad.functions.promote import result_dtype, to
from allgrad.ops.arithmetic import clone

_CLASSES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
    "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool", "uint16": "UInt16",
    "uint32": "UInt32", "uint64": "UInt64",
}  # fmt: skip
_ACCELERATORS = ("cuda", "mps", "xpu", "hip", "xla", "mtia", "hpu")


def _check_device(where: Any) -> None:
    name = str(getattr(where, "type", where)).partition(":")[0]
    if name == "cpu":
        return
    if name in _ACCELERATORS or isinstance(where, int):
        raise ArgumentError(f"cannot move to {str(where)!r}: allgrad runs on the CPU only; use 'cpu'")
    raise ArgumentError(f"Expected one of cpu device type at start of device string: {name}")


def convert(
    self: Any,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    other: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Any:
    """``to(dtype)``, ``to(device, dtype)``, ``to(other)``: self itself if nothing changes and no copy is asked for."""
    given = list(args)
    if given and given[0] is None:
        given.pop(0)
    if given:
        first = given.pop(0)
        if isinstance(first, Variable):
            other = first
        elif isinstance(first, Dtype) or first in (float, int, bool):
            dtype = first
        elif isinstance(first, (str, int)) or hasattr(first, "type"):
            device = first
            if given and (given[0] is None or isinstance(given[0], Dtype) or given[0] in (float, int)):
                dtype = given.pop(0)
        else:
            dtype = to_dtype(first)
        if given:
            given.pop(0)  # non_blocking: every copy here is done when it returns
        if given:
            copy = given.pop(0)
    if device is not None:
        _check_device(device)
    wanted = from_np((self if other is None else other)._a.dtype) if dtype is None else to_dtype(dtype)
    result = to(self, wanted)
    return apply(clone, (self,), {}) if copy and result is self else result


def type_(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name ``torch.FloatTensor`` of its kind, or itself as another: a dtype or such a name."""
    if dtype is None:
        return f"torch.{_CLASSES[from_np(self._a.dtype).name]}Tensor"
    if isinstance(dtype, str) and dtype.endswith("Tensor"):
        name = dtype.removeprefix("torch.").removesuffix("Tensor")
        found = [d for d, c in _CLASSES.items() if c == name]
        if not found:
            raise ArgumentError(f"invalid type: {dtype!r}; known: torch.FloatTensor, torch.LongTensor, ...")
        dtype = found[0]
    kind = getattr(dtype, "kind", None)  # of the class FloatTensor itself
    return to(self, kind if isinstance(kind, Dtype) else to_dtype(dtype))


def result_type(tensor1: Any, tensor2: Any) -> Dtype:
    """The dtype that an operation on both would have."""
    return result_dtype(tensor1, tensor2)


def can_cast(from_: Dtype, to: Dtype) -> bool:
    """Whether PyTorch would write ``from_`` into a result of ``to``: never from a higher kind to a lower one."""
    for d in (from_, to):
        if not isinstance(d, Dtype):
            raise DtypeError(f"can_cast() takes two dtypes, found {type(d).__name__}")
    return from_.category <= to.category


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Variable)


def is_floating_point(input: Any) -> bool:
    """Whether the dtype is a floating one."""
    return from_np(input._a.dtype).is_floating_point


def is_complex(input: Any) -> bool:
    """False: there are no complex dtypes."""
    return False
