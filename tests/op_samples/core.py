"""Samples of the ops that the engine was first made with."""

from __future__ import annotations

import numpy as np

from op_samples import Sample

rng = np.random.default_rng(3)
x = rng.standard_normal((3, 4))
y = rng.standard_normal((3, 4))
away = np.where(np.abs(x) < 0.1, 0.5, x)  # away from the kink at zero
positive = np.abs(x) + 0.5
cube = rng.standard_normal((2, 3, 4))

SAMPLES = {
    "add": [Sample((x, y), reference=lambda a, b: a + b)],
    "sub": [Sample((x, y), reference=lambda a, b: a - b)],
    "mul": [Sample((x, y), reference=lambda a, b: a * b)],
    "div": [Sample((x, positive), reference=lambda a, b: a / b)],
    "neg": [Sample((x,), reference=lambda x: -x)],
    "cast": [
        Sample((x,), {"dtype": np.dtype(np.float64)}, lambda x, dtype: x),
        Sample((x,), {"dtype": np.dtype(np.int64)}, lambda x, dtype: np.trunc(x).astype(int), wrt=()),
    ],
    "clone": [Sample((x,), reference=lambda x: x)],
    "pow_scalar": [
        Sample((positive,), {"exponent": 3.5}, lambda x, exponent: x**exponent),
        Sample((x,), {"exponent": 2}, lambda x, exponent: x * x),
        Sample((x,), {"exponent": 3}, lambda x, exponent: x * x * x),
        Sample((x,), {"exponent": 1}, lambda x, exponent: x),
        Sample((positive,), {"exponent": 0.5}, lambda x, exponent: np.sqrt(x)),
        Sample((positive,), {"exponent": -1}, lambda x, exponent: 1 / x),
        Sample((x,), {"exponent": 0}, lambda x, exponent: np.ones_like(x), second=False),  # its derivative is zero
    ],
    "pow": [Sample((positive, y), reference=lambda a, b: np.exp(b * np.log(a)))],
    "where": [Sample((x > 0, x, y), reference=lambda c, a, b: c * a + (1 - c) * b)],
    "exp": [Sample((x,), reference=lambda x: np.e**x)],
    "log": [Sample((positive,), reference=lambda x: np.log2(x) * np.log(2))],
    "sqrt": [Sample((positive,), reference=lambda x: x**0.5)],
    "tanh": [Sample((x,), reference=lambda x: 1 - 2 / (np.exp(2 * x) + 1))],
    "tanh_grad": [Sample((x, y), reference=lambda v, y: v * (1 - y) * (1 + y))],
    "sigmoid": [
        Sample((x,), reference=lambda x: 1 / (1 + np.exp(-x))),
        Sample((np.array([-800.0, 0.0, 800.0]),), reference=lambda x: np.array([0.0, 0.5, 1.0]), wrt=()),
    ],
    "relu": [Sample((away,), reference=lambda x: np.where(x > 0, x, 0), second=True)],
    "floor_divide": [Sample((x * 3 + 0.1, positive), reference=lambda a, b: np.floor(a / b), second=False)],
    "trunc_divide": [
        Sample((x * 3 + 0.1, positive), reference=lambda a, b: np.trunc(a / b), second=False),
        Sample((np.array([7, -7, 6]), np.array([2, 2, -3])), reference=lambda a, b: np.array([3, -3, -2])),
    ],
    "sum_to": [
        Sample((x,), {"shape": (4,)}, lambda x, shape: np.einsum("ij->j", x)),
        Sample((x,), {"shape": (3, 1)}, lambda x, shape: np.einsum("ij->i", x)[:, None]),
        Sample((x,), {"shape": (3, 4)}, lambda x, shape: x),
        Sample((x,), {"shape": ()}, lambda x, shape: np.einsum("ij->", x)),
        Sample((cube,), {"shape": (1, 4)}, lambda x, shape: np.einsum("ijk->k", x)[None]),
    ],
    "expand": [
        Sample((x,), {"shape": (2, 3, 4)}, lambda x, shape: np.stack([x, x])),
        Sample((x[:, :1],), {"shape": (3, 5)}, lambda x, shape: np.tile(x, (1, 5))),
        Sample((np.array(2.0),), {"shape": (2, 2)}, lambda x, shape: np.full(shape, 2.0)),
        Sample((x[:1],), {"shape": (0, 4)}, lambda x, shape: np.zeros(shape)),
    ],
    "reshape": [
        Sample((x,), {"shape": (2, 6)}, lambda x, shape: np.array(list(x.flat)).reshape(shape)),
        Sample((np.zeros((0, 3)),), {"shape": (3, 0)}, lambda x, shape: np.zeros(shape)),
        Sample((np.array([3.0]),), {"shape": ()}, lambda x, shape: np.array(3.0)),
    ],
    "permute": [Sample((cube,), {"dims": (2, 0, 1)}, lambda x, dims: np.einsum("abc->cab", x))],
    "transpose": [Sample((cube,), {"dim0": 0, "dim1": -1}, lambda x, dim0, dim1: np.einsum("abc->cba", x))],
    "cat": [
        Sample((x, y[:1], y), {"dim": 0}, lambda *xs, dim: np.vstack(xs)),
        Sample((x, y[:, :2]), {"dim": -1}, lambda *xs, dim: np.hstack(xs)),
        Sample((x, y[:0]), {"dim": 0}, lambda *xs, dim: xs[0]),
    ],
    "slice": [
        Sample((cube,), {"index": (1, slice(None), slice(0, 4, 2))}, lambda x, index: x[1][:, ::2]),
        Sample((cube,), {"index": (..., None, -1)}, lambda x, index: x[:, :, -1][:, :, None]),
        Sample((x,), {"index": (slice(2, 2),)}, lambda x, index: np.zeros((0, 4))),
    ],
    "unslice": [
        Sample(
            (x,),
            {"index": (slice(None), 1), "shape": (3, 2, 4)},
            lambda x, index, shape: np.stack([np.zeros_like(x), x], 1),
        )
    ],
    "sum": [
        Sample((cube,), {"dim": None, "keepdim": False}, lambda x, dim, keepdim: np.einsum("abc->", x)),
        Sample(
            (cube,), {"dim": (0, 2), "keepdim": True}, lambda x, dim, keepdim: np.einsum("abc->b", x)[None, :, None]
        ),
        Sample((cube,), {"dim": (-1,), "keepdim": False}, lambda x, dim, keepdim: np.einsum("abc->ab", x)),
        Sample((np.zeros((0, 2)),), {"dim": (0,), "keepdim": False}, lambda x, dim, keepdim: np.zeros(2)),
    ],
    "mean": [
        Sample((cube,), {"dim": None, "keepdim": False}, lambda x, dim, keepdim: np.einsum("abc->", x) / 24),
        Sample((cube,), {"dim": (1,), "keepdim": True}, lambda x, dim, keepdim: np.einsum("abc->ac", x)[:, None] / 3),
    ],
    "matmul": [
        Sample((x, y.T.copy()), reference=lambda a, b: np.einsum("ij,jk->ik", a, b)),
        Sample((cube, cube.transpose(0, 2, 1).copy()), reference=lambda a, b: np.einsum("bij,bjk->bik", a, b)),
        Sample((cube, x.T.copy()), reference=lambda a, b: np.einsum("bij,jk->bik", a, b)),
        Sample((x, cube.transpose(0, 2, 1).copy()), reference=lambda a, b: np.einsum("ij,bjk->bik", a, b)),
        Sample((np.zeros((2, 0)), np.zeros((0, 3))), reference=lambda a, b: np.zeros((2, 3)), second=False),
    ],
    "linear": [
        Sample((cube, x, rng.standard_normal(3)), reference=lambda x, w, b: np.einsum("abi,oi->abo", x, w) + b),
        Sample((x[0], y, rng.standard_normal(3)), reference=lambda x, w, b: np.einsum("i,oi->o", x, w) + b),
        Sample((x, y), reference=lambda x, w: np.einsum("bi,oi->bo", x, w)),
    ],
}
