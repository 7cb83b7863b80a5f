"""Plain values between ranks: JSON for the tree, raw bytes for arrays and Tensors.  No pickle on the wire."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import Variable, wrap
from allgrad.distributed.collectives import _root
from allgrad.distributed.group import entered
from allgrad.errors import ArgumentError, DtypeError, MismatchError


def encode(value: Any) -> bytes:
    """A value of None, bool, int, float, str, bytes, list, tuple, set, dict, array, Tensor as bytes.

    DtypeError naming the place for anything else.
    """
    blobs: list[bytes] = []
    tree = _pack(value, blobs, "value")
    head = json.dumps({"tree": tree, "sizes": [len(b) for b in blobs]}, allow_nan=True).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(blobs)


def decode(raw: bytes) -> Any:
    """The value that ``encode`` made bytes of."""
    size = int.from_bytes(raw[:8], "little")
    if size > len(raw) - 8:
        raise MismatchError(f"an object message of {len(raw)} bytes says that its head has {size}")
    head = json.loads(raw[8 : 8 + size])
    blobs, start = [], 8 + size
    for n in head["sizes"]:
        blobs.append(raw[start : start + n])
        start += n
    return _unpack(head["tree"], blobs)


def _pack(x: Any, blobs: list[bytes], where: str) -> Any:
    if x is None or isinstance(x, (bool, str)) or type(x) in (int, float):
        return x
    if isinstance(x, (list, tuple, set, frozenset)):
        kind = "list" if isinstance(x, list) else "tuple" if isinstance(x, tuple) else "set"
        return {"": kind, "v": [_pack(v, blobs, f"{where}[{i}]") for i, v in enumerate(x)]}
    if isinstance(x, dict):
        pairs = [[_pack(k, blobs, f"{where} key"), _pack(v, blobs, f"{where}[{k!r}]")] for k, v in x.items()]
        return {"": "dict", "v": pairs}
    if isinstance(x, bytes):
        blobs.append(x)
        return {"": "bytes", "b": len(blobs) - 1}
    if isinstance(x, np.generic):
        x = np.asarray(x)
    if isinstance(x, (np.ndarray, Variable)):
        a = x._a if isinstance(x, Variable) else x
        if a.dtype.hasobject:
            raise DtypeError(f"{where}: an array of Python objects cannot be sent; send numbers")
        blobs.append(np.ascontiguousarray(a).tobytes())
        kind = "tensor" if isinstance(x, Variable) else "array"
        return {"": kind, "b": len(blobs) - 1, "dtype": a.dtype.name, "shape": list(a.shape)}
    raise DtypeError(
        f"{where} is a {type(x).__name__}, which cannot be sent between ranks; send numbers, texts, lists, dictionaries, "
        "arrays or Tensors (no pickle on the wire)"
    )


def _unpack(tree: Any, blobs: list[bytes]) -> Any:
    if not isinstance(tree, dict):
        return tree
    kind = tree[""]
    if kind == "dict":
        return {_unpack(k, blobs): _unpack(v, blobs) for k, v in tree["v"]}
    if kind in ("list", "tuple", "set"):
        return {"list": list, "tuple": tuple, "set": set}[kind](_unpack(v, blobs) for v in tree["v"])
    blob = blobs[tree["b"]]
    if kind == "bytes":
        return blob
    a = np.frombuffer(blob, np.dtype(tree["dtype"])).reshape(tree["shape"]).copy()
    return wrap(a) if kind == "tensor" else a


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Fill ``object_list`` (one place per rank) with the values of all ranks."""
    comm = entered(group, "all_gather_object").comm
    if len(object_list) != comm.size:
        raise ArgumentError(f"object_list needs {comm.size} places, one per rank, found {len(object_list)}")
    object_list[:] = [decode(raw) for raw in comm.all_gather_bytes(encode(obj), "all_gather_object")]


def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Any = None, device: Any = None, group_src: int | None = None
) -> None:
    """Replace the values in ``object_list`` by those of rank ``src`` (0); the same length everywhere."""
    g = entered(group, "broadcast_object_list")
    root = _root(g, 0 if src is None and group_src is None else src, group_src, "src")
    found = decode(
        g.comm.broadcast_bytes(encode(object_list) if g.comm.rank == root else None, root, "broadcast_object_list")
    )
    if len(found) != len(object_list):
        raise MismatchError(
            f"broadcast_object_list: rank {root} sent {len(found)} values, this rank has places for {len(object_list)}"
        )
    object_list[:] = found


def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Any = None,
    group_dst: int | None = None,
) -> None:  # fmt: skip
    """Fill ``object_gather_list`` on rank ``dst`` (0) with the values of all ranks; the others give None."""
    g = entered(group, "gather_object")
    root = _root(g, 0 if dst is None and group_dst is None else dst, group_dst, "dst")
    raw = g.comm.all_gather_bytes(encode(obj), "gather_object")
    if g.comm.rank == root:
        if object_gather_list is None or len(object_gather_list) != g.comm.size:
            raise ArgumentError(f"object_gather_list needs {g.comm.size} places on the destination rank")
        object_gather_list[:] = [decode(r) for r in raw]


def scatter_object_list(
    scatter_object_output_list: list[Any], scatter_object_input_list: Sequence[Any] | None = None, src: int | None = None,
    group: Any = None, group_src: int | None = None,
) -> None:  # fmt: skip
    """Put into the first place of the output list this rank's share of the list that rank ``src`` (0) gives."""
    g = entered(group, "scatter_object_list")
    if not scatter_object_output_list:
        raise ArgumentError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    root = _root(g, 0 if src is None and group_src is None else src, group_src, "src")
    payload = None
    if g.comm.rank == root:
        given = list(scatter_object_input_list or ())
        # A wrong list is an error on every rank, so it is sent like a right one and judged by all.
        payload = encode([encode(v) for v in given])
    parts = decode(g.comm.broadcast_bytes(payload, root, "scatter_object_list"))
    if len(parts) != g.comm.size:
        raise ArgumentError(f"scatter_object_input_list on rank {root} has {len(parts)} values, expected {g.comm.size}")
    scatter_object_output_list[0] = decode(parts[g.comm.rank])
