"""Samples of cutting, flips, tiles, triangles, diagonals, windows and strides; references are loops or einsum."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_samples import Sample

rng = np.random.default_rng(13)
x = rng.standard_normal((3, 4))
cube = rng.standard_normal((2, 3, 4))


def by_place(shape: Any, value: Any) -> Any:
    """An array made element by element."""
    y = np.zeros(shape)
    for i in np.ndindex(*shape):
        y[i] = value(*i)
    return y


def diagonal(a: Any, offset: int, dim1: int, dim2: int) -> Any:
    a = np.moveaxis(a, (dim1, dim2), (-2, -1))
    steps = [(i, i + offset) for i in range(a.shape[-2]) if 0 <= i + offset < a.shape[-1]]
    return np.stack([a[..., i, j] for i, j in steps], -1) if steps else np.zeros((*a.shape[:-2], 0))


def on_diagonal(a: Any, value: Any, offset: int, dim1: int, dim2: int) -> Any:
    y = np.moveaxis(a.copy(), (dim1, dim2), (-2, -1))
    for k, i in enumerate(i for i in range(y.shape[-2]) if 0 <= i + offset < y.shape[-1]):
        y[..., i, i + offset] = np.broadcast_to(value, diagonal(a, offset, dim1, dim2).shape)[..., k]
    return np.moveaxis(y, (-2, -1), (dim1, dim2))


def windowed(a: Any, dim: int, size: int, step: int) -> Any:
    starts = range(0, a.shape[dim] - size + 1, step)
    return np.moveaxis(np.stack([np.moveaxis(a, dim, -1)[..., s : s + size] for s in starts]), 0, dim)


def strided(a: Any, size: Any, stride: Any, offset: int, geometry: Any) -> Any:
    memory = {}
    for i in np.ndindex(*geometry[0]):
        memory[sum(k * s for k, s in zip(i, geometry[1]))] = a[i]
    return by_place(size, lambda *i: memory.get(offset + sum(k * s for k, s in zip(i, stride)), 0.0))


def strided_back(g: Any, size: Any, stride: Any, offset: int, geometry: Any) -> Any:
    """The adjoint as a matrix: each unit input through ``strided``."""
    units = np.eye(int(np.prod(geometry[0])))
    return np.array(
        [np.sum(strided(u.reshape(geometry[0]), size, stride, offset, geometry) * g) for u in units]
    ).reshape(geometry[0])


PLAIN = ((3, 4), (4, 1))
TURNED = ((4, 3), (1, 4))
DIAGONALS = [
    (x, {"offset": 0, "dim1": 0, "dim2": 1}),
    (x, {"offset": -1, "dim1": 0, "dim2": 1}),
    (cube, {"offset": 1, "dim1": 2, "dim2": 0}),
    (x, {"offset": 9, "dim1": 0, "dim2": 1}),
]

SAMPLES = {
    "stack": [
        Sample((x, x * 2), {"dim": 0}, lambda *xs, dim: np.array(xs)),
        Sample((x, x * 2, x * 3), {"dim": 2}, lambda *xs, dim: np.moveaxis(np.array(xs), 0, dim)),
    ],
    "split": [
        Sample((x,), {"sizes": (1, 3), "dim": 1}, lambda x, sizes, dim: (x[:, :1], x[:, 1:])),
        Sample((x,), {"sizes": (2, 0, 1), "dim": 0}, lambda x, sizes, dim: (x[:2], x[:0], x[2:])),
    ],
    "unbind": [Sample((cube,), {"dim": 1}, lambda x, dim: tuple(np.einsum("abc->bac", x)))],
    "flip": [Sample((cube,), {"dims": (0, 2)}, lambda x, dims: x[::-1, :, ::-1])],
    "roll": [
        Sample(
            (x,),
            {"shifts": (1, -2), "dims": (0, 1)},
            lambda x, shifts, dims: by_place((3, 4), lambda i, j: x[(i - 1) % 3, (j + 2) % 4]),
        )
    ],
    "tile": [
        Sample((x,), {"times": (2, 3)}, lambda x, times: by_place((6, 12), lambda i, j: x[i % 3, j % 4])),
        Sample((x,), {"times": (1, 0)}, lambda x, times: np.zeros((3, 0))),
    ],
    "repeat_each": [
        Sample((x,), {"times": 2, "dim": 1}, lambda x, times, dim: by_place((3, 8), lambda i, j: x[i, j // 2]))
    ],
    "tril": [
        Sample((x,), {"diagonal": k}, lambda x, diagonal: by_place((3, 4), lambda i, j: x[i, j] * (j - i <= diagonal)))
        for k in (0, -1)
    ],
    "triu": [
        Sample((x,), {"diagonal": k}, lambda x, diagonal: by_place((3, 4), lambda i, j: x[i, j] * (j - i >= diagonal)))
        for k in (0, 2)
    ],
    "diagonal": [Sample((a,), meta, diagonal) for a, meta in DIAGONALS],
    "diagonal_place": [
        Sample(
            (diagonal(a, **meta) * 2,),
            {"shape": a.shape, **meta},
            lambda v, shape, offset, dim1, dim2: on_diagonal(np.zeros(shape), v, offset, dim1, dim2),
        )
        for a, meta in DIAGONALS
    ],
    "diagonal_put": [Sample((a, diagonal(a, **meta) * 2), meta, on_diagonal) for a, meta in DIAGONALS[:3]],
    "windows": [
        Sample((cube,), {"dim": 2, "size": 2, "step": 1}, windowed),
        Sample((cube,), {"dim": 1, "size": 1, "step": 2}, windowed),
    ],
    "windows_sum": [
        Sample(
            (windowed(x, 1, size, step),),
            {"shape": (3, 4), "dim": 1, "size": size, "step": step},
            lambda g, shape, dim, size, step: np.array(
                [np.sum(windowed(u.reshape(shape), dim, size, step) * g) for u in np.eye(12)]
            ).reshape(shape),
        )
        for size, step in ((2, 1), (2, 2), (3, 1))
    ],
    "as_strided": [
        Sample((x,), {"size": (2, 2), "stride": (1, 2), "offset": 3, "geometry": PLAIN}, strided),
        Sample((x,), {"size": (5,), "stride": (0,), "offset": 3, "geometry": PLAIN}, strided),
        Sample((x.T.copy(),), {"size": (3, 4), "stride": (4, 1), "offset": 0, "geometry": TURNED}, strided),
    ],
    "strided_sum": [
        Sample((x[:2, :2],), {"size": (2, 2), "stride": (1, 2), "offset": 3, "geometry": PLAIN}, strided_back),
        Sample((x,), {"size": (3, 4), "stride": (4, 1), "offset": 0, "geometry": TURNED}, strided_back),
    ],
    "view_dtype": [
        Sample((x,), {"dtype": np.dtype(np.int64)}, lambda x, dtype: np.frombuffer(x.tobytes(), dtype).reshape(3, 4))
    ],
}
