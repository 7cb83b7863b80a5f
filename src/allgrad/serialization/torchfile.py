"""PyTorch's ``.pt`` files: Tensors and containers out of the zip that ``torch.save`` writes, without running code."""

from __future__ import annotations

import io
import zipfile
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import ALL, to_dtype
from allgrad.dtypes import dtype as Dtype
from allgrad.errors import CheckpointError
from allgrad.nn.parameter import Buffer, Parameter
from allgrad.serialization.opcodes import Allowed, Reader, check_key
from allgrad.tensor import Size, device

Array = np.ndarray[Any, Any]
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

_STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64", "Int": "int32",
    "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
}  # fmt: skip


def read(raw: Any, source: str) -> Any:
    """The value in a file of ``torch.save``; CheckpointError for a damaged file and for all but plain data."""
    if bytes(raw[: len(LEGACY)]) == LEGACY:
        raise CheckpointError(
            f"{source} is in PyTorch's format of before version 1.6; in PyTorch: torch.save(torch.load(path), path)"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return _Archive(archive, len(raw), source).value()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, KeyError, OSError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{source} is damaged or was cut off: {error}") from error


class _Storage:
    """Memory that Tensors of a file share: bytes, and the dtype they were saved under (None: untyped)."""

    def __init__(self, raw: Array, kind: Dtype | None) -> None:
        self.raw = raw
        self.kind = kind


class _Archive:
    """One zip: its pickle and its storages."""

    def __init__(self, archive: zipfile.ZipFile, size: int, source: str) -> None:
        self._archive = archive
        self._source = source
        self._memory: dict[str, Array] = {}
        entries = archive.infolist()
        # Stored entries that together fit into the file cannot unpack to more than the file.
        if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 for e in entries):
            raise CheckpointError(f"{source} has compressed or encrypted entries, which torch.save does not write")
        if sum(e.file_size for e in entries) > size or len({e.filename for e in entries}) != len(entries):
            raise CheckpointError(f"{source} is damaged or unsafe: its entries overlap or stand twice")
        tops = [e.filename for e in entries if e.filename.endswith("/data.pkl") and e.filename.count("/") == 1]
        if len(tops) != 1:
            raise CheckpointError(f"{source} is a zip, but not one of torch.save: it has no data.pkl")
        self._top = tops[0].removesuffix("data.pkl")
        names = {e.filename for e in entries}
        if self._top + "constants.pkl" in names:
            raise CheckpointError(f"{source} is a TorchScript program, not a file of torch.save: save its state_dict()")
        if self._top + "byteorder" in names and archive.read(self._top + "byteorder") != b"little":
            raise CheckpointError(f"{source} was written on a big-endian machine; only little-endian files are read")

    def value(self) -> Any:
        """The value of the pickle."""
        raw = self._archive.read(self._top + "data.pkl")
        return Reader(raw, NAMES, self._storage, _put_state, self._source).load()

    def _storage(self, pid: Any) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[2], str)):
            raise CheckpointError(f"{self._source} is damaged: it refers to a memory that is not there")
        kind, key, numel = pid[1], pid[2], pid[4]
        if not isinstance(kind, _StorageKind):
            raise CheckpointError(f"{self._source} is damaged: {key!r} has no storage type")
        if key not in self._memory:
            self._memory[key] = np.frombuffer(bytearray(self._archive.read(f"{self._top}data/{key}")), np.uint8)
        raw = self._memory[key]
        if type(numel) is not int or numel < 0:
            raise CheckpointError(f"{self._source} is damaged: storage {key!r} has {numel!r} elements")
        wanted = numel * (kind.dtype.itemsize if kind.dtype is not None else 1)
        if wanted > len(raw):
            raise CheckpointError(f"{self._source} is damaged: storage {key!r} has {len(raw)} bytes, expected {wanted}")
        return _Storage(raw[:wanted], kind.dtype)


class _StorageKind:
    """A storage class of PyTorch's, by name: what its elements are."""

    def __init__(self, dtype: Dtype | None) -> None:
        self.dtype = dtype


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Any:
    return _strided(storage, storage.kind, offset, size, stride, requires_grad)


