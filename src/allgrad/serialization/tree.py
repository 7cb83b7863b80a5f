"""Nested Python values as a JSON tree and a table of arrays, and back.  Nothing in it can run code."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import dtype as Dtype
from allgrad.dtypes import to_dtype
from allgrad.errors import AllgradError, CheckpointError, DtypeError
from allgrad.nn.parameter import Buffer, Parameter, is_lazy
from allgrad.serialization import whole
from allgrad.tensor import Size, device

Array = np.ndarray[Any, Any]
KIND = "§"  # the key that marks a tree node which is not plain JSON
MAX_DEPTH = 100
LONG_INT = 4000  # bits; JSON readers refuse integers of thousands of digits
RESERVED = "__metadata__"  # safetensors' own entry of the header


class Packer:
    """Takes a value apart.  Tensors on the same elements of memory are stored once, and share them again after loading.

    Tensors that overlap otherwise (a slice and its whole) become independent.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._known: dict[tuple[Any, ...], str] = {}
        self._alive: list[Any] = []  # keeps addresses from being used twice

    def tree(self, x: Any, where: str = "", depth: int = 0) -> Any:
        """The JSON tree of ``x``, which lies at the dotted path ``where``; DtypeError naming what cannot be saved."""
        if depth > MAX_DEPTH:
            raise DtypeError(f"{where[:80]}…: nested more than {MAX_DEPTH} deep, or within itself")
        if x is None or type(x) in (bool, str):
            return x
        if type(x) is int:
            return x if x.bit_length() <= LONG_INT else {KIND: "int", "v": hex(x)}
        if type(x) is float:
            return x if math.isfinite(x) else {KIND: "float", "v": repr(x)}
        if isinstance(x, Variable) and not is_lazy(x):
            return self._tensor(x, where)
        if type(x) is np.ndarray and x.dtype.kind in "biufV":
            return {KIND: "array", "key": self._array(x, where)}
        if isinstance(x, np.generic) and x.dtype.kind in "biufV":
            return {KIND: "scalar", "key": self._array(np.asarray(x), where)}
        if type(x) in (dict, OrderedDict, defaultdict, Counter):
            return self._dict(x, where, depth)
        if type(x) in (Size, list, tuple, set, frozenset):
            return self._sequence(x, where, depth)
        if type(x) in (bytes, bytearray):
            return {KIND: type(x).__name__, "v": base64.b64encode(x).decode()}
        if isinstance(x, Dtype):
            return {KIND: "dtype", "v": x.name}
        if isinstance(x, device):
            return {KIND: "device", "v": str(x)}
        if type(x) is complex:
            return {KIND: "complex", "v": [repr(x.real), repr(x.imag)]}
        name = f"{type(x).__module__}.{type(x).__qualname__}"
        pickled = whole.dump(
            x, name, where or "the value", lambda t: json.dumps(self._tensor(t, _join(where, "tensor")))
        )
        return {KIND: "object", "type": name, "at": where, "v": base64.b64encode(pickled).decode()}

    def _tensor(self, x: Any, where: str) -> Any:
        kind = "parameter" if isinstance(x, Parameter) else "buffer" if isinstance(x, Buffer) else "tensor"
        node: dict[str, Any] = {KIND: kind, "key": self._array(x._a, where)}
        if x.requires_grad and kind != "buffer":
            node["grad"] = True
        if kind == "buffer" and not x.persistent:
            node["passing"] = True
        return node

    def _array(self, a: Array, where: str) -> str:
        identity = (a.__array_interface__["data"][0], a.shape, a.strides, a.dtype.str)
        if a.size and identity in self._known:
            return self._known[identity]
        key = first = where or "value"
        while key in self.arrays or key == RESERVED:
            key = f"{first}#{len(self.arrays)}" if key == first else key + "'"
        self.arrays[key] = a
        self._known[identity] = key
        self._alive.append(a)
        return key

    def _dict(self, x: dict[Any, Any], where: str, depth: int) -> Any:
        if type(x) is dict and all(type(k) is str for k in x) and KIND not in x:
            return {k: self.tree(v, _join(where, k), depth + 1) for k, v in x.items()}
        kind = {OrderedDict: "odict", Counter: "counter"}.get(type(x), "dict")
        pairs = [
            [self.tree(k, _join(where, "key"), depth + 1), self.tree(v, _join(where, k), depth + 1)]
            for k, v in x.items()
        ]
        node = {KIND: kind, "v": pairs}
        if kind == "odict" and hasattr(x, "_metadata"):  # the versions of its modules, on a state_dict
            node["metadata"] = self.tree(x._metadata, _join(where, "_metadata"), depth + 1)
        return node

    def _sequence(self, x: Any, where: str, depth: int) -> Any:
        items = [self.tree(v, _join(where, i), depth + 1) for i, v in enumerate(x)]
        return items if type(x) is list else {KIND: type(x).__name__.lower(), "v": items}


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


