"""Samples of reductions, extremes, norms, order, scans and softmax."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from op_samples import Sample

rng = np.random.default_rng(11)
x = rng.standard_normal((3, 4))
cube = rng.standard_normal((2, 3, 4))
away = np.where(np.abs(x) < 0.1, 0.5, x)  # away from the kink at zero
zeros = x.copy()
zeros[0, 1] = zeros[1, 2] = zeros[1, 3] = 0.0
tall = rng.standard_normal((600, 5))
distinct = rng.permutation(60).reshape(3, 20) * 0.1
nans = x.copy()
nans[0, 2] = np.nan
rest = {"dim": 1, "keepdim": False}


def _ranked(x, rank, dim, keepdim=False):
    """Value and place of a rank along ``dim``."""
    i = np.take(np.argsort(x, axis=dim), [rank], axis=dim)
    y = np.take_along_axis(x, i, axis=dim)
    return (y, i) if keepdim else (y.squeeze(dim), i.squeeze(dim))


def _ordered(x, dim, descending):
    i = np.argsort(-x if descending else x, axis=dim, kind="stable")
    return np.take_along_axis(x, i, axis=dim), i


def _best(x, k, dim, largest):
    values, index = _ordered(x, dim, largest)
    return np.take(values, range(k), axis=dim), np.take(index, range(k), axis=dim)


def _put(x, index, shape, dim):
    y = np.zeros(shape)
    for place in np.ndindex(index.shape):
        at = list(place)
        at[dim] = index[place]
        y[tuple(at)] += x[place]
    return y


def _running_log(x, dim):
    y = np.moveaxis(x, dim, 0)
    return np.moveaxis(np.stack([special.logsumexp(y[: i + 1], axis=0) for i in range(len(y))]), 0, dim)


def _recurred(a, b, dim, reverse):
    a, b = np.moveaxis(a, dim, 0), np.moveaxis(b, dim, 0)
    h, y = np.zeros(a.shape[1:]), np.zeros_like(a)
    for i in range(len(a))[:: -1 if reverse else 1]:
        h = y[i] = b[i] + a[i] * h
    return np.moveaxis(y, 0, dim)


def _extreme_so_far(x, dim, best):
    y = np.moveaxis(x, dim, 0)
    index = np.stack([best(y[: i + 1], axis=0) for i in range(len(y))])
    index = np.moveaxis(index, 0, dim)
    return np.take_along_axis(x, index, axis=dim), index


def _shifted(x, dim, by, fill):
    y = np.roll(x, by, dim)
    edge = [slice(None)] * x.ndim
    edge[dim] = slice(0, by) if by > 0 else slice(by, None)
    y[tuple(edge)] = fill
    return y


def _softmax_back(grad, y, dim):
    return y * (grad - (grad * y).sum(dim, keepdims=True))


shares = special.softmax(x, axis=1)
logs = special.log_softmax(x, axis=1)
index = np.array([[2, 0], [1, 3], [0, 2]])

SAMPLES = {
    "sum": [
        Sample((tall,), {"dim": (0,), "keepdim": False}, lambda x, dim, keepdim: np.einsum("ab->b", x)),
        Sample((tall,), {"dim": (1,), "keepdim": True}, lambda x, dim, keepdim: np.einsum("ab->a", x)[:, None]),
        Sample((tall,), {"dim": (0, 1), "keepdim": False}, lambda x, dim, keepdim: np.einsum("ab->", x)),
        Sample((np.array([[True, True], [False, True]]),), {"dim": (0,)}, lambda x, dim: np.array([1, 2])),
    ],
    "var": [
        Sample((x,), {"dim": (1,), "keepdim": True}, lambda x, dim, keepdim: np.var(x, 1, ddof=1, keepdims=True)),
        Sample((cube,), {"dim": (0, 2), "correction": 0}, lambda x, dim, correction: np.var(x, dim)),
        Sample((x,), {"dim": None, "correction": 2}, lambda x, dim, correction: np.var(x, ddof=2)),
    ],
    "root": [Sample((np.abs(x) + 0.2,), reference=lambda x: x**0.5)],
    "inverse_or_zero": [Sample((away,), reference=lambda x: 1 / x), Sample((np.zeros(2),), reference=lambda x: x, wrt=())],
    "prod": [
        Sample((x,), {"dim": 1}, lambda x, dim: np.exp(np.log(np.abs(x)).sum(1)) * np.sign(x).prod(1)),
        Sample((zeros,), {"dim": 1, "keepdim": True}, lambda x, dim, keepdim: np.prod(x, 1, keepdims=True)),
        Sample((cube,), {"dim": 1}, lambda x, dim: x[:, 0] * x[:, 1] * x[:, 2]),
        Sample((x[:, :1],), {"dim": 1}, lambda x, dim: x[:, 0]),
    ],
    "any": [Sample((zeros == 0,), {"dim": (1,)}, lambda x, dim: np.array([True, True, False]))],
    "all": [Sample((zeros != 0,), {"dim": (1,)}, lambda x, dim: np.array([False, False, True]))],
    "count_nonzero": [Sample((zeros,), {"dim": (0,)}, lambda x, dim: np.array([3, 2, 2, 2]))],
    "amax": [
        Sample((x,), {"dim": (1,)}, lambda x, dim: np.sort(x, 1)[:, -1]),
        Sample((cube,), {"dim": None}, lambda x, dim: np.sort(x, None)[-1]),
        Sample((tall,), {"dim": (1,), "keepdim": True}, lambda x, dim, keepdim: np.sort(x, 1)[:, -1:]),
        Sample((rng.standard_normal((40, 60)),), {"dim": (1,)}, lambda x, dim: np.sort(x, 1)[:, -1]),
    ],
    "amin": [Sample((cube,), {"dim": (0, 1)}, lambda x, dim: np.sort(x.reshape(6, 4), 0)[0])],
    "even_shares": [
        Sample(
            (np.array([[1.0, 3, 3], [2, 0, 1]]), np.array([3.0, 2.0])),
            {"dim": (1,)},
            lambda x, extreme, dim: np.array([[0, 0.5, 0.5], [1, 0, 0]]),
        )
    ],
    "median_all": [
        Sample((distinct,), reference=lambda x: np.sort(x, None)[29]),
        Sample((nans,), {"skip_nan": True}, lambda x, skip_nan: np.sort(x, None)[5], wrt=()),
        Sample((nans,), reference=lambda x: np.nan, wrt=()),
    ],
    "argmax": [Sample((x,), {"dim": 1}, lambda x, dim: np.argsort(x, 1)[:, -1])],
    "argmin": [Sample((x,), {"dim": None}, lambda x, dim: np.argsort(x, None)[0])],
    "max_dim": [Sample((cube,), {"dim": 1}, lambda x, dim: _ranked(x, 2, 1))],
    "min_dim": [Sample((cube,), {"dim": 2, "keepdim": True}, lambda x, dim, keepdim: _ranked(x, 0, 2, True))],
    "abs_pow": [
        Sample((away,), {"exponent": 2.5}, lambda x, exponent: np.exp(2.5 * np.log(np.abs(x)))),
        Sample((away,), {"exponent": -0.5}, lambda x, exponent: 1 / np.sqrt(np.abs(x))),
        Sample((zeros,), {"exponent": 1}, lambda x, exponent: np.abs(x), wrt=()),
    ],
    "vector_norm": [
        Sample((x,), {"ord": 2.0, "dim": (1,)}, lambda x, ord, dim: np.linalg.norm(x, axis=1)),
        Sample((away,), {"ord": 1.0, "dim": None}, lambda x, ord, dim: np.abs(x).sum()),
        Sample((away,), {"ord": 3.0, "dim": (0,)}, lambda x, ord, dim: np.linalg.norm(x, 3, axis=0)),
        Sample((away,), {"ord": 0.5, "dim": (0,)}, lambda x, ord, dim: np.linalg.norm(x, 0.5, axis=0)),
        Sample((x,), {"ord": np.inf, "dim": (0,)}, lambda x, ord, dim: np.linalg.norm(x, np.inf, axis=0)),
        Sample((x,), {"ord": -np.inf, "dim": (0,)}, lambda x, ord, dim: np.linalg.norm(x, -np.inf, axis=0)),
        Sample((zeros,), {"ord": 0.0, "dim": (0,)}, lambda x, ord, dim: np.array([3.0, 2, 2, 2]), wrt=()),
    ],
    "put_along": [Sample((x[:, :2], index), {"shape": (3, 4), "dim": 1}, _put)],
    "sort": [
        Sample((cube,), {"dim": 1}, lambda x, dim: _ordered(x, 1, False)),
        Sample((x,), {"dim": 1, "descending": True}, _ordered),
        Sample(
            (np.array([2.0, 1, 2, 1]),),
            {"dim": 0, "descending": True},
            lambda x, dim, descending: (np.array([2.0, 2, 1, 1]), np.array([0, 2, 1, 3])),
            wrt=(),
        ),
    ],
    "argsort": [Sample((x,), {"dim": 0, "descending": True}, lambda x, dim, descending: np.argsort(-x, 0))],
    "topk": [
        Sample((x,), {"k": 2, "dim": 1, "largest": True}, _best),
        Sample((rng.permutation(200) * 0.1,), {"k": 3, "dim": 0, "largest": False}, _best),
        Sample((rng.permutation(200) * 0.1,), {"k": 3, "dim": 0, "largest": True}, _best),
    ],
    "kthvalue": [Sample((x,), {"k": 3, "dim": 1}, lambda x, k, dim: _ranked(x, 2, 1))],
    "median": [Sample((x,), {"dim": 1, "keepdim": True}, lambda x, dim, keepdim: _ranked(x, 1, 1, True))],
    "nanmedian": [
        Sample((distinct,), rest, lambda x, dim, keepdim: _ranked(x, 9, 1)),
        Sample(
            (nans,),
            {"dim": 0},
            lambda x, dim: tuple(f(x, 0)[[1, 1, 0, 1], range(4)] for f in (np.sort, np.argsort)),
            wrt=(),
        ),
    ],
    "mode": [
        Sample((distinct,), rest, lambda x, dim, keepdim: (x.min(1), x.argmin(1))),
        Sample(
            (np.array([[3.0, 1, 3, 1, 2]]),),
            {"dim": 1},
            lambda x, dim: (stats.mode(x, axis=1).mode, np.array([3])),
            wrt=(),
        ),
    ],
    "cumsum": [
        Sample((cube,), {"dim": 1}, lambda x, dim: np.einsum("abc,db->adc", x, np.tri(3))),
        Sample((x,), {"dim": 0, "reverse": True}, lambda x, dim, reverse: np.tri(3).T @ x),
    ],
    "shift": [
        Sample((x,), {"dim": 1, "by": 1, "fill": 1.0}, _shifted),
        Sample((x,), {"dim": 0, "by": -1, "fill": 0.0}, _shifted),
    ],
    "recurrence": [
        Sample((x, rng.standard_normal((3, 4))), {"dim": 1, "reverse": False}, _recurred),
        Sample((cube, rng.standard_normal((2, 3, 4))), {"dim": 1, "reverse": True}, _recurred),
    ],
    "cumprod": [
        Sample((x,), {"dim": 1}, lambda x, dim: np.stack([x[:, : i + 1].prod(1) for i in range(4)], 1)),
        Sample((zeros,), {"dim": 1}, lambda x, dim: np.stack([x[:, : i + 1].prod(1) for i in range(4)], 1)),
    ],
    "logcumsumexp": [Sample((cube,), {"dim": 1}, _running_log), Sample((x * 300,), {"dim": 1}, _running_log)],
    "cummax": [Sample((cube,), {"dim": 1}, lambda x, dim: _extreme_so_far(x, 1, np.argmax))],
    "cummin": [Sample((cube,), {"dim": 2}, lambda x, dim: _extreme_so_far(x, 2, np.argmin))],
    "softmax": [
        Sample((cube,), {"dim": 1}, lambda x, dim: special.softmax(x, axis=dim)),
        Sample((x * 500,), {"dim": -1}, lambda x, dim: special.softmax(x, axis=dim), wrt=()),
    ],
    "softmax_grad": [Sample((rng.standard_normal((3, 4)), shares), {"dim": 1}, _softmax_back)],
    "log_softmax": [Sample((cube,), {"dim": 1}, lambda x, dim: special.log_softmax(x, axis=dim))],
    "log_softmax_grad": [
        Sample((rng.standard_normal((3, 4)), logs), {"dim": 1}, lambda g, y, dim: g - np.exp(y) * g.sum(1, keepdims=True))
    ],
    "logsumexp": [
        Sample((cube,), {"dim": (0, 2)}, lambda x, dim: special.logsumexp(x, axis=dim)),
        Sample((x * 500,), {"dim": (1,), "keepdim": True}, lambda x, dim, keepdim: special.logsumexp(x, axis=1, keepdims=True)),
        Sample((np.full((2, 2), -np.inf),), {"dim": (1,)}, lambda x, dim: np.full(2, -np.inf), wrt=()),
    ],
    "exp_less": [Sample((x, x[:, :1].copy()), reference=lambda x, level: np.exp(x) / np.exp(level))],
}  # fmt: skip
