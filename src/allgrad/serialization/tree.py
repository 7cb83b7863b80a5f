"""Nested Python values as a JSON tree and a table of arrays, and back.  Nothing in it can run code."""

from __future__ import annotations

import base64
import math
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.dtypes import dtype as Dtype
from allgrad.dtypes import to_dtype
from allgrad.errors import CheckpointError, DtypeError
from allgrad.nn.parameter import Buffer, Parameter
from allgrad.tensor import Size, device

Array = np.ndarray[Any, Any]
KIND = "§"  # the key that marks a tree node which is not plain JSON
MAX_DEPTH = 200


class Packer:
    """Takes a value apart.  Memory that several Tensors share is stored once, and shared again after loading."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._known: dict[tuple[Any, ...], str] = {}
        self._alive: list[Any] = []  # keeps addresses from being used twice

    def tree(self, x: Any, where: str = "value", depth: int = 0) -> Any:
        """The JSON tree of ``x``; DtypeError naming the place of what cannot be saved."""
        if depth > MAX_DEPTH:
            raise DtypeError(f"{where}: nested more than {MAX_DEPTH} deep, or within itself")
        if x is None or isinstance(x, (bool, str)) or type(x) is int:
            return x
        if isinstance(x, float) and not isinstance(x, np.generic):
            return x if math.isfinite(x) else {KIND: "float", "v": repr(x)}
        if isinstance(x, Variable):
            return self._tensor(x, where)
        if isinstance(x, np.ndarray):
            return {KIND: "array", "key": self._array(x, where)}
        if isinstance(x, np.generic):
            return {KIND: "scalar", "key": self._array(np.asarray(x), where)}
        if isinstance(x, dict):
            return self._dict(x, where, depth)
        if isinstance(x, (Size, list, tuple, set, frozenset)):
            return self._sequence(x, where, depth)
        if isinstance(x, (bytes, bytearray)):
            return {KIND: "bytes", "v": base64.b64encode(bytes(x)).decode()}
        if isinstance(x, Dtype):
            return {KIND: "dtype", "v": x.name}
        if isinstance(x, device):
            return {KIND: "device", "v": str(x)}
        if isinstance(x, complex):
            return {KIND: "complex", "v": [repr(x.real), repr(x.imag)]}
        raise DtypeError(
            f"{where} is a {type(x).__module__}.{type(x).__qualname__}, which cannot be saved without running code on "
            "loading; save numbers, texts, containers, arrays and Tensors, for a module its state_dict()"
        )

    def _tensor(self, x: Any, where: str) -> Any:
        kind = "parameter" if isinstance(x, Parameter) else "buffer" if isinstance(x, Buffer) else "tensor"
        node: dict[str, Any] = {KIND: kind, "key": self._array(x._a, where)}
        if x.requires_grad and kind != "buffer":
            node["grad"] = True
        return node

    def _array(self, a: Array, where: str) -> str:
        if a.dtype.hasobject or a.dtype.kind in "SUmMc":
            raise DtypeError(f"{where}: an array of {a.dtype} cannot be saved; only numbers and bools")
        identity = (a.__array_interface__["data"][0], a.shape, a.strides, a.dtype.str)
        if a.size and identity in self._known:
            return self._known[identity]
        key = where if where not in self.arrays else f"{where}#{len(self.arrays)}"
        self.arrays[key] = a
        self._known[identity] = key
        self._alive.append(a)
        return key

    def _dict(self, x: dict[Any, Any], where: str, depth: int) -> Any:
        kind = "odict" if isinstance(x, OrderedDict) else "dict"
        if type(x) is dict and all(type(k) is str for k in x) and KIND not in x:
            return {k: self.tree(v, f"{where}.{k}", depth + 1) for k, v in x.items()}
        if type(x) not in (dict, OrderedDict, defaultdict):
            raise DtypeError(f"{where} is a {type(x).__qualname__}; convert it to a plain dict first")
        pairs = [
            [self.tree(k, f"{where} key", depth + 1), self.tree(v, f"{where}.{k}", depth + 1)] for k, v in x.items()
        ]
        return {KIND: kind, "v": pairs}

    def _sequence(self, x: Any, where: str, depth: int) -> Any:
        items = [self.tree(v, f"{where}.{i}", depth + 1) for i, v in enumerate(x)]
        if type(x) is list:
            return items
        if isinstance(x, Size):
            return {KIND: "size", "v": items}
        for kind, name in ((tuple, "tuple"), (set, "set"), (frozenset, "frozenset")):
            if type(x) is kind:
                return {KIND: name, "v": items}
        raise DtypeError(f"{where} is a {type(x).__qualname__}; convert it to a plain tuple or list first")


class Unpacker:
    """Puts a value together again from a tree and a table of arrays."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays
        self._tensors: dict[tuple[str, str], Any] = {}

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
        try:
            return self._special(kind, tree, depth)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the saved tree has a malformed node of kind {kind!r}: {error}") from error

    def _special(self, kind: Any, tree: dict[str, Any], depth: int) -> Any:
        if kind in ("tensor", "parameter", "buffer"):
            return self._tensor(kind, tree["key"], bool(tree.get("grad")))
        if kind == "array":
            return self._arrays[tree["key"]]
        if kind == "scalar":
            return self._arrays[tree["key"]][()]
        if kind in ("tuple", "set", "frozenset", "size"):
            made = {"tuple": tuple, "set": set, "frozenset": frozenset, "size": Size}[kind]
            return made(self.value(v, depth + 1) for v in tree["v"])
        if kind in ("dict", "odict"):
            pairs = [(self.value(k, depth + 1), self.value(v, depth + 1)) for k, v in tree["v"]]
            return OrderedDict(pairs) if kind == "odict" else dict(pairs)
        if kind == "float":
            return float(tree["v"])
        if kind == "complex":
            return complex(float(tree["v"][0]), float(tree["v"][1]))
        if kind == "bytes":
            return base64.b64decode(tree["v"], validate=True)
        if kind == "dtype":
            return to_dtype(tree["v"])
        if kind == "device":
            return device(tree["v"])
        raise CheckpointError(f"the saved tree has a node of unknown kind {kind!r}; it was written by a newer allgrad")

    def _tensor(self, kind: str, key: str, grad: bool) -> Any:
        found = self._tensors.get((kind, key))
        if found is None:
            array = self._arrays[key]
            if kind == "parameter":
                found = Parameter(wrap(array), requires_grad=grad)
            elif kind == "buffer":
                found = Buffer(wrap(array))
            else:
                found = wrap(array)
                if grad:
                    found.requires_grad_()
            self._tensors[kind, key] = found
        return found
