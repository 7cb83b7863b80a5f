"""Summaries: what one event says, as the bytes of the field ``summary`` of TensorBoard's ``Event`` message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from allgrad.errors import ArgumentError, DtypeError
from allgrad.utils.tensorboard import images, wire

_FLOAT, _DOUBLE, _STRING = 1, 2, 7  # TensorFlow's DataType
_HPARAM_STRING, _HPARAM_BOOL, _HPARAM_NUMBER = 1, 2, 3  # the hparams plugin's DataType


def number(value: Any) -> float:
    """A float from a number or from anything of one element with ``.item()`` or ``__array__``."""
    try:
        if not hasattr(value, "item") and hasattr(value, "__array__"):
            value = np.asarray(value)
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(f"a scalar is a number or holds one element, found {value!r:.80} ({error})") from error


def array(values: Any) -> np.ndarray:
    """An array from a tensor, also one that requires grad, or from anything NumPy takes."""
    return np.asarray(values.detach() if hasattr(values, "detach") else values)


def _value(tag: str, *fields: bytes) -> bytes:
    """Summary { value { tag ... } } as field 5 of an Event."""
    return wire.block(5, wire.block(1, wire.block(1, tag), *fields))


def _metadata(plugin: str, content: bytes = b"") -> bytes:
    return wire.block(9, wire.block(1, wire.block(1, plugin), wire.block(2, content) if content else b""))


def scalar(tag: str, value: Any, new_style: bool = False, double_precision: bool = False) -> bytes:
    """One number; ``new_style`` is how TensorFlow 2 writes it, and knows float64."""
    x = number(value)
    if not new_style:
        return _value(tag, wire.single(2, x))
    tensor = wire.integer(1, _DOUBLE) + wire.doubles(6, [x]) if double_precision else _float_tensor(x)
    return _value(tag, wire.block(8, tensor), _metadata("scalars"))


def _float_tensor(x: float) -> bytes:
    return wire.integer(1, _FLOAT) + wire.block(5, np.float32(x).tobytes())


def _default_edges() -> np.ndarray:
    """TensorFlow's buckets: 1e-12 to 1e20 in steps of 10 %, on both sides of zero."""
    positive = [1e-12]
    while positive[-1] * 1.1 < 1e20:
        positive.append(positive[-1] * 1.1)
    return np.array([*(-x for x in reversed(positive)), 0.0, *positive])


def histogram(tag: str, values: Any, bins: str | int | Sequence[float], max_bins: int | None) -> bytes:
    """The distribution of all elements; ``bins`` is ``"tensorflow"`` or what ``numpy.histogram`` takes.

    NaN and what lies outside the bins is counted in num and sum only.
    """
    flat = array(values).astype(np.float64).reshape(-1)
    if not flat.size:
        raise ArgumentError(f"histogram {tag!r}: the input has no element")
    edges = _default_edges() if isinstance(bins, str) and bins == "tensorflow" else bins
    counts, limits = np.histogram(flat, bins=edges)
    if max_bins is not None and len(counts) > max_bins:
        starts = np.arange(0, len(counts), -(-len(counts) // max_bins))
        counts = np.add.reduceat(counts, starts)
        limits = np.append(limits[starts], limits[-1])
    filled = np.flatnonzero(counts)
    first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, 0)
    # A limit is the upper end of its bucket, so the first bucket, empty, says where the second begins.
    limits = limits[first : last + 2]
    buckets = [0, *counts[first : last + 1].tolist()]
    heads = (flat.min(), flat.max(), flat.size, flat.sum(), flat @ flat)
    fields = [wire.double(i, float(x)) for i, x in enumerate(heads, start=1)]
    return _value(tag, wire.block(5, *fields, wire.doubles(6, limits.tolist()), wire.doubles(7, buckets)))


def image(tag: str, values: Any, dataformats: str) -> bytes:
    """A picture, or a grid of them where the data formats name N."""
    pixels = images.to_rgb(array(values), dataformats)
    height, width, channels = pixels.shape
    fields = [wire.integer(i, n) for i, n in enumerate((height, width, channels), start=1)]
    return _value(tag, wire.block(4, *fields, wire.block(4, images.png(pixels))))


def text(tag: str, content: str) -> bytes:
    """Markdown."""
    if not isinstance(content, str):
        raise DtypeError(f"add_text takes a string, found {type(content).__name__}; try str(...)")
    shape = wire.block(2, wire.block(2, wire.integer(1, 1)))  # one dimension of size 1
    tensor = wire.integer(1, _STRING) + shape + wire.block(8, content)
    return _value(f"{tag}/text_summary", wire.block(8, tensor), _metadata("text"))


def hparams(
    values: Mapping[str, Any], metrics: Mapping[str, Any], domains: Mapping[str, Sequence[Any]]
) -> tuple[bytes, bytes, bytes]:
    """What describes a run's settings: the experiment, the start and the end of its session."""
    infos, start = [], []
    for name, value in values.items():
        kind, wrapped = _setting(name, value)
        domain = b""
        if name in domains:
            options = [wire.block(1, _setting(name, option)[1]) for option in domains[name]]
            domain = wire.block(5, *options)
        infos.append(wire.block(4, wire.block(1, name), wire.integer(4, kind), domain))
        start.append(wire.block(1, wire.block(1, name), wire.block(2, wrapped)))
    wanted = [wire.block(5, wire.block(1, wire.block(2, name))) for name in metrics]
    success = wire.integer(1, 1)
    return (
        _value("_hparams_/experiment", _metadata("hparams", wire.block(2, *infos, *wanted))),
        _value("_hparams_/session_start_info", _metadata("hparams", wire.block(3, *start))),
        _value("_hparams_/session_end_info", _metadata("hparams", wire.block(4, success))),
    )


def _setting(name: str, value: Any) -> tuple[int, bytes]:
    """The hparams type of a setting and its google.protobuf.Value."""
    if isinstance(value, str):
        return _HPARAM_STRING, wire.block(3, value)
    if isinstance(value, (bool, np.bool_)):
        return _HPARAM_BOOL, wire.integer(4, bool(value))
    if isinstance(value, (int, float)) or hasattr(value, "item"):
        return _HPARAM_NUMBER, wire.double(2, number(value))
    raise DtypeError(f"hparam {name!r} must be a number, bool or string, found {type(value).__name__}; try str(...)")