class Unpacker:
    """Puts a value together again from a tree and a table of arrays.  ``trusted``: pickled objects too."""

    def __init__(self, arrays: dict[str, Array], trusted: bool = False) -> None:
        self._arrays = arrays
        self._tensors: dict[tuple[Any, ...], Any] = {}
        self._trusted = trusted

    def tensors(self) -> dict[str, Any]:
        """All arrays as Tensors by name: the content of another program's safetensors file."""
        return {name: wrap(a) for name, a in self._arrays.items()}

    def value(self, tree: Any, depth: int = 0) -> Any:
        """The value of a tree; CheckpointError for a tree that ``Packer`` cannot have made."""
        if depth > 2 * MAX_DEPTH:
            raise CheckpointError(f"the saved tree is nested more than {MAX_DEPTH} deep")
        if isinstance(tree, list):
            return [self.value(v, depth + 1) for v in tree]
        if not isinstance(tree, dict):
            return tree
        if KIND not in tree:
            return {k: self.value(v, depth + 1) for k, v in tree.items()}
        kind = tree[KIND]
        if kind == "object":
            return self._object(tree)
        try:
            return self._special(kind, tree, depth)
        except CheckpointError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, AllgradError) as error:
            raise CheckpointError(f"the saved tree has a malformed node of kind {kind!r}: {error!r}") from error

    def _special(self, kind: Any, tree: dict[str, Any], depth: int) -> Any:
        if kind in ("tensor", "parameter", "buffer"):
            return self._tensor(kind, tree)
        if kind == "array":
            return self._arrays[tree["key"]]
        if kind == "scalar":
            return self._arrays[tree["key"]][()]
        value = tree["v"]
        if kind in ("tuple", "set", "frozenset", "size"):
            made = {"tuple": tuple, "set": set, "frozenset": frozenset, "size": Size}[kind]
            return made([self.value(v, depth + 1) for v in value])
        if kind in ("dict", "odict", "counter"):
            pairs = [(self.value(k, depth + 1), self.value(v, depth + 1)) for k, v in value]
            found = {"dict": dict, "odict": OrderedDict, "counter": dict}[kind](pairs)
            if "metadata" in tree:
                found._metadata = self.value(tree["metadata"], depth + 1)  # type: ignore[attr-defined]
            return Counter(found) if kind == "counter" else found
        if kind == "int":
            return int(value, 16)
        if kind == "float":
            return float(value)
        if kind == "complex":
            return complex(float(value[0]), float(value[1]))
        if kind in ("bytes", "bytearray"):
            raw = base64.b64decode(value, validate=True)
            return raw if kind == "bytes" else bytearray(raw)
        if kind == "dtype":
            return to_dtype(value)
        if kind == "device":
            return device(value)
        raise CheckpointError(f"the saved tree has a node of unknown kind {kind!r}; it was written by a newer allgrad")

    def _object(self, tree: dict[str, Any]) -> Any:
        name, where = tree.get("type"), tree.get("at") or "the value"
        if not self._trusted:
            raise CheckpointError(
                f"Weights only load failed: {where} is a pickled {name}, and reading a pickle can run any code.  If you "
                "trust who wrote the file: load(..., weights_only=False).  Better save the state_dict()"
            )
        raw = base64.b64decode(tree["v"], validate=True)
        return whole.restore(raw, f"{where} ({name})", lambda node: self.value(json.loads(node)))

    def _tensor(self, kind: str, tree: dict[str, Any]) -> Any:
        key, grad = tree["key"], bool(tree.get("grad"))
        found = self._tensors.get((kind, key, grad))
        if found is None:
            array = self._arrays[key]
            if kind == "parameter":
                found = Parameter(wrap(array), requires_grad=grad)
            elif kind == "buffer":
                found = Buffer(wrap(array), persistent=not tree.get("passing"))
            else:
                found = wrap(array)
                if grad:
                    found.requires_grad_()
            self._tensors[kind, key, grad] = found
        return found