def _tensor_of(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Any:
    return _strided(storage, dtype, offset, size, stride, requires_grad)


def _strided(storage: Any, kind: Any, offset: Any, size: Any, stride: Any, requires_grad: Any) -> Any:
    if not isinstance(storage, _Storage) or not isinstance(kind, Dtype):
        raise CheckpointError("a Tensor of the file has no memory or no dtype")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or len(size) > 64 or any(type(n) is not int or not 0 <= n < 2**60 for n in numbers):
        raise CheckpointError(f"a Tensor of the file has size {size}, stride {stride}, offset {offset}: not possible")
    width = kind.itemsize
    flat = storage.raw[: len(storage.raw) // width * width].view(kind.np)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride))
    if 0 in size:
        array: Array = np.empty(size, kind.np)
    elif last >= len(flat):
        raise CheckpointError(
            f"a Tensor of the file reaches to element {last} of a memory of {len(flat)}; it is damaged"
        )
    else:
        array = np.lib.stride_tricks.as_strided(flat[offset:], size, tuple(s * width for s in stride))
    found = wrap(array)
    if requires_grad is True:
        found.requires_grad_()
    return found


def _parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Any:
    if not isinstance(data, Variable):
        raise CheckpointError("a Parameter of the file has no Tensor")
    return Parameter(data.detach(), requires_grad=bool(requires_grad))  # type: ignore[attr-defined]


def _buffer(data: Any, requires_grad: Any = False, persistent: Any = True) -> Any:
    if not isinstance(data, Variable):
        raise CheckpointError("a Buffer of the file has no Tensor")
    return Buffer(data, persistent=bool(persistent))


def _typed(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A Tensor with attributes of its own, which are left out."""
    if not isinstance(function, Allowed) or function.call not in (_tensor, _tensor_of, _parameter):
        raise CheckpointError("a Tensor of the file is made by what makes no Tensors")
    return function.call(*arguments)


def _encode(text: Any, coding: Any = "latin1") -> bytes:
    """How pickles of protocol 2 write bytes."""
    if not isinstance(text, str) or coding not in ("latin1", "latin-1"):
        raise CheckpointError("a pickle writes bytes in a way that is not plain")
    return text.encode("latin-1")


def _bytes(text: Any = b"", coding: Any = None) -> bytearray:
    return bytearray(text if isinstance(text, (bytes, bytearray)) else _encode(text, coding))


def _complex(real: float = 0.0, imaginary: float = 0.0) -> complex:
    return complex(float(real), float(imaginary))


def _size(lengths: Any = ()) -> Size:
    return Size(int(n) for n in lengths)


def _items(kind: Any) -> Any:
    """A constructor of a container that takes one container (dictionaries: also a list of pairs), never a number."""

    def make(*content: Any) -> Any:
        if len(content) > 1 or (content and not isinstance(content[0], (list, tuple, set, dict))):
            raise CheckpointError(f"a {kind.__name__} of the file is made of what is no container")
        if content and kind not in (list, tuple):
            for entry in content[0]:
                check_key(entry if isinstance(content[0], dict) or kind in (set, frozenset) else entry[0])
        return kind(*content)

    return make


def _default_dict(factory: Any = None, *content: Any) -> Any:
    """What it makes for missing keys is not taken over, for that would be a call."""
    return defaultdict(None, *content)


def _put_state(obj: Any, state: Any) -> None:
    """The one state that plain data have: the versions of modules on a state_dict.  Others are refused."""
    if type(obj) is not OrderedDict or not isinstance(state, dict) or not set(state) <= {"_metadata"}:
        raise CheckpointError(
            f"the file puts state on a {type(obj).__name__}, which is not plain data; nothing was run"
        )
    if isinstance(state.get("_metadata"), dict):
        obj._metadata = state["_metadata"]  # type: ignore[attr-defined]


def _names() -> dict[str, Allowed]:
    calls: dict[str, Any] = {
        "collections.OrderedDict": _items(OrderedDict),
        "collections.Counter": _items(Counter),
        "collections.defaultdict": _default_dict,
        "torch.Size": _size,
        "torch.device": device,
        "_codecs.encode": _encode,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_of,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch.nn.parameter.Buffer": _buffer,
        "torch._tensor._rebuild_from_type_v2": _typed,
    }
    for room in ("builtins", "__builtin__"):
        calls |= {f"{room}.set": _items(set), f"{room}.frozenset": _items(frozenset), f"{room}.list": _items(list)}
        calls |= {f"{room}.dict": _items(dict), f"{room}.bytearray": _bytes, f"{room}.complex": _complex}
        calls |= {f"{room}.tuple": _items(tuple)}
    names = {name: Allowed(name, call) for name, call in calls.items()}
    values: dict[str, Any] = {f"torch.{d.name}": d for d in ALL}
    values |= {f"torch.{name}Storage": _StorageKind(to_dtype(kind)) for name, kind in _STORAGES.items()}
    values["torch.storage.UntypedStorage"] = _StorageKind(None)
    names |= {name: Allowed(name, None, value) for name, value in values.items()}
    kinds = ("torch._tensor.Tensor", "torch.Tensor", "torch.nn.parameter.Parameter")
    return names | {name: Allowed(name, None, name) for name in kinds}


NAMES = _names()
