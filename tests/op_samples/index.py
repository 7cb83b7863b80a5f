"""Samples of indexing, gathers and scatters; the references are loops over single elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from op_samples import Sample

rng = np.random.default_rng(11)
x = rng.standard_normal((3, 4))
cube = rng.standard_normal((2, 3, 4))
src = rng.standard_normal((2, 3))
mask = np.arange(12).reshape(3, 4) % 5 < 2
rows = np.array([2, 0, 2])
A = slice(None)
KEYS: list[tuple[Any, ...]] = [
    (np.array([1, -1, 1]),),
    (A, np.array([[0, 2], [2, 2]])),
    (np.array([0, 1]), A, np.array([3, 3])),
    (np.array([0, 1, 1]), np.array([[2], [2]])),
    (A, np.array([1, 1]), np.array([0, -4])),
]
grid = np.array([[0, 1, 0], [2, 2, 1]])  # smaller than x along dim 1


def picked(a: Any, key: Any) -> Any:
    """``a[key]`` by an array of positions that went through the same key."""
    return a.reshape(-1)[np.arange(a.size).reshape(a.shape)[key]]


def placed(a: Any, key: Any, shape: Any) -> Any:
    y = np.zeros(int(np.prod(shape)))
    for i, v in zip(np.arange(y.size).reshape(shape)[key].flat, np.asarray(a).flat):
        y[i] += v
    return y.reshape(shape)


def put(a: Any, value: Any, key: Any, accumulate: bool = False) -> Any:
    y, at = a.reshape(-1).copy(), np.arange(a.size).reshape(a.shape)[key]
    for i, v in zip(at.flat, np.broadcast_to(value, at.shape).flat):
        y[i] = y[i] + v if accumulate else v
    return y.reshape(a.shape)


def along(shape: Any, index: Any, dim: int) -> Any:
    """Places of the elements that a gather along ``dim`` reads, one by one."""
    for at in np.ndindex(index.shape):
        yield at, tuple(index[at] if d == dim else i for d, i in enumerate(at))


def gathered(a: Any, index: Any, dim: int) -> Any:
    y = np.empty(index.shape)
    for at, place in along(a.shape, index, dim):
        y[at] = a[place]
    return y


def scattered(a: Any, s: Any, index: Any, dim: int, combine: Any) -> Any:
    y = a.copy()
    s = np.broadcast_to(s, index.shape)
    for at, place in along(a.shape, index, dim):
        y[place] = combine(y[place], s[at])
    return y


def dim_key(index: Any, dim: int) -> tuple[Any, ...]:
    return (A,) * dim + (index,)


SAMPLES = {
    "index": [Sample((cube,), {"key": k}, lambda x, key: picked(x, key)) for k in KEYS],
    "index_accumulate": [
        Sample((cube[k] * 2,), {"key": k, "shape": cube.shape}, lambda x, key, shape: placed(x, key, shape))
        for k in KEYS
    ],
    "index_put": [
        *(Sample((cube, cube[k] * 2), {"key": k, "accumulate": True}, put) for k in KEYS),
        Sample((cube, cube[:, :2, 1]), {"key": (A, np.array([2, 0]), np.array(1)), "accumulate": False}, put),
        Sample((x, x[0]), {"key": (np.array([1, 0]),)}, put),
    ],
    "masked_select": [
        Sample((x, mask), {}, lambda x, m: np.array([v for v, on in zip(x.flat, m.flat) if on])),
        Sample((cube, mask[:2, :3]), {}, lambda x, m: np.array([x[i] for i in np.ndindex(m.shape) if m[i]])),
        Sample((x, mask & ~mask), {}, lambda x, m: np.zeros(0)),
    ],
    "masked_place": [Sample((x[mask], mask), {"shape": (3, 4)}, lambda x, m, shape: placed(x, m, shape))],
    "masked_put": [
        Sample((x, x[mask] * 2, mask), {}, put),
        Sample((x, np.array(2.0), mask), {}, put),
        Sample((cube, cube[0, 1], mask[:2, :3]), {}, put),
    ],
    "masked_fill": [
        Sample((x, np.array(2.0), mask), {}, lambda x, v, m: np.where(m, v, x)),
        Sample((x[0], np.array(2.0), mask), {}, lambda x, v, m: np.where(m, v, x)),
    ],
    "put_slice": [
        Sample((cube, x[:, :2]), {"index": (1, A, slice(0, 4, 2))}, lambda x, v, index: put(x, v, index)),
        Sample((x, np.array(2.0)), {"index": (..., 1)}, lambda x, v, index: put(x, v, index)),
    ],
    "gather": [
        Sample((x, grid), {"dim": 0}, gathered),
        Sample((x, grid), {"dim": 1}, gathered),
        Sample((cube, grid[None]), {"dim": 1}, gathered),
        Sample((x[0], np.array([3, 0, 3])), {"dim": 0}, gathered),
    ],
    "gather_place": [
        Sample(
            (src, grid),
            {"shape": (3, 4), "dim": d},
            lambda x, i, shape, dim: scattered(np.zeros(shape), x, i, dim, np.add),
        )
        for d in (0, 1)
    ],
    "scatter_add": [
        Sample((x, src, grid), {"dim": 0}, lambda *a, dim: scattered(*a, dim, np.add)),
        Sample((x, src, grid), {"dim": 1}, lambda *a, dim: scattered(*a, dim, np.add)),
    ],
    "scatter": [
        Sample(
            (x, src, np.array([[0, 1, 0], [2, 2, 1]])), {"dim": 0}, lambda *a, dim: scattered(*a, dim, lambda _, v: v)
        ),
        Sample(
            (x, src, np.array([[0, 1, 3], [3, 2, 1]])), {"dim": 1}, lambda *a, dim: scattered(*a, dim, lambda _, v: v)
        ),
        Sample((x, np.array(2.0), grid), {"dim": 0}, lambda *a, dim: scattered(*a, dim, lambda _, v: v)),
    ],
    "scatter_prod": [
        Sample((x, src, grid), {"dim": 1}, lambda *a, dim: scattered(*a, dim, np.multiply)),
        # zeros: one in a place, and two in another
        Sample(
            (x, src * np.array([[0.0], [1]]), grid),
            {"dim": 0},
            lambda *a, dim: scattered(*a, dim, np.multiply),
            second=False,
        ),
        Sample((x, src * 0, grid), {"dim": 1}, lambda *a, dim: scattered(*a, dim, np.multiply), second=False),
    ],
    "scatter_amax": [
        Sample((x, src * 2, grid), {"dim": d}, lambda *a, dim: scattered(*a, dim, np.maximum)) for d in (0, 1)
    ],
    "scatter_amin": [
        Sample((x, src * 2, grid), {"dim": d}, lambda *a, dim: scattered(*a, dim, np.minimum)) for d in (0, 1)
    ],
    "index_select": [Sample((cube, rows), {"dim": d}, lambda x, i, dim: picked(x, dim_key(i, dim))) for d in (1, 2)],
    "index_place": [
        Sample(
            (cube[:, rows] * 2, rows),
            {"shape": cube.shape, "dim": 1},
            lambda x, i, shape, dim: placed(x, dim_key(i, dim), shape),
        ),
        Sample(
            (x[rows], rows), {"shape": x.shape, "dim": 0}, lambda x, i, shape, dim: placed(x, dim_key(i, dim), shape)
        ),
    ],
    "index_add": [
        Sample((x, x[rows] * 2, rows), {"dim": 0}, lambda x, s, i, dim: put(x, s, dim_key(i, dim), True)),
        Sample((cube, cube[:, rows] * 2, rows), {"dim": 1}, lambda x, s, i, dim: put(x, s, dim_key(i, dim), True)),
    ],
    "index_copy": [
        Sample((cube, cube[:, :2] * 2, rows[:2]), {"dim": 1}, lambda x, s, i, dim: put(x, s, dim_key(i, dim))),
        Sample((x, np.array(2.0), rows[:2]), {"dim": 0}, lambda x, s, i, dim: put(x, s, dim_key(i, dim))),
    ],
}
