"""Arrays as PNG pictures (ISO/IEC 15948), without an imaging package."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from allgrad.errors import ArgumentError, ShapeError

_COLUMNS = 8  # pictures in a row where a batch is shown


def to_rgb(values: Any, dataformats: str) -> np.ndarray:
    """Any of HW, CHW, HWC, NCHW, NHWC (any order of the letters) -> (height, width, 3 or 4) uint8.

    Floats are taken as 0 to 1 and clipped, uint8 as it is; a batch becomes a grid of up to eight columns.
    """
    a = np.asarray(values)
    letters = dataformats.upper()
    if sorted(letters) not in (sorted("HW"), sorted("CHW"), sorted("NCHW")):
        raise ArgumentError(f"dataformats must be made of H, W and perhaps C and N, once each; found {dataformats!r}")
    if a.ndim != len(letters):
        raise ShapeError(f"an image with dataformats={dataformats!r} has {len(letters)} dimensions, found {a.shape}")
    if "C" not in letters:
        a, letters = a[..., None], letters + "C"
    if "N" not in letters:
        a, letters = a[None], "N" + letters
    a = a.transpose([letters.index(c) for c in "NHWC"])
    if a.shape[3] not in (1, 3, 4) or a.size == 0:
        raise ShapeError(f"an image has 1, 3 or 4 channels and is not empty, found {np.shape(values)} as {dataformats}")
    if a.dtype != np.uint8:
        a = (np.nan_to_num(a.astype(np.float32)) * 255.0).clip(0, 255).astype(np.uint8)
    if a.shape[3] == 1:
        a = np.repeat(a, 3, axis=3)
    return _grid(a)


def _grid(a: np.ndarray) -> np.ndarray:
    """(n, h, w, c) -> (rows h, columns w, c), black where the last row is not full."""
    n, h, w, c = a.shape
    columns = min(n, _COLUMNS)
    rows = -(-n // columns)
    full = np.zeros((rows * columns, h, w, c), np.uint8)
    full[:n] = a
    return full.reshape(rows, columns, h, w, c).swapaxes(1, 2).reshape(rows * h, columns * w, c)


def png(pixels: np.ndarray) -> bytes:
    """(height, width, 3 or 4) uint8 -> a PNG file."""
    height, width, channels = pixels.shape
    color = 2 if channels == 3 else 6
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each line begins with its filter: 0, none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(lines.tobytes()))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
